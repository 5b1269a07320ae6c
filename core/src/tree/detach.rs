//! Removal: what stands in its way, and how it waits for a store in flight.

use alloc::vec::Vec;

use super::items::Entry;
use super::schema::{Asked, Subsystem};
use super::{Answer, Tree};
use crate::error::Refusal;
use crate::ids::{Caller, ItemId, RequestId};
use crate::time::Now;

impl Tree {
    /// rmdir after the look-up. `Ok(false)`: parked behind a store.
    pub(super) fn rmdir(
        &mut self,
        subsystem: &mut dyn Subsystem,
        item: ItemId,
        asked: Asked,
    ) -> Result<bool, Refusal> {
        let dir = self.items.dir(item)?;
        if dir.default {
            return Err(Refusal::DefaultGroup);
        }
        if dir.dropping {
            return Err(Refusal::Gone);
        }
        if dir.dependents > 0 {
            return Err(Refusal::Depended);
        }
        self.may_detach(item)?;
        if self.stores.values().any(|fragment| *fragment == item) {
            self.items.dir_mut(item)?.dropping = true;
            self.parked.insert(item, asked.request);
            return Ok(false);
        }
        self.detach(subsystem, item, asked);
        Ok(true)
    }

    /// The walk of `configfs_detach_prep`: the item and its default groups, newest first.
    fn may_detach(&self, item: ItemId) -> Result<(), Refusal> {
        if self.items.dir(item)?.linked_by > 0 {
            return Err(Refusal::LinkedTo);
        }
        self.items.children(item).try_for_each(|child| match self.items.entries.get(&child) {
            Some(Entry::Dir(dir)) if dir.default => self.may_detach(child),
            _ => Err(Refusal::NotEmpty),
        })
    }

    fn detach(&mut self, subsystem: &mut dyn Subsystem, item: ItemId, asked: Asked) {
        subsystem.drop_item(&asked.context(&self.items), item);
        self.remove_entry(item, asked.now);
    }

    /// Ends a store that was answered [`Stored::Later`](super::Stored::Later), and the removal that waited
    /// for it. Gives the answers that are due; a request unknown here gives none.
    pub fn finish_store(
        &mut self,
        subsystem: &mut dyn Subsystem,
        request: RequestId,
        result: Result<usize, Refusal>,
        now: Now,
    ) -> Vec<(RequestId, Result<Answer, Refusal>)> {
        let Some(fragment) = self.stores.remove(&request) else { return Vec::new() };
        let mut due = Vec::from([(request, result.map(Answer::Stored))]);
        if !self.stores.values().any(|other| *other == fragment) {
            if let Some(removal) = self.parked.remove(&fragment) {
                let asked = Asked { now, caller: Caller::default(), request: removal };
                self.detach(subsystem, fragment, asked);
                due.push((removal, Ok(Answer::Done)));
            }
        }
        due
    }

    /// Gives up a removal that waits (its caller was killed). True if there was one.
    pub fn cancel_removal(&mut self, request: RequestId) -> bool {
        let Some(item) =
            self.parked.iter().find_map(|(item, waiting)| (*waiting == request).then_some(*item))
        else {
            return false;
        };
        self.parked.remove(&item);
        if let Ok(dir) = self.items.dir_mut(item) {
            dir.dropping = false;
        }
        true
    }

    /// Stores and removals that wait for an answer.
    pub fn waiting(&self) -> impl Iterator<Item = RequestId> + '_ {
        self.stores.keys().chain(self.parked.values()).copied()
    }
}
