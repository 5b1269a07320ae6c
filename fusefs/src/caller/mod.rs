//! Resolving the target of a symlink(2) as its caller would.
//!
//! configfs resolves a link's target at the time of the call: an absolute one
//! from the calling process' root, a relative one from its current directory.
//! A FUSE server gets no more than the text and the thread's number, while
//! the kernel holds the directory of the new link locked: a path lookup that
//! needs an answer from this very server would wait for ever. So the part of
//! the path outside the mount is walked with the kernel, one component at a
//! time and never from a directory of the mount, and the part inside in
//! memory, by [`Inside`].
//!
//! The mount is known by the device number of its superblock, which is the
//! same through bind mounts, in other mount name spaces and under chroot; the
//! inode number then tells where in the tree the path entered.
//!
//! A look into another file system may take any time, and its server may even
//! wait for this one. So there are two ways: [`Resolver::within`] walks what lies
//! in the tree and asks nobody; what it leaves is for [`Resolver::everywhere`],
//! on a thread of its own, which walks with the rights of the caller.
//!
//! Known differences from configfs, all for setups nobody should have:
//! - a file system mounted over a directory *inside* the tree is not seen;
//! - where this process may not take on the caller's rights, another user's
//!   path leads only through directories that everybody may search;
//! - climbing out of the mount from a current directory inside it needs mount
//!   numbers, which the kernel tells since 5.8.

mod dir;
mod failure;
mod last;
mod look;
mod mountinfo;
mod names;
mod procfs;
mod rights;
mod settled;
mod walk;

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, OFlags};
use uo2cb_core::Caller;

pub use self::failure::Failure;
pub use self::procfs::proc_is_own;

use self::last::LastCaller;
use self::look::Ident;
pub(crate) use self::rights::Rights;
use self::settled::Settled;
use self::walk::{Stop, Walk};

/// The inode number of the tree's root.
const ROOT: u64 = 1;

/// The longest name of a component.
const NAME_MAX: usize = 255;

/// The kernel's limit of a path, its end mark included.
const PATH_MAX: usize = 4096;

/// What a name in a directory of the tree stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A directory, by its inode number.
    Directory(u64),
    /// An attribute.
    File,
    /// A link, with its body, which is relative to the directory holding it.
    Link(Vec<u8>),
    /// No such name, or no such directory any more.
    Missing,
    /// The caller may not look anything up in the directory.
    Denied,
}

/// A target that could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// Why.
    pub failure: Failure,
    /// The component that was looked up then; empty: none was.
    pub component: Vec<u8>,
}

/// The tree inside the mount, answering from memory.
///
/// Inode numbers are those that the kernel was told; the root has 1.
pub trait Inside {
    /// May the caller look anything up in the directory `dir`?
    fn may_search(&self, dir: u64) -> bool;

    /// Looks up `name`, which is neither `.` nor `..`, in the directory `dir`, if the caller may.
    fn step(&self, dir: u64, name: &[u8]) -> Step;

    /// The directory that holds the directory `dir`; `None` if that is the
    /// root or no longer there.
    fn parent(&self, dir: u64) -> Option<u64>;
}

/// A mount of the tree as the kernel names it.
#[derive(Clone, Debug)]
pub struct MountId {
    dev: (u32, u32),
    path: PathBuf,
    /// The mount's number that never returns, and the one in mountinfo.
    numbers: Option<(u64, u64)>,
}

impl MountId {
    /// Identifies the mount at `path`, an absolute path without links.
    ///
    /// To be called once the tree is mounted; does not wait for its server.
    ///
    /// # Errors
    /// When the path cannot be opened.
    pub fn of(path: &Path) -> io::Result<Self> {
        let fd = look::open(CWD, path, OFlags::DIRECTORY)?;
        let ident = Ident::of(&fd)?;
        let numbers = match look::unique_of(&fd)? {
            Some(unique) if ident.ino == ROOT => Some((unique, ident.mount)),
            _ => None,
        };
        Ok(Self { dev: ident.dev, path: path.to_owned(), numbers })
    }

    /// Major and minor device number, as stat(2) shows them.
    #[must_use]
    pub fn dev(&self) -> (u32, u32) {
        self.dev
    }

