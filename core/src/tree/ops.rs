//! Calls on a tree, and their answers.

use alloc::vec::Vec;

use super::detach::Removal;
use super::items::Items;
use super::kind::Attribute;
use super::listing::DirEntry;
use super::meta::{Attr, Meta, Object, SetAttr};
use super::schema::{Context, Stored, Subsystem};
use super::{Change, Tree};
use crate::call::Call;
use crate::error::Refusal;
use crate::ids::ItemId;
use crate::name::Name;
use crate::time::Now;

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

    fn refusal(self) -> Refusal {
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
    /// A store of this item goes on, until [`Tree::store_ended`].
    Storing(ItemId),
    /// The removal of this item waits for stores, until [`Tree::go_on_removing`] or [`Tree::give_up_removing`].
    Removing(ItemId),
}

/// Largest size that truncate takes (`MAX_NON_LFS`).
const SIZE_MAX: u64 = (1 << 31) - 1;

impl Tree {
    /// Longest text of one store, in bytes: a page less the NUL behind it.
    pub const STORE_MAX: usize = 4095;

    /// [`Op::Lookup`] without `&mut`.
    pub fn find(&self, dir: ItemId, name: &[u8]) -> Result<Attr, Refusal> {
        self.lookup(dir, name).and_then(|object| self.attr(object))
    }

    /// Executes one call.
    pub fn apply(&mut self, subsystem: &mut dyn Subsystem, call: Call, op: &Op<'_>) -> Outcome {
        Outcome::Ready(match *op {
            Op::Lookup { dir, name } => self.find(dir, name).map(Answer::Attr),
            Op::Stat(object) => self.stat(object),
            Op::List(dir) => self.list(dir),
            Op::Open { item, attribute, read, write } => {
                self.may_open(item, attribute, read, write).map(|()| Answer::Done)
            }
            Op::Show { item, attribute } => self.attribute(item, attribute).and_then(|declared| {
                if declared.mode & 0o444 == 0 {
                    return Err(Refusal::WriteOnly);
                }
                let mut text = Vec::new();
                let cx = self.context(call);
                subsystem.show(&cx, item, usize::from(attribute), &mut text)?;
                Ok(Answer::Text(text))
            }),
            Op::Store { item, attribute, data } => {
                let data = &data[..data.len().min(Self::STORE_MAX)];
                let stored = self.attribute(item, attribute).and_then(|declared| {
                    if declared.mode & 0o222 == 0 {
                        return Err(Refusal::ReadOnly);
                    }
                    if self.items.dir(self.items.fragment(item))?.dropping {
                        return Err(Refusal::Gone);
                    }
                    let cx = self.context(call);
                    subsystem.store(&cx, item, usize::from(attribute), data)
                });
                match stored {
                    Ok(Stored::Done | Stored::Ignored(_)) => Ok(Answer::Stored(data.len())),
                    Ok(Stored::Later) => {
                        if let Ok(dir) = self.items.dir_mut(self.items.fragment(item)) {
                            dir.stores += 1;
                        }
                        return Outcome::Storing(item);
                    }
                    Err(refusal) => Err(refusal),
                }
            }
            Op::Mkdir { dir, name } => self.mkdir(subsystem, dir, name, call),
            Op::Rmdir { dir, name } => {
                let removed = self.lookup(dir, name).and_then(|object| match object {
                    Object::Dir(item) => Ok((item, self.rmdir(subsystem, item, call)?)),
                    Object::Attribute(..) | Object::Link(_) => Err(Refusal::NotADirectory),
                });
                match removed {
                    Ok((_, Removal::Done)) => Ok(Answer::Done),
                    Ok((item, Removal::Waits)) => return Outcome::Removing(item),
                    Err(refusal) => Err(refusal),
                }
            }
            Op::Symlink { dir, name, target } => self.symlink(subsystem, dir, name, target, call),
            Op::Unlink { dir, name } => self.unlink(subsystem, dir, name, call),
            Op::Readlink(link) => self.items.link_body(link).map(Answer::Text),
            Op::SetAttr(object, change) => self.set_attr(object, change, call.now),
            Op::Forbidden { dir, name, call } => Err(self.forbid(dir, name, call)),
        })
    }

