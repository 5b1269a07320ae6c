//! configfs: groups, default groups, items, attributes, links, dependents.
//!
//! It knows nothing of o2cb. A [`Subsystem`] describes kinds of directories and is asked at show, store,
//! make, drop, allow_link and drop_link. Behaviour as in `spec/configfs.md`, and as
//! observed of a kernel (tests/conformance).

mod detach;
mod files;
mod items;
mod kind;
mod listing;
mod meta;
mod op;
mod ops;
mod schema;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

pub(crate) use self::files::files;
pub use self::items::Items;
use self::items::{Dir, Entry, Link};
pub use self::kind::{Attribute, Kind, Made};
pub use self::listing::DirEntry;
pub use self::meta::{Attr, FileType, Meta, Object, Owner, SetAttr, SetTime};
pub use self::op::{Answer, Described, Forbidden, NoTarget, Op, Outcome};
pub use self::schema::{Context, Stored, Subsystem};
use crate::error::Refusal;
use crate::ids::ItemId;
use crate::name::Name;
use crate::time::Now;

static ROOT: Kind = Kind { name: "root", makes: false, links: false, attributes: &[] };

/// A change of the tree, for those who cache it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A directory or link was added.
    Added {
        /// Its directory.
        parent: ItemId,
        /// Its name.
        name: Name,
    },
    /// A directory or link was removed, with its attributes and default groups.
    Removed {
        /// Its directory.
        parent: ItemId,
        /// Its name.
        name: Name,
        /// Its id, and those of everything below it.
        items: Vec<ItemId>,
    },
    /// Mode, owner or times of an object changed.
    Touched(Object),
}

/// One tree of directories, from its root.
#[derive(Debug)]
pub struct Tree {
    items: Items,
    next: u64,
    owner: Owner,
    /// st_size of attributes.
    attribute_size: u64,
    changes: Vec<Change>,
}

impl Tree {
    /// An empty tree. Its entries belong to `owner` until chown; `attribute_size` is the st_size of attributes.
    pub fn new(owner: Owner, attribute_size: u64, now: Now) -> Self {
        let mut tree = Self {
            items: Items::default(),
            next: ItemId::ROOT.0 + 1,
            owner,
            attribute_size,
            changes: Vec::new(),
        };
        tree.items.entries.insert(ItemId::ROOT, Entry::Dir(tree.new_dir(None, None, &ROOT, true, now)));
        tree
    }

    /// The same with a root directory of this mode instead of 0755.
    #[must_use]
    pub fn with_root_mode(mut self, mode: u16) -> Self {
        if let Ok(root) = self.items.dir_mut(ItemId::ROOT) {
            root.meta.mode = mode;
        }
        self
    }

    /// The entries.
    pub fn items(&self) -> &Items {
        &self.items
    }

    /// Adds a directory that is not made by mkdir and that rmdir refuses: a subsystem, or a directory that
    /// the stack itself shows. Default groups come with it.
    pub fn add(&mut self, parent: ItemId, name: &str, made: &Made, now: Now) -> Result<ItemId, Refusal> {
        self.add_bytes(parent, name.as_bytes(), made, now)
    }

    /// The same with a name that need not be UTF-8.
    pub fn add_bytes(
        &mut self,
        parent: ItemId,
        name: &[u8],
        made: &Made,
        now: Now,
    ) -> Result<ItemId, Refusal> {
        let name = Name::new(name)?;
        self.vacant(parent, &name)?;
        Ok(self.insert_dir(parent, name, made, true, now))
    }

    /// Removes a directory that [`add`](Self::add) added, with everything below it.
    pub fn take_away(&mut self, item: ItemId, now: Now) {
        self.remove_entry(item, now);
    }

    /// Pins an item: rmdir fails with EBUSY until [`undepend`](Self::undepend) was called as often
    /// (`configfs_depend_item`).
    pub fn depend(&mut self, item: ItemId) -> Result<(), Refusal> {
        if self.items.dir(item)?.dropping {
            return Err(Refusal::BeingRemoved);
        }
        self.pin(item);
        Ok(())
    }

    /// The same, also for an item whose removal waits: the pin counts if that removal is cancelled.
    pub fn pin(&mut self, item: ItemId) {
        if let Ok(dir) = self.items.dir_mut(item) {
            dir.dependents += 1;
        }
    }

