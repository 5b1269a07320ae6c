//! A directory that was opened once: what is checked and what is mounted on is this directory, whatever its path leads
//! to a moment later.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, Statx, StatxFlags, fstatfs, openat, readlinkat,
    statx,
};
use rustix::io::Errno;
use uo2cb_fusefs::mounts::{Id, Mount, Mounts};

use super::limited::within;
use crate::error::Error;

/// How long the file systems on the way to a directory may take.
const LIMIT: Duration = Duration::from_secs(5);
/// A link that was changed so short a time ago may be about to change again,
const LATELY: Duration = Duration::from_secs(3);
/// and has to stay for so long.
pub const SETTLED: Duration = Duration::from_millis(100);
/// As many links as the kernel follows.
const LINKS: usize = 40;

/// A link that was followed.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Link {
    device: (u32, u32),
    inode: u64,
    /// Renaming changes it, but clocks of file systems are coarse.
    changed: (i64, u32),
}

/// The directories in which links were followed. Whatever happens there to a name is noticed, also when all looks as
/// before afterwards.
#[derive(Debug, Default)]
struct Watched(Option<OwnedFd>);

impl Watched {
    fn add(&mut self, dir: &OwnedFd) -> Result<(), Errno> {
        let queue = match self.0.take() {
            Some(queue) => queue,
            None => inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
        };
        let what = WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::DELETE;
        // A queue that cannot be had is no reason not to mount: then only what is seen counts.
        let _ = inotify::add_watch(&queue, format!("/proc/self/fd/{}", dir.as_raw_fd()), what);
        self.0 = Some(queue);
        Ok(())
    }

    /// Has anything happened to one of these names, or more than could be kept?
    fn changed(&self, names: &[OsString]) -> bool {
        let Some(queue) = &self.0 else { return false };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(queue, &mut buffer);
        while let Ok(event) = events.next() {
            let named = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW)
                || named.is_some_and(|name| names.iter().any(|followed| followed == name))
            {
                return true;
            }
        }
        false
    }
}

/// An open directory, or whatever the path leads to.
#[derive(Debug)]
pub struct Place {
    pub(crate) fd: OwnedFd,
    /// From the root, without links.
    pub(crate) path: PathBuf,
    pub(crate) id: Id,
    links: Vec<Link>,
    names: Vec<OsString>,
    watched: Watched,
}

/// How far a path is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow {
    /// To its end.
    All,
    /// Into one of our trees and no further, where it cannot lead out of it again: that tree may not answer.
    IntoTree,
}

impl Place {
    /// Opens what a path leads to. Links of strangers are not followed: they could lead anywhere a moment later.
    pub(crate) fn open(path: &Path, follow: Follow) -> Result<Self, Error> {
        let wanted = path.to_owned();
        let found = within(LIMIT, move || walk(&wanted, follow));
        found.ok_or_else(|| Error::Hangs(path.to_owned()))?
    }

    /// The mount it is in.
    pub(crate) fn mount<'a>(&self, mounts: &'a Mounts) -> Option<&'a Mount> {
        mounts.get(self.id)
    }

    /// Does `later` have been reached through the same links, and have those been the same all the time?
    pub(crate) fn same_way(&self, later: &Self) -> bool {
        self.links == later.links && !self.watched.changed(&self.names)
    }

    /// Does a link keep changing? One that was changed lately is looked at for some time.
    pub(crate) fn settles(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let young = |link: &Link| {
            let changed = u64::try_from(link.changed.0).map_or(Duration::ZERO, Duration::from_secs);
            changed.abs_diff(now) < LATELY
        };
        if self.links.iter().any(young) {
            thread::sleep(SETTLED);
        }
        !self.watched.changed(&self.names)
    }

    /// The directory as text, for another process that opens it too.
    pub fn identity(&self) -> String {
        let inode = look(&self.fd).map(|found| found.stx_ino).unwrap_or_default();
        format!("{}:{inode}", self.id.shown())
    }

    /// Is it the same directory, seen through the same mount?
    pub(crate) fn same(&self, other: &Self) -> bool {
        let inode = |place: &Self| look(&place.fd).map(|found| (number(&found), found.stx_ino)).ok();
        self.id == other.id && inode(self) == inode(other)
    }

    /// As a path that leads to this very directory while it is open.
    pub(crate) fn descriptor(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.fd.as_raw_fd()).into()
    }
}

/// What the kernel knows without asking the file system.
fn look(fd: impl AsFd) -> Result<Statx, Errno> {
    statx(fd, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS)
}