    fn context(&self, call: Call) -> Context<'_> {
        Context { items: &self.items, call }
    }

    fn lookup(&self, dir: ItemId, name: &[u8]) -> Result<Object, Refusal> {
        self.items.dir(dir)?;
        match name {
            b"." => Ok(Object::Dir(dir)),
            b".." => Ok(Object::Dir(self.items.parent(dir).unwrap_or(dir))),
            _ if name.len() > Name::MAX => Err(Refusal::NameTooLong),
            _ => self.items.child(dir, name).ok_or(Refusal::NoSuchEntry),
        }
    }

    fn attribute(&self, item: ItemId, number: u8) -> Result<&'static Attribute, Refusal> {
        self.items.dir(item)?.kind.attributes.get(usize::from(number)).ok_or(Refusal::Gone)
    }

    fn meta(&self, object: Object) -> Result<Meta, Refusal> {
        match object {
            Object::Dir(id) => Ok(self.items.dir(id)?.meta),
            Object::Link(id) => Ok(self.items.link(id)?.meta),
            Object::Attribute(id, number) => {
                let dir = self.items.dir(id)?;
                let attribute = self.attribute(id, number)?;
                Ok(dir.attribute_meta.get(&number).copied().unwrap_or(Meta {
                    mode: attribute.mode,
                    owner: self.owner,
                    atime: dir.born,
                    mtime: dir.born,
                    ctime: dir.born,
                }))
            }
        }
    }

    fn stat(&self, object: Object) -> Result<Answer, Refusal> {
        self.attr(object).map(Answer::Attr)
    }

    /// What stat(2) shows of an object.
    pub fn attr(&self, object: Object) -> Result<Attr, Refusal> {
        let meta = self.meta(object)?;
        let (nlink, size, waits) = match object {
            Object::Dir(id) => (2 + self.items.dir(id)?.subdirs, 0, false),
            Object::Attribute(id, number) => (1, self.attribute_size, self.attribute(id, number)?.waits),
            Object::Link(_) => (1, 0, false),
        };
        Ok(Attr { object, meta, nlink, size, waits })
    }

    /// [`Op::Open`] as a question to a tree that does not change. The mode bits bind root too, and a chmod adds no
    /// show or store (`__configfs_open_file`).
    pub fn may_open(&self, item: ItemId, number: u8, read: bool, write: bool) -> Result<(), Refusal> {
        let declared = self.attribute(item, number)?.mode;
        let mode = self.meta(Object::Attribute(item, number))?.mode;
        if write && (mode & 0o222 == 0 || declared & 0o222 == 0) {
            return Err(Refusal::ReadOnly);
        }
        if read && (mode & 0o444 == 0 || declared & 0o444 == 0) {
            return Err(Refusal::WriteOnly);
        }
        Ok(())
    }

    fn mkdir(
        &mut self,
        subsystem: &mut dyn Subsystem,
        dir: ItemId,
        name: &[u8],
        call: Call,
    ) -> Result<Answer, Refusal> {
        let name = Name::new(name)?;
        self.vacant(dir, &name)?;
        let parent = self.items.dir(dir)?;
        if !parent.kind.makes {
            return Err(Refusal::NothingMadeHere);
        }
        if self.items.dir(self.items.fragment(dir))?.dropping {
            return Err(Refusal::Gone);
        }
        let cx = self.context(call);
        let made = subsystem.make(&cx, dir, &name, self.next_id())?;
        let id = self.insert_dir(dir, name, &made, false, call.now);
        self.stat(Object::Dir(id))
    }

    fn symlink(
        &mut self,
        subsystem: &mut dyn Subsystem,
        dir: ItemId,
        name: &[u8],
        target: Result<Object, NoTarget<'_>>,
        call: Call,
    ) -> Result<Answer, Refusal> {
        let name = Name::new(name)?;
        self.vacant(dir, &name)?;
        if !self.items.dir(dir)?.kind.links {
            return Err(Refusal::NoLinksHere);
        }
        let target = match target.map_err(|none| none.refusal)? {
            Object::Dir(ItemId::ROOT) => return Err(Refusal::TargetIsRoot),
            Object::Dir(target) => target,
            Object::Attribute(..) | Object::Link(_) => return Err(Refusal::TargetNotADirectory),
        };
        let dropping = |item| self.items.dir(self.items.fragment(item)).map_or(true, |dir| dir.dropping);
        if dropping(target) || dropping(dir) {
            return Err(Refusal::TargetMissing);
        }
        let cx = self.context(call);
        subsystem.allow_link(&cx, dir, target)?;
        let id = self.insert_link(dir, name, target, call.now);
        self.stat(Object::Link(id))
    }

    fn unlink(
        &mut self,
        subsystem: &mut dyn Subsystem,
        dir: ItemId,
        name: &[u8],
        call: Call,
    ) -> Result<Answer, Refusal> {
        let link = match self.lookup(dir, name)? {
            Object::Link(link) => link,
            Object::Dir(_) => return Err(Refusal::IsADirectory),
            Object::Attribute(..) => return Err(Refusal::AttributeStays),
        };
        let target = self.items.link(link)?.target;
        subsystem.drop_link(&self.context(call), dir, target);
        self.remove_entry(link, call.now);
        Ok(Answer::Done)
    }

    fn set_attr(&mut self, object: Object, change: SetAttr, now: Now) -> Result<Answer, Refusal> {
        if change.size.is_some() {
            match object {
                Object::Dir(_) => return Err(Refusal::IsADirectory),
                Object::Attribute(..) | Object::Link(_) => {}
            }
            if change.size > Some(SIZE_MAX) {
                return Err(Refusal::SizeTooBig);
            }
        }
        let mut meta = self.meta(object)?;
        if let Object::Attribute(item, number) = object {
            if !self.items.dir(item)?.attribute_meta.contains_key(&number) {
                // The kernel keeps an attribute's inode data only from its first change on.
                meta = Meta::new(meta.mode, meta.owner, now.unix.into());
            }
        }
        change.apply(&mut meta, now.unix.into());
        match object {
            Object::Dir(id) => self.items.dir_mut(id)?.meta = meta,
            Object::Attribute(id, number) => {
                self.items.dir_mut(id)?.attribute_meta.insert(number, meta);
            }
            Object::Link(id) => {
                if let Some(super::Entry::Link(link)) = self.items.entries.get_mut(&id) {
                    link.meta = meta;
                }
            }
        }
        self.changes.push(Change::Touched(object));
        self.stat(object)
    }

    fn forbid(&self, dir: ItemId, name: &[u8], call: Forbidden) -> Refusal {
        let exists = match self.lookup(dir, name) {
            Ok(_) => true,
            Err(Refusal::NoSuchEntry) => false,
            Err(refusal) => return refusal,
        };
        match call {
            Forbidden::Rename if !exists => Refusal::NoSuchEntry,
            Forbidden::NewFile | Forbidden::SpecialFile | Forbidden::HardLink if exists => {
                Refusal::NameExists
            }
            Forbidden::NewFile | Forbidden::SpecialFile | Forbidden::HardLink | Forbidden::Rename => {
                call.refusal()
            }
        }
    }
}
