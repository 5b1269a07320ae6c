//! Linux's error numbers and their names.

use core::fmt;

/// An errno of Linux, as a positive number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// 1
    pub const EPERM: Self = Self(1);
    /// 2
    pub const ENOENT: Self = Self(2);
    /// 4
    pub const EINTR: Self = Self(4);
    /// 5
    pub const EIO: Self = Self(5);
    /// 12
    pub const ENOMEM: Self = Self(12);
    /// 13
    pub const EACCES: Self = Self(13);
    /// 16
    pub const EBUSY: Self = Self(16);
    /// 17
    pub const EEXIST: Self = Self(17);
    /// 20
    pub const ENOTDIR: Self = Self(20);
    /// 21
    pub const EISDIR: Self = Self(21);
    /// 22
    pub const EINVAL: Self = Self(22);
    /// 27
    pub const EFBIG: Self = Self(27);
    /// 28
    pub const ENOSPC: Self = Self(28);
    /// 34
    pub const ERANGE: Self = Self(34);
    /// 36
    pub const ENAMETOOLONG: Self = Self(36);
    /// 39
    pub const ENOTEMPTY: Self = Self(39);
    /// 40
    pub const ELOOP: Self = Self(40);
    /// 75
    pub const EOVERFLOW: Self = Self(75);
    /// 92
    pub const ENOPROTOOPT: Self = Self(92);
    /// 95
    pub const EOPNOTSUPP: Self = Self(95);
    /// 98
    pub const EADDRINUSE: Self = Self(98);
    /// 99
    pub const EADDRNOTAVAIL: Self = Self(99);
    /// 105
    pub const ENOBUFS: Self = Self(105);
    /// 107
    pub const ENOTCONN: Self = Self(107);
    /// 112
    pub const EHOSTDOWN: Self = Self(112);

    /// Its name on this architecture's Linux; none for a number that is no error.
    pub fn name(self) -> Option<&'static str> {
        let name = *NAMES.get(usize::try_from(self.0).ok()?)?;
        (!name.is_empty()).then_some(name)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// By number, as in the kernel's `asm-generic/errno.h`; a driver's error may be any of them.
#[rustfmt::skip]
const NAMES: [&str; 134] = [
    "", "EPERM", "ENOENT", "ESRCH", "EINTR", "EIO", "ENXIO", "E2BIG", "ENOEXEC", "EBADF", "ECHILD",
    "EAGAIN", "ENOMEM", "EACCES", "EFAULT", "ENOTBLK", "EBUSY", "EEXIST", "EXDEV", "ENODEV",
    "ENOTDIR", "EISDIR", "EINVAL", "ENFILE", "EMFILE", "ENOTTY", "ETXTBSY", "EFBIG", "ENOSPC",
    "ESPIPE", "EROFS", "EMLINK", "EPIPE", "EDOM", "ERANGE", "EDEADLK", "ENAMETOOLONG", "ENOLCK",
    "ENOSYS", "ENOTEMPTY", "ELOOP", "", "ENOMSG", "EIDRM", "ECHRNG", "EL2NSYNC", "EL3HLT", "EL3RST",
    "ELNRNG", "EUNATCH", "ENOCSI", "EL2HLT", "EBADE", "EBADR", "EXFULL", "ENOANO", "EBADRQC",
    "EBADSLT", "", "EBFONT", "ENOSTR", "ENODATA", "ETIME", "ENOSR", "ENONET", "ENOPKG", "EREMOTE",
    "ENOLINK", "EADV", "ESRMNT", "ECOMM", "EPROTO", "EMULTIHOP", "EDOTDOT", "EBADMSG", "EOVERFLOW",
    "ENOTUNIQ", "EBADFD", "EREMCHG", "ELIBACC", "ELIBBAD", "ELIBSCN", "ELIBMAX", "ELIBEXEC",
    "EILSEQ", "ERESTART", "ESTRPIPE", "EUSERS", "ENOTSOCK", "EDESTADDRREQ", "EMSGSIZE",
    "EPROTOTYPE", "ENOPROTOOPT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EOPNOTSUPP", "EPFNOSUPPORT",
    "EAFNOSUPPORT", "EADDRINUSE", "EADDRNOTAVAIL", "ENETDOWN", "ENETUNREACH", "ENETRESET",
    "ECONNABORTED", "ECONNRESET", "ENOBUFS", "EISCONN", "ENOTCONN", "ESHUTDOWN", "ETOOMANYREFS",
    "ETIMEDOUT", "ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "EALREADY", "EINPROGRESS", "ESTALE",
    "EUCLEAN", "ENOTNAM", "ENAVAIL", "EISNAM", "EREMOTEIO", "EDQUOT", "ENOMEDIUM", "EMEDIUMTYPE",
    "ECANCELED", "ENOKEY", "EKEYEXPIRED", "EKEYREVOKED", "EKEYREJECTED", "EOWNERDEAD",
    "ENOTRECOVERABLE", "ERFKILL", "EHWPOISON",
];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn every_error_has_its_name() {
        for (errno, name) in [
            (Errno::EPERM, "EPERM"),
            (Errno::EOPNOTSUPP, "EOPNOTSUPP"),
            (Errno::ENOTEMPTY, "ENOTEMPTY"),
            (Errno(98), "EADDRINUSE"),
            (Errno(99), "EADDRNOTAVAIL"),
            (Errno(133), "EHWPOISON"),
            (Errno(0), "errno 0"),
            (Errno(41), "errno 41"),
            (Errno(134), "errno 134"),
            (Errno(-1), "errno -1"),
        ] {
            assert_eq!(errno.to_string(), name);
        }
    }
}