    /// Where it was mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Resolves targets for the callers of one mount.
#[derive(Debug)]
pub struct Resolver {
    mount: MountId,
    proc: OwnedFd,
    /// `proc` is of this process' PID name space.
    proc_is_own: bool,
    /// The root of this process.
    root: Root,
    /// The user of this process.
    uid: u32,
    dumpable: bool,
    settled: Settled,
    last: LastCaller,
}

/// The root directory of some process.
#[derive(Clone, Debug)]
struct Root {
    fd: Arc<OwnedFd>,
    ident: Ident,
}

impl Root {
    fn new(fd: OwnedFd) -> rustix::io::Result<Self> {
        Ok(Self { ident: Ident::of(&fd)?, fd: Arc::new(fd) })
    }
}

impl Resolver {
    /// Makes a resolver for `mount`; it keeps a few descriptors open, none of
    /// them on the mount.
    ///
    /// # Errors
    /// When `/` or `/proc` cannot be opened.
    pub fn new(mount: MountId) -> io::Result<Self> {
        let proc = look::open(CWD, "/proc", OFlags::DIRECTORY)?;
        let root = Root::new(look::open(CWD, "/", OFlags::DIRECTORY)?)?;
        let settled = Settled::new(&proc);
        Ok(Self {
            mount,
            proc_is_own: procfs::is_own(&proc),
            proc,
            root,
            uid: rustix::process::geteuid().as_raw(),
            dumpable: rights::is_dumpable(),
            settled,
            last: LastCaller::default(),
        })
    }

    /// The mount it was made for.
    #[must_use]
    pub fn mount(&self) -> &MountId {
        &self.mount
    }

    /// Resolves `target` as `caller` would and returns the inode number of the directory it leads to: 1 for the
    /// root of the tree. Asks no other file system: `None` if that would be needed.
    ///
    /// `caller` must be inside symlink(2) meanwhile. The pid 0 stands for a caller in another pid name space; its
    /// absolute targets are taken from the root of this process, as are those of a caller that this process may
    /// not look into.
    pub fn within(
        &self,
        caller: Caller,
        target: &[u8],
        inside: &dyn Inside,
    ) -> Option<Result<u64, Unresolved>> {
        if let Err(failure) = check(target) {
            return Some(Err(Unresolved { failure, component: Vec::new() }));
        }
        let mut walk = Walk::new(self, self.visible(caller.pid), inside);
        let result = match self.below_mount(target).and_then(|rest| Some((rest, self.enter(caller)?))) {
            Some((rest, dir)) => walk.run(dir, rest),
            None => walk.start(target),
        };
        match result {
            Ok(ino) => Some(Ok(ino)),
            Err(Stop::OutOfBounds) => None,
            Err(Stop::Failure(failure)) => Some(Err(Unresolved { failure, component: walk.component() })),
        }
    }

    /// The same along any path, which may take any time. The calling thread takes on the rights of `caller`, for
    /// the rest of its life: it should end soon.
    ///
    /// # Errors
    /// When it does not lead to a directory of the tree.
    pub fn everywhere(&self, caller: Caller, target: &[u8], inside: &dyn Inside) -> Result<u64, Unresolved> {
        let mut walk = Walk::new(self, self.visible(caller.pid), inside);
        let result = check(target).map_err(Stop::Failure).and_then(|()| {
            let rights = || self.rights(caller).take_on(&self.proc, self.dumpable);
            let start = walk.everywhere(target[0] == b'/', rights)?;
            walk.run(start, target)
        });
        result.map_err(|stop| match stop {
            Stop::Failure(failure) => Unresolved { failure, component: walk.component() },
            Stop::OutOfBounds => Unresolved { failure: Failure::NoWayOut, component: walk.component() },
        })
    }

    /// What `caller` may do.
    pub(crate) fn rights(&self, caller: Caller) -> Rights {
        Rights::of(&self.proc, Caller { pid: self.visible(caller.pid), ..caller })
    }

    /// The current directory of `caller` in words, for a line of the log.
    #[must_use]
    pub fn current_directory(&self, caller: Caller) -> Option<PathBuf> {
        let thread = Some(self.visible(caller.pid)).filter(|thread| *thread != 0)?;
        let link = rustix::fs::readlinkat(&self.proc, format!("{thread}/cwd"), Vec::new()).ok()?;
        Some(PathBuf::from(std::ffi::OsString::from_vec(link.into_bytes())))
    }

    /// The caller's thread as /proc numbers it; 0: it cannot be seen.
    fn visible(&self, pid: u32) -> u32 {
        if self.proc_is_own { pid } else { 0 }
    }

    /// Why a caller without a number cannot be looked at.
    fn hidden(&self) -> Failure {
        if self.proc_is_own { Failure::CallerOutside } else { Failure::ForeignProc }
    }

    /// What follows the mount point's path in `target`.
    fn below_mount<'t>(&self, target: &'t [u8]) -> Option<&'t [u8]> {
        let path = self.mount.path.as_os_str().as_bytes();
        let rest = target.strip_prefix(path)?;
        let whole = path.len() > 1 && path[0] == b'/';
        (whole && (rest.is_empty() || rest[0] == b'/')).then_some(rest)
    }
}

/// The kernel's first look at a path.
fn check(target: &[u8]) -> Result<(), Failure> {
    match target.len() {
        0 => Err(Failure::Missing),
        PATH_MAX.. => Err(Failure::TooLong),
        _ => Ok(()),
    }
}

/// The name of a thread's root below /proc.
fn root_of(thread: u32) -> String {
    format!("{thread}/root")
}
