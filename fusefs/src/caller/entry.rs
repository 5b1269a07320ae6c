//! The quick way to the mount for a target that begins with its path.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io;

use super::place::{self, Ident, Kind};
use super::walk::{Gate, Place};
use super::{ROOT, Resolver};

/// `f_type` of sysfs, whose directories nobody can rename.
const SYSFS: u64 = 0x6265_6572;

/// What is known about the mount's path from the root of this process.
///
/// Where every component is either itself a mount point or a directory of
/// sysfs, as in `/sys/kernel/config`, nothing but a change of the mount table
/// can make the path lead elsewhere, and the kernel reports such changes on a
/// descriptor of mountinfo. Then no look at the path is needed at all. (It is
/// in sysfs, too, where walking from the cache never works.)
#[derive(Debug)]
pub(super) struct Settled(Mutex<Watch>);

#[derive(Debug)]
struct Watch {
    table: Option<OwnedFd>,
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
    /// Some component can be renamed.
    Unsettled,
}

impl Settled {
    pub(super) fn new(proc: impl AsFd) -> Self {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let table = rustix::fs::openat(proc, "self/mountinfo", flags, Mode::empty()).ok();
        // Without the table nothing is ever settled, which costs time only.
        let known = if table.is_some() { Path::Unknown } else { Path::Unsettled };
        Self(Mutex::new(Watch { table, known }))
    }
}

impl Watch {
    /// Has the table changed since the last question?
    fn changed(&self) -> bool {
        let Some(table) = &self.table else {
            return true;
        };
        let mut fds = [PollFd::new(table, PollFlags::PRI)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut fds, Some(&now)) {
            Ok(0) => false,
            Ok(_) => fds[0].revents().intersects(PollFlags::PRI | PollFlags::ERR),
            Err(_) => true,
        }
    }
}

impl Resolver {
    /// Enters the mount by its own path from the root of `caller`; `None`
    /// sends the caller along the slow way, whatever the reason.
    pub(super) fn enter(&self, caller: u32) -> Option<Place> {
        let ident = match caller {
            0 => self.root.ident,
            _ => match Ident::at(&self.proc, root_of(caller).as_str()) {
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
            watch.known = self.look_along().unwrap_or(Path::Unknown);
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
    fn look_along(&self) -> io::Result<Path> {
        let mut names =
            self.mount_components().split(|&byte| byte == b'/').filter(|name| !name.is_empty()).peekable();
        let mut dir = place::open(&*self.root.fd, c".", OFlags::empty())?;
        while let Some(name) = names.next() {
            let next = place::open(&dir, name, OFlags::NOFOLLOW)?;
            let ident = Ident::of(&next)?;
            let kept = || io::Result::Ok(u64::try_from(rustix::fs::fstatfs(&dir)?.f_type) == Ok(SYSFS));
            if ident.kind != Kind::Directory || !(ident.mount_root || kept()?) {
                return Ok(Path::Unsettled);
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

/// The name of a thread's root below /proc.
pub(super) fn root_of(thread: u32) -> String {
    format!("{thread}/root")
}