fn number(found: &Statx) -> (u32, u32) {
    (found.stx_dev_major, found.stx_dev_minor)
}

pub(super) fn failed(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::NoMountPoint(path.to_owned()),
        io::ErrorKind::NotADirectory => Error::NotADirectory(path.to_owned()),
        _ => Error::MountPoint(path.to_owned(), error),
    }
}

fn walk(path: &Path, follow: Follow) -> Result<Place, Error> {
    let failed = |errno: Errno| failed(path, errno.into());
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let open = |dir: &OwnedFd, name: &OsStr| openat(dir, name, flags, Mode::empty());
    let start = |path: &Path| {
        openat(CWD, if path.is_absolute() { "/" } else { "." }, flags, Mode::empty()).map_err(failed)
    };
    let mut fd = start(path)?;
    let (mut links, mut followed, mut watched) = (Vec::new(), Vec::new(), Watched::default());
    let mut rest = names(path);
    if path.as_os_str().is_empty() {
        return Err(failed(Errno::NOENT));
    }
    while let Some(name) = rest.pop_front() {
        if follow == Follow::IntoTree && !rest.iter().chain([&name]).any(|name| name == "..") && in_tree(&fd)
        {
            break;
        }
        let next = open(&fd, &name).map_err(failed)?;
        // What cannot be looked at is the root of another user's mount.
        match look(&next) {
            Ok(found) if FileType::from_raw_mode(found.stx_mode.into()) == FileType::Symlink => {
                if is_stranger(found.stx_uid) {
                    return Err(Error::Link(path.to_owned(), name.into(), found.stx_uid));
                }
                if links.len() == LINKS {
                    return Err(failed(Errno::LOOP));
                }
                watched.add(&fd).map_err(failed)?;
                followed.push(name.clone());
                // What was read before it was watched may be another's already.
                let next = open(&fd, &name).map_err(failed)?;
                let again = look(&next).map_err(failed)?;
                if (number(&again), again.stx_ino) != (number(&found), found.stx_ino) {
                    return Err(Error::Replaced(path.to_owned()));
                }
                let changed = (found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec);
                links.push(Link { device: number(&found), inode: found.stx_ino, changed });
                // A link of /proc may stand for more than its text.
                if fstatfs(&fd).is_ok_and(|system| system.f_type == PROC_SUPER_MAGIC) {
                    fd = openat(&fd, &name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
                    continue;
                }
                let target = readlinkat(&next, c"", Vec::new()).map_err(failed)?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    fd = start(&target)?;
                }
                let mut names = names(&target);
                names.append(&mut rest);
                rest = names;
            }
            _ => fd = next,
        }
    }
    let id = Id::of(&fd).map_err(|error| Error::MountPoint(path.to_owned(), error))?;
    let shown = readlinkat(CWD, format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new()).map_err(failed)?;
    let shown = PathBuf::from(OsString::from_vec(shown.into_bytes()));
    if shown.as_os_str().as_bytes().ends_with(b" (deleted)")
        && look(&fd).is_ok_and(|found| found.stx_nlink == 0)
    {
        return Err(failed(Errno::NOENT));
    }
    Ok(Place { fd, path: shown, id, links, names: followed, watched })
}

/// Neither root nor this user. In a user name space root may be one of those who have no number there.
fn is_stranger(uid: u32) -> bool {
    let unmapped = || {
        let number = |file: &str| std::fs::read_to_string(file).ok()?.trim().parse().ok();
        let all = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
        number("/proc/sys/kernel/overflowuid") == Some(uid)
            && std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !all(map))
    };
    uid != 0 && uid != rustix::process::geteuid().as_raw() && !unmapped()
}

/// The names of a path, one after the other. A dot at the end stays: what is before it must be a directory.
fn names(path: &Path) -> VecDeque<OsString> {
    let mut names: VecDeque<OsString> = path
        .components()
        .filter_map(|part| match part {
            Component::ParentDir => Some("..".into()),
            Component::Normal(name) => Some(name.to_owned()),
            _ => None,
        })
        .collect();
    let bytes = path.as_os_str().as_bytes();
    if bytes.ends_with(b"/") || bytes.ends_with(b"/.") {
        names.push_back(".".into());
    }
    names
}

/// Does it stand in a tree of ours that nothing else is mounted in?
fn in_tree(fd: &OwnedFd) -> bool {
    let found = || {
        let mounts = Mounts::read().ok()?;
        let mount = mounts.get(Id::of(fd).ok()?)?;
        Some(mount.ours && !mounts.carries(mount))
    };
    found().unwrap_or(false)
}
