//! The quick way to the mount, for a target that begins with the mount's path.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use parking_lot::Mutex;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io;
use uo2cb_core::Caller;

use super::dir::{Dir, Through};
use super::look::{self, Ident, Kind};
use super::mountinfo::Mounts;
use super::rights::open_to_all;
use super::{ROOT, Resolver, root_of};

/// Its directories cannot be renamed.
const SYSFS: &[u8] = b"sysfs";

/// All that is renamed in these is renamed through this very kernel, which says so; and they ask no server.
const LOCAL: [&[u8]; 10] =
    [b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"f2fs", b"tmpfs", b"ramfs", b"rootfs", b"overlay"];

/// What is known about the mount's path from the root of this process.
///
/// Only two things can make it lead elsewhere: a change of the mount table,
/// which the kernel reports on a descriptor of mountinfo, and a component that
/// is renamed or removed, which it reports through inotify, before the call
/// that did it returns; so it does of a change of rights. One question to both is quicker than a look at the
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
    /// It is settled and leads to the mount with this number; `open`: everybody may search every directory on it.
    Leads { mount: u64, open: bool },
    /// It does not lead to the mount, and will not before the mounts change.
    Elsewhere,
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
    /// Enters the mount by its own path from the root of `caller`, without asking any file system; `None` sends
    /// the caller along the slow way, whatever the reason.
    pub(super) fn enter(&self, caller: Caller) -> Option<Dir> {
        let thread = self.visible(caller.pid);
        let ident = match thread {
            0 => self.root.ident,
            _ => match self.last.root_of(&self.proc, thread) {
                Ok(ident) => ident,
                Err(io::Errno::ACCESS | io::Errno::PERM) => self.root.ident,
                Err(_) => return None,
            },
        };
        // What this process may search another user perhaps may not.
        let own = caller.uid == self.uid;
        let opened;
        let root = if ident.same(&self.root.ident) {
            if let Some((mount, open)) = self.settled() {
                return (own || open).then(|| Dir::Inside(ROOT, Through::whole(mount)));
            }
            self.root.fd.as_fd()
        } else {
            opened = look::open(&self.proc, root_of(thread).as_str(), OFlags::empty()).ok()?;
            opened.as_fd()
        };
        if !own {
            return None;
        }
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
        ours.then(|| Dir::Inside(ROOT, Through::whole(ident.mount)))
    }

    /// The mount's path, to be walked from a root.
    fn mount_components(&self) -> &[u8] {
        let path = self.mount.path.as_os_str().as_bytes();
        let start = path.iter().position(|&byte| byte != b'/').unwrap_or(path.len());
        &path[start..]
    }

    /// The mount's number, if its path is settled and leads to it, and whether that is open to everybody.
    fn settled(&self) -> Option<(u64, bool)> {
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
            Path::Leads { mount, open } => Some((mount, open)),
            _ => None,
        }
    }

    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        self.settled().is_some()
    }

    /// Walks the mount's path to see whether it is settled. Stops before a file system that could ask somebody.
    fn look_along(&self, renames: &mut Option<OwnedFd>) -> io::Result<Path> {
        let table = Mounts::read(&self.proc, "self")?;
        let kind = |of: &Ident| table.find(of.mount).map(|mount| mount.kind.as_slice()).unwrap_or_default();
        let mut names =
            self.mount_components().split(|&byte| byte == b'/').filter(|name| !name.is_empty()).peekable();
        let mut dir = look::open(&*self.root.fd, c".", OFlags::empty())?;
        let mut here = self.root.ident;
        let mut open = true;
        while let Some(name) = names.next() {
            let sysfs = kind(&here) == SYSFS;
            if !sysfs && !LOCAL.contains(&kind(&here)) {
                return Ok(Path::Unsettled);
            }
            open = open && watch(renames, &dir, WatchFlags::ATTRIB).is_ok() && open_to_all(&dir);
            let next = look::open(&dir, name, OFlags::NOFOLLOW)?;
            let ident = Ident::of(&next)?;
            if ident.kind != Kind::Directory {
                return Ok(Path::Unsettled);
            }
            if !ident.mount_root && !sysfs {
                let renamed = WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
                if watch(renames, &next, renamed).is_err() {
                    return Ok(Path::Unsettled);
                }
                // It may have been renamed before it was watched.
                if !Ident::of(look::open(&dir, name, OFlags::NOFOLLOW)?)?.same(&ident) {
                    return Ok(Path::Unknown);
                }
            }
            if ident.dev == self.mount.dev {
                let at_root = ident.ino == ROOT && names.peek().is_none();
                return Ok(if at_root { Path::Leads { mount: ident.mount, open } } else { Path::Elsewhere });
            }
            (dir, here) = (next, ident);
        }
        Ok(Path::Elsewhere)
    }
}

/// Has it said when `dir` is changed in one of these ways.
fn watch(renames: &mut Option<OwnedFd>, dir: &OwnedFd, what: WatchFlags) -> io::Result<()> {
    let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
    let renames = match renames {
        Some(renames) => renames,
        None => renames.insert(inotify::init(flags)?),
    };
    let path = format!("/proc/thread-self/fd/{}", dir.as_raw_fd());
    // A directory may be watched already, for something else.
    inotify::add_watch(renames, path, what | WatchFlags::MASK_ADD).map(drop)
}
