//! Why a target did not resolve.

use std::fmt;

use rustix::io::Errno;

/// Why a link's target does not lead to a directory of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// A component of the path, or the directory at its end, does not exist.
    Missing,
    /// The path leads to, or through, something that is not a directory.
    NotDirectory,
    /// The path leads to a directory that is not part of the tree.
    OutsideDirectory,
    /// More than 40 symbolic links were met.
    Loop,
    /// A component has more than 255 bytes, or the path 4096 or more.
    TooLong,
    /// A directory on the way may not be searched.
    Denied,
    /// The calling thread does not exist any more.
    CallerGone,
    /// The calling process cannot be looked into, so that its current directory is not known: this process lacks
    /// the right.
    CallerHidden,
    /// The same, because the caller lives outside this process' PID name space.
    CallerOutside,
    /// The same, because /proc shows another PID name space than this process': its numbers are strangers'.
    ForeignProc,
    /// `..` leaves the mount, but where the mount hangs in the caller's name
    /// space could not be found out.
    NoWayOut,
    /// A system call on the way failed with this number.
    System(i32),
}

impl Failure {
    /// The error number which symlink(2) is to return.
    #[must_use]
    pub fn errno(self) -> i32 {
        match self {
            Self::Missing | Self::CallerGone | Self::NoWayOut => libc::ENOENT,
            Self::NotDirectory => libc::ENOTDIR,
            Self::OutsideDirectory => libc::EPERM,
            Self::Loop => libc::ELOOP,
            Self::TooLong => libc::ENAMETOOLONG,
            Self::Denied | Self::CallerHidden | Self::CallerOutside | Self::ForeignProc => libc::EACCES,
            Self::System(errno) => errno,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no such directory",
            Self::NotDirectory => "not a directory",
            Self::OutsideDirectory => "a directory outside the tree",
            Self::Loop => "too many symbolic links",
            Self::TooLong => "path or name too long",
            Self::Denied => "a directory on the way may not be searched",
            Self::CallerGone => "the calling thread is gone",
            Self::CallerHidden => "the calling process may not be looked into",
            Self::CallerOutside => "the caller lives outside the PID name space of uo2cb",
            Self::ForeignProc => "/proc shows another PID name space than that of uo2cb",
            Self::NoWayOut => "cannot tell what lies above the mount for the calling process",
            Self::System(errno) => {
                return write!(f, "{}", std::io::Error::from_raw_os_error(*errno));
            }
        })
    }
}

impl std::error::Error for Failure {}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Missing,
            Errno::NOTDIR => Self::NotDirectory,
            Errno::LOOP => Self::Loop,
            Errno::NAMETOOLONG => Self::TooLong,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            other => Self::System(other.raw_os_error()),
        }
    }
}
