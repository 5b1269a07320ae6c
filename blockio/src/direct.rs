//! Block devices and regular files, past the page cache.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::{Errno, pread, pwrite};

use crate::device::{Device, Info};
use crate::holder::Holder;
use crate::info;
use crate::open_error::{DescriptorError, OpenError};

/// A block device or a regular file, opened for reading and writing. A block device always passes by the page
/// cache, a file where its file system can do that: [`Info::direct`] says.
#[derive(Debug)]
pub struct DirectFile {
    file: OwnedFd,
    info: Info,
}

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
