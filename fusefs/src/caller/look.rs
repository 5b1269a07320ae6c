//! Looking at objects without asking the file system they live in.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags};
use rustix::io::{self, Errno};
use rustix::path::Arg;

/// `STATX_MNT_ID_UNIQUE` (Linux 6.8): a mount id that is never used again.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// What kind of object was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    Link,
    Other,
}

/// Which object of which mount of which file system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ident {
    pub(super) dev: (u32, u32),
    pub(super) ino: u64,
    /// The id that mountinfo shows; 0 on a kernel before 5.8, which does not
    /// tell.
    pub(super) mount: u64,
    pub(super) kind: Kind,
    /// It is the root of its mount.
    pub(super) mount_root: bool,
    /// Something would be mounted here if it were entered.
    pub(super) automount: bool,
}

impl Ident {
    /// What an open descriptor stands for.
    pub(super) fn of(fd: impl AsFd) -> io::Result<Self> {
        look(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map(Self::from)
    }

    /// What `path`, followed to its end, stands for.
    pub(super) fn at(dir: impl AsFd, path: impl Arg) -> io::Result<Self> {
        look(dir, path, AtFlags::empty(), StatxFlags::MNT_ID).map(Self::from)
    }

    /// The same object, seen through the same mount?
    pub(super) fn same(&self, other: &Self) -> bool {
        self.same_object(other) && self.mount == other.mount
    }

    /// The same object, through whichever mount?
    pub(super) fn same_object(&self, other: &Self) -> bool {
        self.dev == other.dev && self.ino == other.ino
    }
}

impl From<Statx> for Ident {
    fn from(stat: Statx) -> Self {
        let kind = match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        Self {
            dev: (stat.stx_dev_major, stat.stx_dev_minor),
            ino: stat.stx_ino,
            mount: if has(&stat, StatxFlags::MNT_ID) { stat.stx_mnt_id } else { 0 },
            kind,
            mount_root: stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
            automount: stat.stx_attributes.contains(StatxAttributes::AUTOMOUNT),
        }
    }
}

/// Like [`Ident::at`], with the mount named by an id that never returns; the
/// id is `None` where the kernel has none.
pub(super) fn at_unique(dir: impl AsFd, path: impl Arg) -> io::Result<(Ident, Option<u64>)> {
    let stat = look(dir, path, AtFlags::empty(), MNT_ID_UNIQUE)?;
    let unique = has(&stat, MNT_ID_UNIQUE).then_some(stat.stx_mnt_id);
    Ok((Ident::from(stat), unique))
}

/// Opens as a mere name: neither reads nor asks the object's file system.
pub(super) fn open(dir: impl AsFd, path: impl Arg, extra: OFlags) -> io::Result<OwnedFd> {
    rustix::fs::openat(dir, path, OFlags::PATH | OFlags::CLOEXEC | extra, Mode::empty())
}

/// The mount's id that never returns, if the kernel has such ids.
pub(super) fn unique_of(fd: impl AsFd) -> io::Result<Option<u64>> {
    let stat = look(fd, c"", AtFlags::EMPTY_PATH, MNT_ID_UNIQUE)?;
    Ok(has(&stat, MNT_ID_UNIQUE).then_some(stat.stx_mnt_id))
}

fn has(stat: &Statx, flag: StatxFlags) -> bool {
    stat.stx_mask & flag.bits() != 0
}

/// `AT_STATX_DONT_SYNC` is what keeps this from asking a FUSE daemon.
fn look(dir: impl AsFd, path: impl Arg, at: AtFlags, mount_id: StatxFlags) -> io::Result<Statx> {
    let at = at | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let wanted = StatxFlags::TYPE | StatxFlags::INO | mount_id;
    match rustix::fs::statx(dir, path, at, wanted) {
        // A bad inode of a dead mount.
        Err(Errno::IO | Errno::NOTCONN) => Err(Errno::NOENT),
        other => other,
    }
}