    /// Removes one pin.
    pub fn undepend(&mut self, item: ItemId) {
        if let Ok(dir) = self.items.dir_mut(item) {
            dir.dependents = dir.dependents.saturating_sub(1);
        }
    }

    /// How often an item is pinned.
    pub fn dependents(&self, item: ItemId) -> u32 {
        self.items.dir(item).map_or(0, |dir| dir.dependents)
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        core::mem::take(&mut self.changes)
    }

    fn vacant(&self, parent: ItemId, name: &Name) -> Result<(), Refusal> {
        self.items.dir(parent)?;
        match self.items.child(parent, name.as_bytes()) {
            Some(_) => Err(Refusal::NameExists),
            None => Ok(()),
        }
    }

    fn new_dir(
        &self,
        parent: Option<ItemId>,
        name: Option<Name>,
        kind: &'static Kind,
        default: bool,
        now: Now,
    ) -> Dir {
        Dir {
            name,
            parent,
            kind,
            default,
            by_name: BTreeMap::new(),
            by_age: BTreeSet::new(),
            subdirs: 0,
            born: now.unix.into(),
            meta: Meta::new(0o755, self.owner, now.unix.into()),
            attribute_meta: BTreeMap::new(),
            dependents: 0,
            linked_by: BTreeSet::new(),
            stores: 0,
            dropping: false,
        }
    }

    fn next_id(&self) -> ItemId {
        ItemId(self.next)
    }

    /// Callers have checked that the parent exists and has no such name.
    fn insert_dir(&mut self, parent: ItemId, name: Name, made: &Made, default: bool, now: Now) -> ItemId {
        let dir = self.new_dir(Some(parent), Some(name.clone()), made.kind, default, now);
        let id = self.insert(parent, name, Entry::Dir(dir), now);
        for (name, group) in &made.groups {
            if let Ok(name) = Name::new(name.as_bytes()) {
                self.insert_dir(id, name, group, true, now);
            }
        }
        id
    }

    fn insert_link(&mut self, parent: ItemId, name: Name, target: ItemId, now: Now) -> ItemId {
        let meta = Meta::new(0o777, self.owner, now.unix.into());
        let id = self.next_id();
        if let Ok(dir) = self.items.dir_mut(target) {
            dir.linked_by.insert(id);
        }
        self.insert(parent, name.clone(), Entry::Link(Link { name, parent, target, meta }), now)
    }

    fn insert(&mut self, parent: ItemId, name: Name, entry: Entry, now: Now) -> ItemId {
        let id = self.next_id();
        self.next += 1;
        if let Ok(dir) = self.items.dir_mut(parent) {
            dir.by_name.insert(name.clone(), id);
            dir.by_age.insert(id);
            dir.subdirs += u32::from(matches!(entry, Entry::Dir(_)));
            dir.meta.touch(now.unix.into());
        }
        self.items.entries.insert(id, entry);
        self.changes.push(Change::Added { parent, name });
        id
    }

    /// Removes an entry from its directory, with everything below it.
    fn remove_entry(&mut self, id: ItemId, now: Now) {
        let (Some(parent), Some(name)) = (self.items.parent(id), self.items.name(id).cloned()) else {
            return;
        };
        let is_dir = matches!(self.items.object(id), Object::Dir(_));
        if let Ok(dir) = self.items.dir_mut(parent) {
            dir.by_name.remove(&name);
            dir.by_age.remove(&id);
            dir.subdirs -= u32::from(is_dir);
            dir.meta.touch(now.unix.into());
        }
        let mut items = Vec::new();
        self.forget(id, &mut items);
        self.changes.push(Change::Removed { parent, name, items });
    }

    fn forget(&mut self, id: ItemId, gone: &mut Vec<ItemId>) {
        gone.push(id);
        // Before its own entry: who is remembered last is forgotten last, and paths lead through it.
        for child in self.items.children(id).collect::<Vec<_>>() {
            self.forget(child, gone);
        }
        if let Some(Entry::Link(link)) = self.items.remove(id) {
            if let Ok(target) = self.items.dir_mut(link.target) {
                target.linked_by.remove(&id);
            }
        }
    }
}
