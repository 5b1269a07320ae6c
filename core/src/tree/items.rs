//! The entries of a tree: directories and links, with name, parent and kind.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::kind::Kind;
use super::meta::{Meta, Object};
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
    /// A default group: added and removed only with its parent, or by the stack.
    pub(super) default: bool,
    pub(super) by_name: BTreeMap<Name, ItemId>,
    /// Ids ascend, so this is the order of creation.
    pub(super) by_age: BTreeSet<ItemId>,
    pub(super) subdirs: u32,
    /// When it was made: the time stamps of its attributes.
    pub(super) born: Stamp,
    pub(super) meta: Meta,
    /// Inode data of attributes that were changed, by number; the others have the defaults.
    pub(super) attribute_meta: BTreeMap<u8, Meta>,
    pub(super) dependents: u32,
    /// Links that point here.
    pub(super) linked_by: BTreeSet<ItemId>,
    /// Stores of its attributes, and of its default groups', that still go on.
    pub(super) stores: u32,
    /// Being removed: an rmdir waits for those.
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

/// How many removed entries are remembered by name.
const REMEMBERED: usize = 64;

/// All entries. Subsystems can read them; only the tree changes them.
#[derive(Debug, Default)]
pub struct Items {
    pub(super) entries: BTreeMap<ItemId, Entry>,
    /// The entries that were removed last: refusals of calls on them name them.
    removed: VecDeque<Removed>,
}

#[derive(Debug)]
struct Removed {
    id: ItemId,
    parent: ItemId,
    name: Name,
    /// None: a link.
    kind: Option<&'static Kind>,
}

impl Items {
    /// Kind of a directory.
    pub fn kind(&self, item: ItemId) -> Option<&'static Kind> {
        self.dir(item).ok().map(|dir| dir.kind)
    }

    /// Name of a directory or link; `None` for the root.
    pub fn name(&self, item: ItemId) -> Option<&Name> {
        match self.entries.get(&item)? {
            Entry::Dir(dir) => dir.name.as_ref(),
            Entry::Link(link) => Some(&link.name),
        }
    }

    /// Parent of a directory or link; `None` for the root.
    pub fn parent(&self, item: ItemId) -> Option<ItemId> {
        match self.entries.get(&item)? {
            Entry::Dir(dir) => dir.parent,
            Entry::Link(link) => Some(link.parent),
        }
    }

    /// The directory, link or attribute `name` in `dir`.
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

    /// The path of any object, for the log; of a removed one the path that it had.
    pub fn object_path(&self, object: Object) -> Vec<u8> {
        let (Object::Dir(id) | Object::Link(id) | Object::Attribute(id, _)) = object;
        let (mut path, kind) = match self.entries.get(&id) {
            Some(Entry::Dir(dir)) => (self.path(id), Some(dir.kind)),
            Some(Entry::Link(_)) => (self.path(id), None),
            None => self.removed_path(id),
        };
        if let Object::Attribute(_, number) = object {
            let attribute = kind.and_then(|kind| kind.attributes.get(usize::from(number)));
            path.extend_from_slice(b"/");
            path.extend_from_slice(attribute.map_or(b"(attribute)", |attribute| attribute.name.as_bytes()));
        }
        path
    }

    /// Path and kind that a removed entry had. An entry never moves, so the path is that of its parent, which was
    /// removed later, or not at all.
    fn removed_path(&self, id: ItemId) -> (Vec<u8>, Option<&'static Kind>) {
        let Some(removed) = self.removed.iter().find(|removed| removed.id == id) else {
            return (b"(removed)".into(), None);
        };
        let mut path = self.object_path(Object::Dir(removed.parent));
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(removed.name.as_bytes());
        (path, removed.kind)
    }

    /// Removes an entry, whose name and kind are remembered.
    pub(super) fn remove(&mut self, id: ItemId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        let (parent, name, kind) = match &entry {
            Entry::Dir(dir) => (dir.parent, dir.name.clone(), Some(dir.kind)),
            Entry::Link(link) => (Some(link.parent), Some(link.name.clone()), None),
        };
        if let (Some(parent), Some(name)) = (parent, name) {
            self.removed.truncate(REMEMBERED - 1);
            self.removed.push_front(Removed { id, parent, name, kind });
        }
        Some(entry)
    }

    /// The oldest link that prevents an item's removal: to the item, or to one of its default groups.
    pub(crate) fn links_to(&self, item: ItemId) -> Option<ItemId> {
        let links = |group| self.dir(group).ok()?.linked_by.first().copied();
        self.groups(item).into_iter().filter_map(links).min()
    }

    /// The entries that prevent an item's removal, made in it or in its default groups: one of them, and how many.
    pub(crate) fn own_entries(&self, item: ItemId) -> Option<(ItemId, usize)> {
        let (mut newest, mut count) = (None, 0);
        for group in self.groups(item) {
            let Ok(dir) = self.dir(group) else { continue };
            let own = dir.by_age.len() - self.default_groups(group).count();
            if own > 0 {
                newest = newest.or(dir.by_age.last().copied());
                count += own;
            }
        }
        Some((newest?, count))
    }

    /// An item with its default groups, and theirs.
    fn groups(&self, item: ItemId) -> Vec<ItemId> {
        let mut groups = Vec::from([item]);
        let mut next = 0;
        while let Some(group) = groups.get(next).copied() {
            groups.extend(self.default_groups(group));
            next += 1;
        }
        groups
    }

    /// They are made with their directory, before anything else in it.
    fn default_groups(&self, dir: ItemId) -> impl Iterator<Item = ItemId> + '_ {
        let children = self.dir(dir).ok().into_iter().flat_map(|dir| dir.by_age.iter().copied());
        children.take_while(|child| self.dir(*child).is_ok_and(|dir| dir.default))
    }

    /// Text of a symbolic link: up to the root, then down to the target (`configfs_get_target_path`).
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

    /// A directory or link with its name.
    pub(super) fn named(&self, id: ItemId) -> Option<(Object, &[u8])> {
        match self.entries.get(&id)? {
            Entry::Dir(dir) => Some((Object::Dir(id), dir.name.as_ref()?.as_bytes())),
            Entry::Link(link) => Some((Object::Link(id), link.name.as_bytes())),
        }
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

    /// The item with which `item` is removed: itself, or for a default group the item that it was made with (a
    /// fragment in configfs).
    pub(super) fn fragment(&self, mut item: ItemId) -> ItemId {
        while let Ok(Dir { default: true, parent: Some(parent), .. }) = self.dir(item) {
            item = *parent;
        }
        item
    }

    /// Has the removal of an item, or of the one that it belongs to, begun? It waits for stores then.
    pub(crate) fn dropping(&self, item: ItemId) -> bool {
        self.dir(self.fragment(item)).map_or(true, |dir| dir.dropping)
    }
}
