//! Mount points: whether a tree can be mounted on a directory, and what stands there already.

use std::fs::{self, File, OpenOptions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use rustix::fs::{Access, AtFlags, CWD, FlockOperation, StatxFlags, flock, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::error::Error;
use crate::control;

/// The source that every mount of ours names in /proc/self/mountinfo.
const SOURCE: &str = "uo2cb";
/// How long another one of us may take to mount.
const LOCK: Duration = Duration::from_secs(5);
/// How many dead mounts may lie on top of one another.
const STACKED: usize = 16;

/// The directory's path from the root, without links. Works on a dead mount too.
pub fn canonical(dir: &Path) -> Result<PathBuf, Error> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Error::NoMountPoint(dir.to_owned()),
        io::ErrorKind::NotADirectory => Error::NotADirectory(dir.to_owned()),
        _ => Error::MountPoint(dir.to_owned(), error),
    };
    match fs::canonicalize(dir) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED)) => {
            let (parent, name) = (dir.parent(), dir.file_name());
            let (Some(parent), Some(name)) = (parent, name) else { return Err(failed(error)) };
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            Ok(fs::canonicalize(parent).map_err(failed)?.join(name))
        }
        other => other.map_err(failed),
    }
}

/// Whether this user can mount at all.
pub fn may_mount(allow_other: bool) -> Result<(), Error> {
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        return Err(match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => Error::FuseDenied(error),
            _ => Error::NoFuse,
        });
    }
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    if fusermount().is_none() {
        return Err(Error::NoFusermount);
    }
    let conf = fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    if allow_other && !conf.lines().any(|line| line.trim() == "user_allow_other") {
        return Err(Error::AllowOther);
    }
    Ok(())
}

/// A mount point that will do, locked against others of us until it is dropped.
#[derive(Debug)]
pub struct Prepared {
    /// What a killed daemon had left there was taken away.
    pub recovered: bool,
    _lock: File,
}

/// Checks a [canonical] mount point, after taking away what a killed daemon left there.
pub fn prepare(dir: &Path) -> Result<Prepared, Error> {
    let recovered = recover(dir)?;
    let free = || match ours(dir) {
        true => Err(Error::Mounted(dir.to_owned(), control::mounted_by(dir))),
        false => Ok(()),
    };
    free()?;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Error::NoMountPoint(dir.to_owned()),
        io::ErrorKind::NotADirectory => Error::NotADirectory(dir.to_owned()),
        _ => Error::MountPoint(dir.to_owned(), error),
    };
    if fs::read_dir(dir).map_err(failed)?.next().is_some() {
        return Err(Error::NotEmpty(dir.to_owned()));
    }
    rustix::fs::access(dir, Access::WRITE_OK).map_err(|errno| failed(errno.into()))?;
    let lock = File::open(dir).map_err(failed)?;
    // Held by somebody for another reason it does not stand in the way for ever.
    let deadline = Instant::now() + LOCK;
    while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    // Another may have been faster.
    free()?;
    Ok(Prepared { recovered, _lock: lock })
}

/// Takes a dead mount of ours away from `dir`. False if there was none.
pub fn recover(dir: &Path) -> Result<bool, Error> {
    let mut recovered = false;
    for _ in 0..STACKED {
        // The list first: asking a mount of somebody else could hang.
        if !ours(dir) || !dead(dir) {
            break;
        }
        detach(dir).map_err(|error| Error::Stale(dir.to_owned(), error))?;
        recovered = true;
    }
    Ok(recovered)
}

/// Has the mount on `dir` lost its daemon? The kernel may go on showing attributes that it remembers, so it is
/// made to ask. A daemon that dies meanwhile aborts the question.
fn dead(dir: &Path) -> bool {
    let asked = statx(CWD, dir, AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS);
    matches!(asked, Err(Errno::NOTCONN | Errno::CONNABORTED))
}

