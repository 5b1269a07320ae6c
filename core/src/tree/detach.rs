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
            self.parked.insert(item, asked);
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
                self.detach(subsystem, fragment, Asked { now, ..removal });
                due.push((removal.request, Ok(Answer::Done)));
            }
        }
        due
    }

    /// Gives up a removal that waits (its caller was killed): of what, and whose. None if there is none.
    pub fn cancel_removal(&mut self, request: RequestId) -> Option<(ItemId, Caller)> {
        let waits =
            |(item, asked): (&ItemId, &Asked)| (asked.request == request).then_some((*item, asked.caller));
        let (item, caller) = self.parked.iter().find_map(waits)?;
        self.parked.remove(&item);
        if let Ok(dir) = self.items.dir_mut(item) {
            dir.dropping = false;
        }
        Some((item, caller))
    }

    /// Stores and removals that wait for an answer.
    pub fn waiting(&self) -> impl Iterator<Item = RequestId> + '_ {
        self.stores.keys().copied().chain(self.parked.values().map(|asked| asked.request))
    }
}
