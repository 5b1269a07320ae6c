//! Carrying out calls on a tree: what is checked, in which order, and when the subsystem is asked.

use alloc::vec::Vec;

use super::detach::Removal;
use super::kind::Attribute;
use super::meta::{Attr, Meta, Object, SetAttr};
use super::op::{Answer, Forbidden, NoTarget, Op, Outcome};
use super::schema::{Context, Stored, Subsystem};
use super::{Change, Tree};
use crate::call::Call;
use crate::error::Refusal;
use crate::ids::ItemId;
use crate::name::Name;
use crate::time::Now;

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
                    if self.items.dropping(item) {
                        return Err(Refusal::BeingRemoved);
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
        if self.items.dropping(dir) {
            return Err(Refusal::BeingRemoved);
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
        if self.items.dropping(dir) {
            return Err(Refusal::BeingRemoved);
        }
        if self.items.dropping(target) {
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
