//! The entries of a tree: who stands where, under which name, of which kind.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::meta::{Meta, Object};
use super::schema::Kind;
use crate::error::Refusal;
use crate::ids::ItemId;
use crate::name::Name;
use crate::time::Stamp;

/// A directory.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) name: Option<Name>,
    pub(super) parent: Option<ItemId>,
    pub(super) kind: &'static Kind,
    /// Came with its parent (or with the stack) and goes only with it.
    pub(super) default: bool,
    pub(super) by_name: BTreeMap<Name, ItemId>,
    /// Ids rise with age, so this is the order of creation.
    pub(super) by_age: BTreeSet<ItemId>,
    pub(super) subdirs: u32,
    /// When it was made: the times of its attributes.
    pub(super) born: Stamp,
    pub(super) meta: Meta,
    /// Attributes that somebody changed the inode of; the others have the defaults.
    pub(super) attribute_meta: BTreeMap<u8, Meta>,
    pub(super) dependents: u32,
    /// Links that point here.
    pub(super) linked_by: u32,
    /// Being removed: an rmdir waits for a store.
    pub(super) dropping: bool,
}

/// A symbolic link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) name: Name,
    pub(super) parent: ItemId,
    pub(super) target: ItemId,
    pub(super) meta: Meta,
}

#[derive(Debug)]
pub(super) enum Entry {
    Dir(Dir),
    Link(Link),
}

/// All entries. Subsystems read it; only the tree changes it.
#[derive(Debug, Default)]
pub struct Items {
    pub(super) entries: BTreeMap<ItemId, Entry>,
}

impl Items {
    /// Kind of a directory.
    pub fn kind(&self, item: ItemId) -> Option<&'static Kind> {
        self.dir(item).ok().map(|dir| dir.kind)
    }

    /// Name of a directory or link; none for the root.
    pub fn name(&self, item: ItemId) -> Option<&Name> {
        match self.entries.get(&item)? {
            Entry::Dir(dir) => dir.name.as_ref(),
            Entry::Link(link) => Some(&link.name),
        }
    }

    /// The directory in which a directory or link stands; none for the root.
    pub fn parent(&self, item: ItemId) -> Option<ItemId> {
        match self.entries.get(&item)? {
            Entry::Dir(dir) => dir.parent,
            Entry::Link(link) => Some(link.parent),
        }
    }

    /// What `name` is in `dir`: directory, link or attribute.
    pub fn child(&self, dir: ItemId, name: &[u8]) -> Option<Object> {
        let parent = self.dir(dir).ok()?;
        if let Some(id) = parent.by_name.get(name) {
            return Some(self.object(*id));
        }
        let number = parent.kind.attribute(name)?;
        Some(Object::Attribute(dir, u8::try_from(number).ok()?))
    }

    /// Directories and links in `dir`, newest first.
    pub fn children(&self, dir: ItemId) -> impl Iterator<Item = ItemId> + '_ {
        self.dir(dir).ok().into_iter().flat_map(|dir| dir.by_age.iter().rev().copied())
    }

    /// What a link points at.
    pub fn target(&self, link: ItemId) -> Option<ItemId> {
        self.link(link).ok().map(|link| link.target)
    }

    /// Names from the root down to `item`, joined with `/`; empty for the root.
    pub fn path(&self, item: ItemId) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = Some(item);
        while let Some(id) = at {
            names.extend(self.name(id));
            at = self.parent(id);
        }
        let names: Vec<&[u8]> = names.into_iter().rev().map(Name::as_bytes).collect();
        names.join(&b'/')
    }

    /// The path of anything, for the log.
    pub fn object_path(&self, object: Object) -> Vec<u8> {
        match object {
            Object::Dir(id) | Object::Link(id) => self.path(id),
            Object::Attribute(id, number) => {
                let mut path = self.path(id);
                if let Some(attribute) =
                    self.kind(id).and_then(|kind| kind.attributes.get(usize::from(number)))
                {
                    path.push(b'/');
                    path.extend_from_slice(attribute.name.as_bytes());
                }
                path
            }
        }
    }

    /// Body of a symbolic link: up to the root, then down to the target (`configfs_get_target_path`).
    pub fn link_body(&self, link: ItemId) -> Result<Vec<u8>, Refusal> {
        let Link { parent, target, .. } = self.link(link)?;
        let mut body = Vec::new();
        let mut at = self.parent(*parent);
        while let Some(id) = at {
            body.extend_from_slice(b"../");
            at = self.parent(id);
        }
        // One `../` for each directory from the link's own up to, not including, the root.
        body.extend_from_slice(&self.path(*target));
        Ok(body)
    }

    pub(super) fn object(&self, id: ItemId) -> Object {
        match self.entries.get(&id) {
            Some(Entry::Link(_)) => Object::Link(id),
            _ => Object::Dir(id),
        }
    }

    pub(super) fn dir(&self, id: ItemId) -> Result<&Dir, Refusal> {
        match self.entries.get(&id) {
            Some(Entry::Dir(dir)) => Ok(dir),
            Some(Entry::Link(_)) => Err(Refusal::NotADirectory),
            None => Err(Refusal::Gone),
        }
    }

    pub(super) fn dir_mut(&mut self, id: ItemId) -> Result<&mut Dir, Refusal> {
        match self.entries.get_mut(&id) {
            Some(Entry::Dir(dir)) => Ok(dir),
            Some(Entry::Link(_)) => Err(Refusal::NotADirectory),
            None => Err(Refusal::Gone),
        }
    }

    pub(super) fn link(&self, id: ItemId) -> Result<&Link, Refusal> {
        match self.entries.get(&id) {
            Some(Entry::Link(link)) => Ok(link),
            Some(Entry::Dir(_)) => Err(Refusal::NotALink),
            None => Err(Refusal::Gone),
        }
    }

    /// The item whose removal takes `item` along: itself, or for a default group the item that it came
    /// with (configfs calls it a fragment).
    pub(super) fn fragment(&self, mut item: ItemId) -> ItemId {
        while let Ok(Dir { default: true, parent: Some(parent), .. }) = self.dir(item) {
            item = *parent;
        }
        item
    }
}
