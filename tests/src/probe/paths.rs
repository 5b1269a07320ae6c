//! Operations on objects named by a path.

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, XattrFlags,
};
use rustix::process::{Gid, Uid};
use rustix::{fs, io, process};

use super::args::Args;
use super::{Answer, Failure, Probe, flags};
use crate::words::escape;

impl Probe {
    /// Executes `verb` if it is one of this module's.
    pub(super) fn path_verb(&mut self, verb: &str, args: &mut Args<'_>) -> Option<Answer> {
        Some(match verb {
            "mkdir" => self.mkdir(args),
            "rmdir" => self.unlink(args, AtFlags::REMOVEDIR),
            "unlink" => self.unlink(args, AtFlags::empty()),
            "create" => self.create(args),
            "mknod" => self.mknod(args),
            "symlink" => self.symlink(args),
            "link" => self.link(args),
            "rename" => self.rename(args),
            "readlink" => self.readlink(args),
            "cat" => contents(args).map(|text| escape(&text)),
            "put" => self.put(args),
            "chmod" => self.chmod(args),
            "chown" => self.chown(args, AtFlags::empty()),
            "lchown" => self.chown(args, AtFlags::SYMLINK_NOFOLLOW),
            "utimens" => self.utimens(args, AtFlags::empty()),
            "lutimens" => self.utimens(args, AtFlags::SYMLINK_NOFOLLOW),
            "truncate" => self.truncate(args),
            "access" => self.access(args),
            "getxattr" => self.getxattr(args),
            "setxattr" => self.setxattr(args),
            "listxattr" => self.listxattr(args),
            "removexattr" => self.removexattr(args),
            "chdir" => self.chdir(args),
            "umask" => self.umask(args),
            _ => return None,
        })
    }

    fn mkdir(&mut self, args: &mut Args<'_>) -> Answer {
        let path = args.path()?;
        done(fs::mkdirat(CWD, &path, Mode::from_raw_mode(args.mode(0o777)?)))
    }

    fn unlink(&mut self, args: &mut Args<'_>, how: AtFlags) -> Answer {
        done(fs::unlinkat(CWD, args.path()?, how))
    }

    fn create(&mut self, args: &mut Args<'_>) -> Answer {
        let path = args.path()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        done(fs::openat(CWD, &path, flags, Mode::from_raw_mode(args.mode(0o644)?)).map(drop))
    }

    fn mknod(&mut self, args: &mut Args<'_>) -> Answer {
        let path = args.path()?;
        let kind = flags::file_type(args.word()?)?;
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        // The null device: any other pair of numbers would do as well.
        let device = if is_device { fs::makedev(1, 3) } else { 0 };
        done(fs::mknodat(CWD, &path, kind, Mode::from_raw_mode(args.mode(0o644)?), device))
    }

    fn symlink(&mut self, args: &mut Args<'_>) -> Answer {
        let target = args.path()?;
        done(fs::symlinkat(&target, CWD, args.path()?))
    }

    fn link(&mut self, args: &mut Args<'_>) -> Answer {
        let old = args.path()?;
        done(fs::linkat(CWD, &old, CWD, &args.path()?, AtFlags::empty()))
    }

    fn rename(&mut self, args: &mut Args<'_>) -> Answer {
        let (old, new) = (args.path()?, args.path()?);
        done(fs::renameat_with(CWD, &old, CWD, &new, flags::rename(args.optional())?))
    }

    fn readlink(&mut self, args: &mut Args<'_>) -> Answer {
        let target = fs::readlinkat(CWD, args.path()?, Vec::new())?;
        Ok(escape(target.to_bytes()))
    }

    /// As a shell's redirection of one `echo` does.
    fn put(&mut self, args: &mut Args<'_>) -> Answer {
        let path = args.path()?;
        let data = args.bytes()?;
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = fs::openat(CWD, path, flags, Mode::empty())?;
        Ok(io::write(&file, &data)?.to_string())
    }

