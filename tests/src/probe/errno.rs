//! Names of errno values.

use rustix::io::Errno;

macro_rules! names {
    ($($errno:ident $name:literal),* $(,)?) => {
        &[$((Errno::$errno, $name)),*]
    };
}

/// Those that a file system may answer; any other is printed as a number.
const NAMES: &[(Errno, &str)] = names![
    PERM "EPERM", NOENT "ENOENT", INTR "EINTR", IO "EIO", NXIO "ENXIO", TOOBIG "E2BIG", BADF "EBADF",
    AGAIN "EAGAIN", NOMEM "ENOMEM", ACCESS "EACCES", FAULT "EFAULT", NOTBLK "ENOTBLK", BUSY "EBUSY",
    EXIST "EEXIST", XDEV "EXDEV", NODEV "ENODEV", NOTDIR "ENOTDIR", ISDIR "EISDIR", INVAL "EINVAL",
    NFILE "ENFILE", MFILE "EMFILE", NOTTY "ENOTTY", TXTBSY "ETXTBSY", FBIG "EFBIG", NOSPC "ENOSPC",
    SPIPE "ESPIPE", ROFS "EROFS", MLINK "EMLINK", PIPE "EPIPE", RANGE "ERANGE", DEADLK "EDEADLK",
    NAMETOOLONG "ENAMETOOLONG", NOSYS "ENOSYS", NOTEMPTY "ENOTEMPTY", LOOP "ELOOP", NODATA "ENODATA",
    OVERFLOW "EOVERFLOW", OPNOTSUPP "EOPNOTSUPP", ADDRINUSE "EADDRINUSE", ADDRNOTAVAIL "EADDRNOTAVAIL",
    NOTCONN "ENOTCONN", CONNABORTED "ECONNABORTED", TIMEDOUT "ETIMEDOUT", STALE "ESTALE",
];

/// The name of `errno`, such as `EPERM`.
pub(super) fn name(errno: Errno) -> String {
    match NAMES.iter().find(|(known, _)| *known == errno) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("E{}", errno.raw_os_error()),
    }
}
