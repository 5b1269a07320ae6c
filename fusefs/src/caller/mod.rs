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
//! Known differences from configfs, all for setups nobody should have:
//! - a file system mounted over a directory *inside* the tree is not seen;
//! - directories outside are searched with the rights of this process, not
//!   of the caller, and those inside without asking for any;
//! - a path through another FUSE mount waits for its server, which must not
//!   in turn wait for this one;
//! - climbing out of the mount from a current directory inside it needs mount
//!   numbers, which the kernel tells since 5.8.

mod entry;
mod failure;
mod last;
mod mountinfo;
mod names;
mod place;
mod procfs;
mod walk;

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, OFlags};

pub use self::failure::Failure;
pub use self::procfs::proc_is_own;

use self::entry::Settled;
use self::last::LastCaller;
use self::place::Ident;
use self::walk::Walk;

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
}

/// The tree inside the mount, answering from memory.
///
/// Inode numbers are those that the kernel was told; the root has 1.
pub trait Inside {
    /// May the caller look anything up in the directory `dir`?
    fn may_search(&self, dir: u64) -> bool;

    /// Looks up `name`, which is neither `.` nor `..`, in the directory `dir`.
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
        let fd = place::open(CWD, path, OFlags::DIRECTORY)?;
        let ident = Ident::of(&fd)?;
        let numbers = match place::unique_of(&fd)? {
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
    /// The root of this process.
    root: Root,
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
        let proc = place::open(CWD, "/proc", OFlags::DIRECTORY)?;
        let root = Root::new(place::open(CWD, "/", OFlags::DIRECTORY)?)?;
        let settled = Settled::new(&proc);
        Ok(Self { mount, proc, root, settled, last: LastCaller::default() })
    }

    /// The mount it was made for.
    #[must_use]
    pub fn mount(&self) -> &MountId {
        &self.mount
    }

    /// Resolves `target` as the thread `caller` would and returns the inode
    /// number of the directory it leads to: 1 for the root of the tree.
    ///
    /// `caller` must be inside symlink(2) meanwhile. 0 stands for a caller in
    /// another pid name space; its absolute targets are taken from the root
    /// of this process, as are those of a caller that this process may not
    /// look into.
    ///
    /// # Errors
    /// When it does not lead to a directory of the tree.
    pub fn resolve(&self, caller: u32, target: &[u8], inside: &dyn Inside) -> Result<u64, Failure> {
        if target.is_empty() {
            return Err(Failure::Missing);
        }
        if target.len() >= PATH_MAX {
            return Err(Failure::TooLong);
        }
        let mut walk = Walk::new(self, caller, inside);
        match self.below_mount(target).and_then(|rest| Some((rest, self.enter(caller)?))) {
            Some((rest, place)) => walk.run(place, rest),
            None => walk.start(target),
        }
    }

    /// What follows the mount point's path in `target`.
    fn below_mount<'t>(&self, target: &'t [u8]) -> Option<&'t [u8]> {
        let path = self.mount.path.as_os_str().as_bytes();
        let rest = target.strip_prefix(path)?;
        let whole = path.len() > 1 && path[0] == b'/';
        (whole && (rest.is_empty() || rest[0] == b'/')).then_some(rest)
    }
}