    fn chmod(&mut self, args: &mut Args<'_>) -> Answer {
        let path = args.path()?;
        done(fs::chmodat(CWD, &path, Mode::from_raw_mode(args.mode(0)?), AtFlags::empty()))
    }

    fn chown(&mut self, args: &mut Args<'_>, how: AtFlags) -> Answer {
        let path = args.path()?;
        let (uid, gid) = (args.number::<i64>()?, args.number::<i64>()?);
        // -1 leaves an id as it is.
        let uid = u32::try_from(uid).ok().map(Uid::from_raw);
        let gid = u32::try_from(gid).ok().map(Gid::from_raw);
        done(fs::chownat(CWD, &path, uid, gid, how))
    }

    fn utimens(&mut self, args: &mut Args<'_>, how: AtFlags) -> Answer {
        let path = args.path()?;
        let times = Timestamps { last_access: time(args.word()?)?, last_modification: time(args.word()?)? };
        done(fs::utimensat(CWD, &path, &times, how))
    }

    fn truncate(&mut self, args: &mut Args<'_>) -> Answer {
        let path = args.path()?;
        done(truncate(&path, args.number()?))
    }

    fn access(&mut self, args: &mut Args<'_>) -> Answer {
        let path = args.path()?;
        done(fs::access(&path, flags::access(args.word()?)?))
    }

    fn getxattr(&mut self, args: &mut Args<'_>) -> Answer {
        let path = args.path()?;
        let mut value = [0; 256];
        let count = fs::getxattr(&path, args.word()?, &mut value[..])?;
        Ok(escape(&value[..count]))
    }

    fn setxattr(&mut self, args: &mut Args<'_>) -> Answer {
        let path = args.path()?;
        let name = args.word()?;
        done(fs::setxattr(&path, name, &args.bytes()?, XattrFlags::empty()))
    }

    fn listxattr(&mut self, args: &mut Args<'_>) -> Answer {
        let mut names = [0; 1024];
        let count = fs::listxattr(args.path()?, &mut names[..])?;
        Ok(escape(&names[..count]))
    }

    fn removexattr(&mut self, args: &mut Args<'_>) -> Answer {
        let path = args.path()?;
        done(fs::removexattr(&path, args.word()?))
    }

    fn chdir(&mut self, args: &mut Args<'_>) -> Answer {
        done(process::chdir(args.path()?))
    }

    fn umask(&mut self, args: &mut Args<'_>) -> Answer {
        process::umask(Mode::from_raw_mode(args.mode(0o022)?));
        Ok(String::new())
    }
}

/// What reading a file from its beginning to its end gives.
pub(super) fn contents(args: &mut Args<'_>) -> Result<Vec<u8>, Failure> {
    let file = fs::openat(CWD, args.path()?, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    let mut page = [0; 4096];
    loop {
        match io::read(&file, &mut page)? {
            0 => return Ok(text),
            count => text.extend_from_slice(&page[..count]),
        }
    }
}

/// An operation that answers with nothing but its success.
pub(super) fn done(result: io::Result<()>) -> Answer {
    result?;
    Ok(String::new())
}

/// `now`, `omit`, or seconds since 1970.
fn time(word: &str) -> Result<Timespec, Failure> {
    let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    match word {
        "now" => Ok(special(UTIME_NOW)),
        "omit" => Ok(special(UTIME_OMIT)),
        _ => Ok(Timespec { tv_sec: word.parse().map_err(|_| Failure::Unknown)?, tv_nsec: 0 }),
    }
}

/// truncate(2) itself: going through a descriptor is another operation with other answers.
fn truncate(path: &std::ffi::OsStr, length: i64) -> io::Result<()> {
    use rustix::path::Arg as _;
    path.into_with_c_str(|path| {
        // SAFETY: `path` is a string that ends with NUL and outlives the call, which keeps no pointer.
        match unsafe { libc::truncate(path.as_ptr(), length) } {
            0 => Ok(()),
            _ => Err(io::Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(io::Errno::IO)),
        }
    })
}
