//! What a disk is.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use rustix::io::Errno;

/// What lies behind a [`Device`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A block device.
    Block,
    /// A regular file that stands in for one.
    File,
    /// Memory of this process.
    Memory,
}

/// Facts about a device, as they were when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// What it is.
    pub kind: Kind,
    /// Its name: of a block device or partition as the kernel knows it (`vda`, `loop0p1`; `MAJOR:MINOR`
    /// without sysfs), of a regular file its file name.
    pub name: String,
    /// Bytes of a logical sector: offsets and lengths of requests must be multiples of it. Of a regular file
    /// 512, or what direct I/O on it demands.
    pub sector_bytes: u32,
    /// Bytes in all.
    pub bytes: u64,
    /// Do requests pass by the page cache? If not, nodes on other machines do not see what is written, and
    /// whoever opened it should say so once.
    pub direct: bool,
}

/// A disk. Both calls may block for as long as the hardware likes; any number of threads may be in them.
pub trait Device: fmt::Debug + Send + Sync {
    /// Facts about it.
    fn info(&self) -> &Info;

    /// Fills `into` from `offset` on. Returns the bytes read: fewer at the end of the device, 0 beyond it.
    ///
    /// # Errors
    /// EINVAL for what is not aligned to sectors; else what the device says.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno>;

    /// Writes `from` at `offset`, through to the device. Returns the bytes written: fewer at its end.
    ///
    /// # Errors
    /// EINVAL for what is not aligned to sectors, ENOSPC beyond the end of a block device; else what the
    /// device says.
    fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize, Errno>;

    /// Where it is now, as the kernel knows it without asking any file system: a path, with ` (deleted)` behind it where
    /// that has been removed.
    fn place(&self) -> Option<PathBuf> {
        None
    }

    /// The descriptor that does the same as the two calls, if there is one: requests may then go to the
    /// kernel directly. It stays the same for the life of the device.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