/// Is the topmost mount on `dir` one of ours, dead or alive?
pub fn ours(dir: &Path) -> bool {
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    // The last line of a place is the topmost mount.
    let mut mounts = mounts.rsplit(|byte| *byte == b'\n').filter_map(mount);
    mounts.find(|(place, _)| place == dir).is_some_and(|(_, ours)| ours)
}

/// Those of the places where a mount of ours is the topmost one, with the name of its FUSE connection.
pub(crate) fn of_ours(places: &[PathBuf]) -> Vec<(PathBuf, String)> {
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let found = places.iter().filter_map(|place| {
        let line = mounts
            .rsplit(|byte| *byte == b'\n')
            .find(|line| mount(line).is_some_and(|(found, _)| found == *place))?;
        mount(line).filter(|(_, ours)| *ours)?;
        // Major and minor of its device; the minor is the connection's name.
        let device = line.split(|byte| *byte == b' ').nth(2)?;
        let minor = device.rsplit(|byte| *byte == b':').next()?;
        Some((place.clone(), String::from_utf8_lossy(minor).into_owned()))
    });
    found.collect()
}

/// Place of a mount in a line of mountinfo, and whether it is one of ours.
fn mount(line: &[u8]) -> Option<(PathBuf, bool)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let place = unescaped(fields.nth(4)?);
    let mut fields = fields.skip_while(|field| field != b"-").skip(1);
    let (fs_type, source) = (fields.next()?, fields.next()?);
    Some((place, fs_type.starts_with(b"fuse") && source == SOURCE.as_bytes()))
}

/// Spaces, tabs, newlines and backslashes stand as three octal digits behind a backslash.
fn unescaped(mut field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    while let Some((first, rest)) = field.split_first() {
        let octal = rest
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        field = if octal.is_some() { &rest[3..] } else { rest };
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// Unmounts now for everybody who comes, later for those who are in it.
pub fn detach(dir: &Path) -> io::Result<()> {
    match unmount(dir, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Err(Errno::PERM) => {}
        other => return Ok(other?),
    }
    let fusermount = fusermount().ok_or_else(|| io::Error::other("no fusermount3"))?;
    let output = Command::new(fusermount).args(["-u", "-z", "--"]).arg(dir).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// The program through which ordinary users mount.
pub(crate) fn fusermount() -> Option<PathBuf> {
    if let Some(path) = env::var_os("FUSERMOUNT_PATH") {
        return Some(path.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> =
        env::split_paths(&path).filter(|dir| !dir.as_os_str().as_bytes().is_empty()).collect();
    ["fusermount3", "fusermount"]
        .into_iter()
        .flat_map(|name| dirs.iter().map(move |dir| dir.join(name)))
        .find(|program| rustix::fs::access(program, Access::EXEC_OK).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let line =
            b"36 35 98:0 / /mnt/a\\040b\\134 rw,nosuid shared:1 master:2 - fuse.uo2cb uo2cb rw,user_id=0";
        assert_eq!(mount(line), Some(("/mnt/a b\\".into(), true)));
        let line = b"36 35 98:0 / /mnt rw - ext4 uo2cb rw";
        assert_eq!(mount(line), Some(("/mnt".into(), false)));
        assert_eq!(mount(b"36 35 98:0 / /mnt rw - fuse sshfs rw").map(|mount| mount.1), Some(false));
        assert_eq!(mount(b""), None);
    }

    #[test]
    fn directories_that_will_not_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(dir.path()).unwrap();
        assert!(!prepare(&path).unwrap().recovered);
        fs::write(path.join("file"), "").unwrap();
        assert!(matches!(prepare(&path), Err(Error::NotEmpty(_))));
        assert!(matches!(prepare(&path.join("file")), Err(Error::NotADirectory(_))));
        assert!(matches!(canonical(&path.join("none")), Err(Error::NoMountPoint(_))));
        assert!(matches!(canonical(&path.join("file/x")), Err(Error::NotADirectory(_))));
        std::os::unix::fs::symlink(".", path.join("self")).unwrap();
        assert_eq!(canonical(&path.join("self/self")).unwrap(), path);
    }
}
