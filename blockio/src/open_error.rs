//! Why something is not opened as a disk.

use std::fmt;
use std::path::PathBuf;

use rustix::io::Errno;

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

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}
