//! The quick way to the mount for a target that begins with its path.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use parking_lot::Mutex;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io;

use super::place::{self, Ident, Kind};
use super::walk::{Gate, Place};
use super::{ROOT, Resolver};

/// `f_type` of sysfs, whose directories nobody can rename.
const SYSFS: u64 = 0x6265_6572;

/// `f_type` of ext4, xfs, btrfs, f2fs, tmpfs, ramfs and overlayfs: all that is renamed there is renamed through
/// this very kernel, which says so.
const LOCAL: [u64; 7] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994, 0x8584_58f6, 0x794c_7630];

/// What is known about the mount's path from the root of this process.
///
/// Only two things can make it lead elsewhere: a change of the mount table,
/// which the kernel reports on a descriptor of mountinfo, and a component that
/// is renamed or removed, which it reports through inotify, before the call
/// that did it returns. One question to both is quicker than a look at the
/// path. A component that is a mount point or a directory of sysfs, as in
/// `/sys/kernel/config`, cannot be renamed and needs no watch. (It is in
/// sysfs, too, where walking from the cache never works.)
#[derive(Debug)]
pub(super) struct Settled(Mutex<Watch>);

#[derive(Debug)]
struct Watch {
    /// Asks both of the others at once: cheaper than poll(2), because they come forward by themselves.
    both: Option<OwnedFd>,
    /// The mount table.
    _table: Option<OwnedFd>,
    /// Watches the components; none while there is nothing to watch.
    renames: Option<OwnedFd>,
    known: Path,
}

/// What the last look along the path found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// Not looked yet, or the look failed.
    Unknown,
    /// It is settled and leads to the mount with this number.
    Leads(u64),
    /// It does not lead to the mount, and will not before the mounts change.
    Astray,
    /// Some component can be renamed without word of it.
    Unsettled,
}

impl Settled {
    pub(super) fn new(proc: impl AsFd) -> Self {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let table = rustix::fs::openat(proc, "self/mountinfo", flags, Mode::empty()).ok();
        let both = table.as_ref().and_then(|table| {
            let both = epoll::create(epoll::CreateFlags::CLOEXEC).ok()?;
            epoll::add(&both, table, EventData::new_u64(0), EventFlags::PRI).ok()?;
            Some(both)
        });
        // Without the table nothing is ever settled, which costs time only.
        let known = if both.is_some() { Path::Unknown } else { Path::Unsettled };
        Self(Mutex::new(Watch { both, _table: table, renames: None, known }))
    }
}

impl Watch {
    /// Has anything changed since the last question?
    fn changed(&self) -> bool {
        let Some(both) = &self.both else {
            return true;
        };
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(both, &mut events, Some(&now)) != Ok(0)
    }

    /// Looks along the path again, which deals with all that was reported.
    fn look(&mut self, resolver: &Resolver) {
        self.renames = None;
        let mut renames = None;
        self.known = resolver.look_along(&mut renames).unwrap_or(Path::Unknown);
        let heard = match (&self.both, &renames) {
            (Some(both), Some(renames)) => epoll::add(both, renames, EventData::new_u64(0), EventFlags::IN),
            _ => Ok(()),
        };
        if heard.is_err() {
            self.known = Path::Unsettled;
        }
        self.renames = renames;
    }
}

impl Resolver {
    /// Enters the mount by its own path from the root of `caller`; `None`
    /// sends the caller along the slow way, whatever the reason.
    pub(super) fn enter(&self, caller: u32) -> Option<Place> {
        let ident = match caller {
            0 => self.root.ident,
            _ => match self.last.root_of(&self.proc, caller) {
                Ok(ident) => ident,
                Err(io::Errno::ACCESS | io::Errno::PERM) => self.root.ident,
                Err(_) => return None,
            },
        };
        let opened;
        let root = if ident.same_place(&self.root.ident) {
            if let Some(mount) = self.settled() {
                return Some(Place::Inside(ROOT, Gate::at_root(mount)));
            }
            self.root.fd.as_fd()
        } else {
            opened = place::open(&self.proc, root_of(caller).as_str(), OFlags::empty()).ok()?;
            opened.as_fd()
        };
        // Only from the kernel's cache: this cannot ask anybody.
        let fd = rustix::fs::openat2(
            root,
            self.mount_components(),
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::CACHED | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
        )
        .ok()?;
        let ident = Ident::of(&fd).ok()?;
        // Elsewhere than at the root of the tree is for the slow way.
        let ours = ident.dev == self.mount.dev && ident.ino == ROOT;
        ours.then(|| Place::Inside(ROOT, Gate::at_root(ident.mount)))
    }

    /// The mount's path, to be walked from a root.
    fn mount_components(&self) -> &[u8] {
        let path = self.mount.path.as_os_str().as_bytes();
        let start = path.iter().position(|&byte| byte != b'/').unwrap_or(path.len());
        &path[start..]
    }

    /// The mount's number, if its path is settled and leads to it.
    fn settled(&self) -> Option<u64> {
        let mut watch = self.settled.0.lock();
        if watch.known == Path::Unsettled {
            return None;
        }
        // Ask before looking, so that a change during the look is seen by the
        // next question.
        if watch.changed() || watch.known == Path::Unknown {
            watch.look(self);
        }
        match watch.known {
            Path::Leads(mount) => Some(mount),
            _ => None,
        }
    }

    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        self.settled().is_some()
    }

    /// Walks the mount's path to see whether it is settled.
    fn look_along(&self, renames: &mut Option<OwnedFd>) -> io::Result<Path> {
        let mut names =
            self.mount_components().split(|&byte| byte == b'/').filter(|name| !name.is_empty()).peekable();
        let mut dir = place::open(&*self.root.fd, c".", OFlags::empty())?;
        while let Some(name) = names.next() {
            let next = place::open(&dir, name, OFlags::NOFOLLOW)?;
            let ident = Ident::of(&next)?;
            if ident.kind != Kind::Directory {
                return Ok(Path::Unsettled);
            }
            if !ident.mount_root && file_system(&dir)? != SYSFS {
                if !LOCAL.contains(&file_system(&next)?) || watch(renames, &next).is_err() {
                    return Ok(Path::Unsettled);
                }
                // It may have been renamed before it was watched.
                if !Ident::of(place::open(&dir, name, OFlags::NOFOLLOW)?)?.same_place(&ident) {
                    return Ok(Path::Unknown);
                }
            }
            if ident.dev == self.mount.dev {
                let at_root = ident.ino == ROOT && names.peek().is_none();
                return Ok(if at_root { Path::Leads(ident.mount) } else { Path::Astray });
            }
            dir = next;
        }
        Ok(Path::Astray)
    }
}

fn file_system(dir: &OwnedFd) -> io::Result<u64> {
    Ok(u64::try_from(rustix::fs::fstatfs(dir)?.f_type).unwrap_or(0))
}

/// Has it said when `dir` is renamed or removed.
fn watch(renames: &mut Option<OwnedFd>, dir: &OwnedFd) -> io::Result<()> {
    let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
    let renames = match renames {
        Some(renames) => renames,
        None => renames.insert(inotify::init(flags)?),
    };
    let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
    inotify::add_watch(renames, path, WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF).map(drop)
}

/// The name of a thread's root below /proc.
pub(super) fn root_of(thread: u32) -> String {
    format!("{thread}/root")
}
