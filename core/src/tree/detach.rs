//! Removal of directories: what prevents it, and how it waits for a store in progress.

use super::Tree;
use super::items::Entry;
use super::schema::{Context, Subsystem};
use crate::call::Call;
use crate::error::Refusal;
use crate::ids::ItemId;

/// How far a removal got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Removal {
    /// The item is gone.
    Done,
    /// It will be once its stores have ended.
    Waits,
}

impl Tree {
    /// rmdir after the look-up.
    pub(super) fn rmdir(
        &mut self,
        subsystem: &mut dyn Subsystem,
        item: ItemId,
        call: Call,
    ) -> Result<Removal, Refusal> {
        let dir = self.items.dir(item)?;
        if dir.default {
            return Err(Refusal::DefaultGroup);
        }
        if dir.dropping {
            return Err(Refusal::BeingRemoved);
        }
        if dir.dependents > 0 {
            return Err(Refusal::Depended);
        }
        self.may_detach(item)?;
        let stores = dir.stores > 0;
        if stores || subsystem.detains(item) {
            self.items.dir_mut(item)?.dropping = true;
            return Ok(Removal::Waits);
        }
        self.detach(subsystem, item, call);
        Ok(Removal::Done)
    }

    /// Checks the item and its default groups, newest first (`configfs_detach_prep`).
    fn may_detach(&self, item: ItemId) -> Result<(), Refusal> {
        if !self.items.dir(item)?.linked_by.is_empty() {
            return Err(Refusal::LinkedTo);
        }
        self.items.children(item).try_for_each(|child| match self.items.entries.get(&child) {
            Some(Entry::Dir(dir)) if dir.default => self.may_detach(child),
            _ => Err(Refusal::NotEmpty),
        })
    }

    fn detach(&mut self, subsystem: &mut dyn Subsystem, item: ItemId, call: Call) {
        subsystem.drop_item(&Context { items: &self.items, call }, item);
        self.remove_entry(item, call.now);
    }

    /// A store that was answered [`Stored::Later`](super::Stored::Later) has ended. The item whose removal waited for
    /// it and can [go on](Self::go_on_removing) now, if there is one.
    pub fn store_ended(&mut self, item: ItemId) -> Option<ItemId> {
        let fragment = self.items.fragment(item);
        let dir = self.items.dir_mut(fragment).ok()?;
        dir.stores = dir.stores.saturating_sub(1);
        (dir.stores == 0 && dir.dropping).then_some(fragment)
    }

    /// Removes an item whose removal waited, for stores or for its subsystem.
    pub fn go_on_removing(&mut self, subsystem: &mut dyn Subsystem, item: ItemId, call: Call) {
        self.detach(subsystem, item, call);
    }

    /// A removal that waits is given up (its caller was killed).
    pub fn give_up_removing(&mut self, item: ItemId) {
        if let Ok(dir) = self.items.dir_mut(item) {
            dir.dropping = false;
        }
    }
}
