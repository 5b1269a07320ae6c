//! Block devices and regular files, past the page cache.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::{Errno, pread, pwrite};

use crate::device::{Device, Info};
use crate::info;

/// A block device or a regular file, opened for reading and writing. A block device always passes by the page
/// cache, a file where its file system can do that: [`Info::direct`] says.
#[derive(Debug)]
pub struct DirectFile {
    file: OwnedFd,
    info: Info,
}

/// Why something cannot serve as a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It cannot be found, or not be opened for reading and writing. Most drivers open a read-only device
    /// all the same, and refuse the writes.
    Failed(Errno),
    /// The process has no such descriptor, or only as a path (O_PATH).
    BadDescriptor,
    /// Neither a block device nor a regular file.
    NotADisk,
    /// A regular file, which was not wanted.
    RegularFile,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(errno) => write!(f, "cannot open: {errno}"),
            Self::BadDescriptor => f.write_str("no such descriptor"),
            Self::NotADisk => f.write_str("neither a block device nor a regular file"),
            Self::RegularFile => f.write_str("a regular file, not a block device"),
        }
    }
}

impl std::error::Error for OpenError {}

impl DirectFile {
    /// Opens what is at `path`; links are followed. What is no disk is not opened at all, so nothing waits for
    /// the other end of a pipe and no tape is rewound; a device may take its time. With `strict`, regular
    /// files are refused.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path, strict: bool) -> Result<Self, OpenError> {
        // Held by this descriptor, it cannot be exchanged for something else between look and open.
        let place = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fstat(&place)?;
        let again = PathBuf::from(format!("/proc/self/fd/{}", place.as_raw_fd()));
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::BlockDevice => {
                let file = reopen(&again, OFlags::DIRECT)?;
                let info = info::of_block(&file, stat.st_rdev)?;
                Ok(Self { file, info })
            }
            FileType::RegularFile if strict => Err(OpenError::RegularFile),
            FileType::RegularFile => {
                let (file, sector) = match reopen(&again, OFlags::DIRECT) {
                    Ok(file) => {
                        let sector = info::direct_sector(&file);
                        (file, sector)
                    }
                    Err(Errno::INVAL) => (reopen(&again, OFlags::empty())?, None),
                    Err(error) => return Err(error.into()),
                };
                // The file system takes the flag and then refuses what is asked for under it.
                let file = if sector.is_some() { file } else { reopen(&again, OFlags::empty())? };
                let info = info::of_file(&file, &info::name_behind(&again), sector)?;
                Ok(Self { file, info })
            }
            _ => Err(OpenError::NotADisk),
        }
    }

    /// Opens what descriptor `descriptor` of process `pid` (or thread) is open on, whichever way that
    /// descriptor was opened: with a position, flags and rights of its own, those of this process. The
    /// descriptor must stay meanwhile.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_descriptor(pid: u32, descriptor: i32, strict: bool) -> Result<Self, OpenError> {
        if descriptor < 0 {
            return Err(OpenError::BadDescriptor);
        }
        let facts = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}"));
        let facts = facts.map_err(|error| match Errno::from_io_error(&error) {
            None | Some(Errno::NOENT) => OpenError::BadDescriptor,
            Some(errno) => OpenError::Failed(errno),
        })?;
        let flags = facts.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).unwrap_or(0);
        if OFlags::from_bits_retain(flags).contains(OFlags::PATH) {
            return Err(OpenError::BadDescriptor);
        }
        Self::open(Path::new(&format!("/proc/{pid}/fd/{descriptor}")), strict)
    }
}

/// Opens the file behind a path descriptor.
fn reopen(again: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | flags;
    // Every read after a write would change the time of access, and so write the inode. Not for us to say of
    // somebody else's file.
    match openat(CWD, again, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(CWD, again, flags, Mode::empty()),
        opened => opened,
    }
}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

impl Device for DirectFile {
    fn info(&self) -> &Info {
        &self.info
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        again(|| pread(&self.file, &mut *into, offset))
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize, Errno> {
        again(|| pwrite(&self.file, from, offset))
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}

/// Repeats what a signal has interrupted.
fn again(mut call: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
