//! Block devices and regular files, past the page cache.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::{Errno, pread, pwrite};

use crate::device::{Device, Info};
use crate::holder::Holder;
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
    /// The descriptor of another user is not open for both reading and writing.
    NotForWriting,
    /// The descriptor of another user cannot be taken over, for this reason.
    NotCopied(Errno),
}

/// Why a descriptor cannot serve as a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorError {
    /// Why.
    pub error: OpenError,
    /// What it is open on, as far as that is known: a path or the like.
    pub open_on: Option<PathBuf>,
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.open_on {
            Some(path) => write!(f, "open on {}: {}", path.display(), self.error),
            None => self.error.fmt(f),
        }
    }
}

impl std::error::Error for DescriptorError {}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(errno) => write!(f, "cannot open: {errno}"),
            Self::BadDescriptor => f.write_str("no such descriptor"),
            Self::NotADisk => f.write_str("neither a block device nor a regular file"),
            Self::RegularFile => f.write_str("a regular file, not a block device"),
            Self::NotForWriting => {
                f.write_str("not open for reading and writing, which another user's descriptor must be")
            }
            Self::NotCopied(errno) => {
                write!(f, "a descriptor of another user, which this process cannot take over: {errno}")
            }
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
        let held = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        Self::open_held(&held, strict)
    }

    /// Opens what a descriptor of `holder` is open on, with a position and flags of its own. For the user of
    /// this process the rights are those of this process, whichever way that descriptor was opened, as in the
    /// kernel; any other user must hold it open for reading and writing.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_descriptor(holder: Holder, descriptor: i32, strict: bool) -> Result<Self, DescriptorError> {
        let copy = holder.copy(descriptor).map_err(|error| DescriptorError { error, open_on: None })?;
        let opened = match fstat(&copy.fd) {
            // Files of /proc and the like have no size, and do what they do with the rights of their opener.
            Ok(stat) if !copy.own && is_file(&stat) && stat.st_size == 0 => Err(OpenError::NotADisk),
            Ok(_) => Self::open_held(&copy.fd, strict),
            Err(errno) => Err(errno.into()),
        };
        opened.map_err(|error| {
            let open_on = info::name_behind(&own_link(&copy.fd));
            DescriptorError { error, open_on: Some(open_on) }
        })
    }

    /// Opens once more what one's own descriptor is open on.
    fn open_held(held: &OwnedFd, strict: bool) -> Result<Self, OpenError> {
        let stat = fstat(held)?;
        let again = own_link(held);
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
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// The path of what a descriptor of this process is open on.
fn own_link(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/thread-self/fd/{}", fd.as_raw_fd()))
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

    fn place(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{}", self.file.as_raw_fd())).ok()
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
