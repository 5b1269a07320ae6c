//! The calls on a tree, one variant each, and their answers.

use alloc::vec::Vec;

use super::items::Items;
use super::listing::DirEntry;
use super::meta::{Attr, Object, SetAttr};
use crate::error::Refusal;
use crate::ids::ItemId;

/// A call, as a file system receives it: directories by id, names as bytes.
#[derive(Clone, Debug)]
pub enum Op<'a> {
    /// Finds `name` in `dir`. Answer: [`Answer::Attr`].
    Lookup {
        /// Directory.
        dir: ItemId,
        /// Name in it.
        name: &'a [u8],
    },
    /// stat. Answer: [`Answer::Attr`].
    Stat(Object),
    /// All entries of a directory, newest first, then the attributes. Answer: [`Answer::Entries`].
    List(ItemId),
    /// Checks whether an attribute may be opened this way. Answer: [`Answer::Done`].
    Open {
        /// Directory of the attribute.
        item: ItemId,
        /// Its number.
        attribute: u8,
        /// Open for reading.
        read: bool,
        /// Open for writing.
        write: bool,
    },
    /// The text of an attribute. Answer: [`Answer::Text`].
    Show {
        /// Directory of the attribute.
        item: ItemId,
        /// Its number.
        attribute: u8,
    },
    /// One write(2). Answer: [`Answer::Stored`], perhaps later.
    Store {
        /// Directory of the attribute.
        item: ItemId,
        /// Its number.
        attribute: u8,
        /// What was written; only the first 4095 bytes are taken, and the caller writes the rest in a next call.
        data: &'a [u8],
    },
    /// Answer: [`Answer::Attr`] of the new directory.
    Mkdir {
        /// Its directory.
        dir: ItemId,
        /// Its name.
        name: &'a [u8],
    },
    /// Answer: [`Answer::Done`], perhaps later.
    Rmdir {
        /// Its directory.
        dir: ItemId,
        /// Name of the directory to remove.
        name: &'a [u8],
    },
    /// Answer: [`Answer::Attr`] of the new link.
    Symlink {
        /// Its directory.
        dir: ItemId,
        /// Its name.
        name: &'a [u8],
        /// What the caller's path leads to, as resolved by the driver.
        target: Result<Object, NoTarget<'a>>,
    },
    /// Answer: [`Answer::Done`].
    Unlink {
        /// Its directory.
        dir: ItemId,
        /// Name of the link.
        name: &'a [u8],
    },
    /// Body of a link. Answer: [`Answer::Text`].
    Readlink(ItemId),
    /// chmod, chown, utimes, truncate. Answer: [`Answer::Attr`].
    SetAttr(Object, SetAttr),
    /// A call that configfs never allows.
    Forbidden {
        /// Its directory.
        dir: ItemId,
        /// The new name; for a rename the old one.
        name: &'a [u8],
        /// Which call.
        call: Forbidden,
    },
}

/// Why a caller's path leads to no object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoTarget<'a> {
    /// The rule.
    pub refusal: Refusal,
    /// Which path, from where, and where it ended: for the line about the refusal.
    pub detail: Option<&'a str>,
}

impl From<Refusal> for NoTarget<'_> {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, detail: None }
    }
}

/// A call, described for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// Its name.
    pub call: &'static str,
    /// Path of its item, from the root.
    pub path: Vec<u8>,
    /// What was to be stored, or the path of a link's target.
    pub value: Option<Vec<u8>>,
}

impl Op<'_> {
    /// Call, item and value for a line about its refusal. None for calls that only read.
    pub fn described(&self, items: &Items) -> Option<Described> {
        let entry = |dir: ItemId, name: &[u8]| {
            let mut path = items.object_path(Object::Dir(dir));
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            path
        };
        let attribute = |item, number| items.object_path(Object::Attribute(item, number));
        let (call, path, value) = match *self {
            Op::Lookup { .. } | Op::Stat(_) | Op::List(_) | Op::Readlink(_) => return None,
            Op::Open { item, attribute: number, .. } => ("open", attribute(item, number), None),
            Op::Show { item, attribute: number } => ("read", attribute(item, number), None),
            Op::Store { item, attribute: number, data } => {
                ("store", attribute(item, number), Some(data.to_vec()))
            }
            Op::Mkdir { dir, name } => ("mkdir", entry(dir, name), None),
            Op::Rmdir { dir, name } => ("rmdir", entry(dir, name), None),
            Op::Unlink { dir, name } => ("unlink", entry(dir, name), None),
            Op::Symlink { dir, name, target } => {
                ("symlink", entry(dir, name), target.ok().map(|target| items.object_path(target)))
            }
            Op::SetAttr(object, _) => ("change of attributes", items.object_path(object), None),
            Op::Forbidden { dir, name, call } => (call.name(), entry(dir, name), None),
        };
        Some(Described { call, path, value })
    }
}

/// Calls that are refused everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forbidden {
    /// A new regular file: open(O_CREAT), mknod.
    NewFile,
    /// mknod of a device, pipe or socket.
    SpecialFile,
    /// link(2).
    HardLink,
    /// rename(2).
    Rename,
}

impl Forbidden {
    fn name(self) -> &'static str {
        match self {
            Self::NewFile => "create",
            Self::SpecialFile => "mknod",
            Self::HardLink => "link",
            Self::Rename => "rename",
        }
    }

    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::NewFile => Refusal::NoNewFiles,
            Self::SpecialFile => Refusal::NoSpecialFiles,
            Self::HardLink => Refusal::NoHardLinks,
            Self::Rename => Refusal::NoRename,
        }
    }
}

/// The answer to a call that is not refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Success.
    Done,
    /// What stat shows.
    Attr(Attr),
    /// A listing.
    Entries(Vec<DirEntry>),
    /// A text.
    Text(Vec<u8>),
    /// How many bytes were taken.
    Stored(usize),
}

/// The answer to a call, now or later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The answer.
    Ready(Result<Answer, Refusal>),
    /// A store of this item goes on, until [`Tree::store_ended`](super::Tree::store_ended).
    Storing(ItemId),
    /// The removal of this item waits for stores, until [`Tree::go_on_removing`](super::Tree::go_on_removing) or [`Tree::give_up_removing`](super::Tree::give_up_removing).
    Removing(ItemId),
}
