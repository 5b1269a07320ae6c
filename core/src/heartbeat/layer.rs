//! The generic heartbeat layer: regions of all methods in one list, and the events about them.

use alloc::vec::Vec;

use super::delivery::Delivery;
use super::event::{Cause, Edge, NodeName, RegionName};
use crate::ids::ItemId;
use crate::name::Name;
use crate::time::Now;

/// A region (the kernel's word for a heartbeat resource).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Region {
    /// Its directory.
    pub id: ItemId,
    /// Its name, unique.
    pub name: Name,
    /// Which method made it.
    pub method: &'static str,
}

/// What all methods share.
#[derive(Debug, Default)]
pub struct Layer {
    regions: Vec<Region>,
    /// Events and callbacks.
    pub delivery: Delivery,
}

impl Layer {
    /// All regions, oldest first.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The region called `name`, whichever method it belongs to.
    pub fn by_name(&self, name: &[u8]) -> Option<&Region> {
        self.regions.iter().find(|region| region.name.as_bytes() == name)
    }

    /// The region of this directory.
    pub fn by_id(&self, id: ItemId) -> Option<&Region> {
        self.regions.iter().find(|region| region.id == id)
    }

    /// A node went up or down: in one region, or (none) altogether.
    pub fn node_event(&mut self, edge: Edge, node: NodeName, region: Option<ItemId>, cause: Cause, now: Now) {
        let region = region
            .and_then(|id| self.by_id(id))
            .map(|region| RegionName { id: region.id, name: region.name.clone() });
        self.delivery.queue(edge, node, region, cause, now);
    }

    pub(super) fn insert(&mut self, region: Region) {
        self.regions.push(region);
    }

    pub(super) fn remove(&mut self, id: ItemId) {
        self.regions.retain(|region| region.id != id);
    }
}
