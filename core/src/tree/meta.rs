//! What stat(2) shows, and what chmod, chown and utimes change.

use crate::ids::ItemId;
use crate::time::Stamp;

/// Something that has an inode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Object {
    /// A directory.
    Dir(ItemId),
    /// The attribute of a directory with this number in its kind.
    Attribute(ItemId, u8),
    /// A symbolic link.
    Link(ItemId),
}

/// Kind of inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileType {
    /// Directory.
    Directory,
    /// Regular file: an attribute.
    File,
    /// Symbolic link.
    Symlink,
}

impl Object {
    /// Its kind of inode.
    pub fn file_type(self) -> FileType {
        match self {
            Self::Dir(_) => FileType::Directory,
            Self::Attribute(..) => FileType::File,
            Self::Link(_) => FileType::Symlink,
        }
    }
}

/// Owner and group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The data of an inode that can change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meta {
    /// Permission bits with set-id and sticky bits.
    pub mode: u16,
    /// Owner and group.
    pub owner: Owner,
    /// Last access.
    pub atime: Stamp,
    /// Last change of contents.
    pub mtime: Stamp,
    /// Last change of the inode.
    pub ctime: Stamp,
}

impl Meta {
    pub(crate) fn new(mode: u16, owner: Owner, now: Stamp) -> Self {
        Self { mode, owner, atime: now, mtime: now, ctime: now }
    }

    pub(crate) fn touch(&mut self, now: Stamp) {
        self.mtime = now;
        self.ctime = now;
    }
}

/// Everything stat(2) shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    /// The object.
    pub object: Object,
    /// Mode, owner, times.
    pub meta: Meta,
    /// Links: 2 and one for each child directory; 1 for anything else.
    pub nlink: u32,
    /// 4096 for an attribute, 0 otherwise.
    pub size: u64,
    /// Whether a write to it may take long: see [`Attribute::waits`](super::Attribute::waits).
    pub waits: bool,
}

/// A new time stamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetTime {
    /// The time of the call.
    Now,
    /// This one.
    To(Stamp),
}

impl SetTime {
    fn at(self, now: Stamp) -> Stamp {
        match self {
            Self::Now => now,
            Self::To(stamp) => stamp,
        }
    }
}

/// chmod, chown, utimes and truncate in one, as FUSE combines them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetAttr {
    /// New permission bits.
    pub mode: Option<u16>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New time of access.
    pub atime: Option<SetTime>,
    /// New time of change.
    pub mtime: Option<SetTime>,
    /// New length: accepted and without effect on an attribute.
    pub size: Option<u64>,
}

impl SetAttr {
    /// Changes an inode's data at time `now`.
    pub fn apply(&self, meta: &mut Meta, now: Stamp) {
        if self.size.is_some() {
            meta.mtime = now;
        }
        meta.mode = self.mode.map_or(meta.mode, |mode| mode & 0o7777);
        meta.owner.uid = self.uid.unwrap_or(meta.owner.uid);
        meta.owner.gid = self.gid.unwrap_or(meta.owner.gid);
        meta.atime = self.atime.map_or(meta.atime, |time| time.at(now));
        meta.mtime = self.mtime.map_or(meta.mtime, |time| time.at(now));
        meta.ctime = now;
    }
}
