//! The method `user`: a cluster stack makes and removes links region/NODE -> node/NODE, and thereby says who
//! is in the group. No quorum, no fence, no time-outs: userspace has decided already.
//!
//! Two things that the historical code left to its callers are refused here, to protect consumers: a node
//! without a number (no event could name it), and a second link to one node in one region (removing either
//! would say "down" of a node that is still linked).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::event::{Cause, Edge, NodeName};
use super::method::{Method, Surroundings};
use crate::error::Refusal;
use crate::ids::{ItemId, NodeNum, NodeSet};
use crate::name::Name;
use crate::tree::{Kind, Stored};

static GROUP: Kind = Kind { name: "heartbeat group", makes: true, links: false, attributes: &[] };
static REGION: Kind = Kind { name: "region", makes: false, links: true, attributes: &[] };

/// Since when each node is up, by region.
#[derive(Debug, Default)]
pub struct User {
    regions: BTreeMap<ItemId, BTreeMap<NodeNum, Duration>>,
}

impl Method for User {
    fn name(&self) -> &'static str {
        "user"
    }

    fn group(&self) -> &'static Kind {
        &GROUP
    }

    fn region(&self) -> &'static Kind {
        &REGION
    }

    fn make_region(&mut self, _: Surroundings<'_>, region: ItemId) -> Result<(), Refusal> {
        self.regions.insert(region, BTreeMap::new());
        Ok(())
    }

    fn drop_region(&mut self, _: Surroundings<'_>, region: ItemId) {
        // Links keep a region from being removed: nobody is up in it any more.
        self.regions.remove(&region);
    }

    fn show(&self, _: Option<ItemId>, _: usize, _: &mut Vec<u8>) -> Result<(), Refusal> {
        Err(Refusal::Gone)
    }

    fn store(
        &mut self,
        _: Surroundings<'_>,
        _: Option<ItemId>,
        _: usize,
        _: &[u8],
    ) -> Result<Stored, Refusal> {
        Err(Refusal::Gone)
    }

    fn allow_link(
        &mut self,
        at: Surroundings<'_>,
        region: ItemId,
        node: &Name,
        num: Option<NodeNum>,
    ) -> Result<(), Refusal> {
        let num = num.ok_or(Refusal::NodeUnnumbered)?;
        let up = self.regions.get_mut(&region).ok_or(Refusal::Gone)?;
        if up.contains_key(&num) {
            return Err(Refusal::NodeLinked);
        }
        up.insert(num, at.now.unix);
        let node = NodeName { num, name: node.clone() };
        at.layer.node_event(Edge::Up, node, Some(region), Cause::Linked(at.caller.pid), at.now);
        Ok(())
    }

    fn drop_link(&mut self, at: Surroundings<'_>, region: ItemId, node: NodeName) {
        if self.regions.get_mut(&region).is_some_and(|up| up.remove(&node.num).is_some()) {
            at.layer.node_event(Edge::Down, node, Some(region), Cause::Unlinked(at.caller.pid), at.now);
        }
    }

    fn fill_node_map(&self, region: Option<ItemId>) -> NodeSet {
        let all = self.regions.iter().filter(|(id, _)| region.is_none_or(|region| region == **id));
        all.flat_map(|(_, up)| up.keys().copied()).collect()
    }

    fn up_since(&self, region: ItemId, node: NodeNum) -> Option<Duration> {
        self.regions.get(&region)?.get(&node).copied()
    }
}
