//! The generic heartbeat layer: regions of all methods in one list, who is in the group of each, and thereby which
//! nodes are up at all. Methods say what happens in a region; what it means for the node is decided here.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;

use super::event::{Cause, Edge, NodeEdge, NodeName, RegionName, Telling};
use crate::ids::{ItemId, NodeNum, NodeSet};
use crate::message::Up;
use crate::name::Name;

/// A region (the kernel's word for a heartbeat resource).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Region {
    /// Its directory.
    pub id: ItemId,
    /// Its name, unique.
    pub name: Name,
    /// Which method made it.
    pub method: &'static str,
    telling: Telling,
    up: Group,
}

impl Region {
    /// A region with nobody in it.
    pub fn new(id: ItemId, name: Name, method: &'static str, telling: Telling) -> Self {
        Self { id, name, method, telling, up: Group::default() }
    }

    /// Who is up in it.
    pub fn up(&self) -> &NodeSet {
        &self.up.nodes
    }

    /// Since when (wall clock since 1970) a node is up in it.
    pub fn up_since(&self, node: NodeNum) -> Option<Duration> {
        self.up.get(node).map(|member| member.since)
    }

    /// Who is up in it, by number: under which name it came, and since when (wall clock since 1970).
    pub(crate) fn members(&self) -> impl ExactSizeIterator<Item = (NodeName, Duration)> {
        let named = |num: NodeNum, member: &Member| NodeName { num, name: member.name.clone() };
        self.up.members.iter().map(move |(num, member)| (named(*num, member), member.since))
    }

    fn named(&self) -> RegionName {
        RegionName { id: self.id, name: self.name.clone() }
    }
}

/// Nodes that are up, in one region or in any.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Group {
    nodes: NodeSet,
    /// By number, side by side in memory: status reads all of them in all regions.
    members: Vec<(NodeNum, Member)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Member {
    /// Under which name it came: its node may have been removed meanwhile.
    name: Name,
    since: Duration,
    /// How many regions see it; in a region's own group 1.
    regions: u32,
}

impl Group {
    /// Where a node is, or would be.
    fn place(&self, num: NodeNum) -> Result<usize, usize> {
        self.members.binary_search_by_key(&num, |(num, _)| *num)
    }

    fn get(&self, num: NodeNum) -> Option<&Member> {
        self.place(num).ok().map(|place| &self.members[place].1)
    }

    /// One more region sees the node; true if that is the first one.
    fn join(&mut self, node: &NodeName, at: Duration) -> bool {
        match self.place(node.num) {
            Ok(place) => self.members[place].1.regions += 1,
            Err(place) => {
                let member = Member { name: node.name.clone(), since: at, regions: 1 };
                self.members.insert(place, (node.num, member));
            }
        }
        self.nodes.insert(node.num)
    }

    /// One region less sees the node: its name, and whether that was the last one.
    fn leave(&mut self, num: NodeNum) -> Option<(Name, bool)> {
        let place = self.place(num).ok()?;
        let member = &mut self.members[place].1;
        member.regions = member.regions.saturating_sub(1);
        let (name, last) = (member.name.clone(), member.regions == 0);
        if last {
            self.nodes.remove(num);
            self.members.remove(place);
        }
        Some((name, last))
    }
}

/// What all methods share.
#[derive(Debug, Default)]
pub struct Layer {
    regions: BTreeMap<ItemId, Region>,
    names: BTreeMap<Name, ItemId>,
    live: Group,
}

impl Layer {
    /// All regions, oldest first.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.values()
    }

    /// The regions that were made after this one, oldest first.
    pub(crate) fn regions_after(&self, after: Option<ItemId>) -> impl Iterator<Item = &Region> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.regions.range((from, Bound::Unbounded)).map(|(_, region)| region)
    }

    /// The region called `name`, whichever method it belongs to.
    pub fn by_name(&self, name: &[u8]) -> Option<&Region> {
        self.by_id(*self.names.get(name)?)
    }

    /// The region of this directory.
    pub fn by_id(&self, id: ItemId) -> Option<&Region> {
        self.regions.get(&id)
    }

    /// Who is up in a region, or (none) in any (`fill_node_map`).
    pub fn fill_node_map(&self, region: Option<ItemId>) -> NodeSet {
        match region {
            None => self.live.nodes,
            Some(id) => self.by_id(id).map(|region| *region.up()).unwrap_or_default(),
        }
    }

    /// Is the node up (`check_node_status`)?
    pub fn check_node_status(&self, region: Option<ItemId>, node: NodeNum) -> bool {
        self.fill_node_map(region).contains(node)
    }

    /// What a consumer of a region, or (none) of all, starts from: who is up, under the keys that its events will have.
    /// Where those are of whole nodes, so is this, or a node that is live elsewhere would come into the region without
    /// an event.
    pub(crate) fn map(&self, region: Option<ItemId>) -> Vec<Up> {
        let wanted = || self.regions().filter(|of| region.is_none_or(|region| region == of.id));
        let (mut up, mut whole) = (Vec::new(), false);
        let entry = |region, (num, member): &(NodeNum, Member)| {
            let node = NodeName { num: *num, name: member.name.clone() };
            Up { region, node, since: member.since }
        };
        for of in wanted() {
            match of.telling {
                Telling::Regions => {
                    up.extend(of.up.members.iter().map(|member| entry(Some(of.id), member)));
                }
                Telling::Nodes => whole = true,
            }
        }
        if whole {
            let mut nodes = NodeSet::default();
            let told = self.regions().filter(|of| of.telling == Telling::Nodes);
            told.for_each(|of| nodes.extend(&of.up.nodes));
            let live = self.live.members.iter().filter(|(num, _)| nodes.contains(*num));
            up.extend(live.map(|member| entry(None, member)));
        }
        up
    }

    /// Since when (wall clock since 1970) a node is up in any region.
    pub fn live_since(&self, node: NodeNum) -> Option<Duration> {
        self.live.get(node).map(|member| member.since)
    }

    /// A node is in the group of a region from now on. None: it was already, or there is no such region.
    pub(super) fn join(
        &mut self,
        id: ItemId,
        node: NodeName,
        cause: Cause,
        at: Duration,
    ) -> Option<NodeEdge> {
        let region = self.regions.get_mut(&id)?;
        if region.up.nodes.contains(node.num) {
            return None;
        }
        region.up.join(&node, at);
        let whole = self.live.join(&node, at);
        let (region, telling) = (region.named(), region.telling);
        Some(NodeEdge { edge: Edge::Up, node, region, whole, telling, cause, at })
    }

    /// A node is no longer in the group of a region. None: it was not.
    pub(super) fn leave(&mut self, id: ItemId, num: NodeNum, cause: Cause, at: Duration) -> Option<NodeEdge> {
        let region = self.regions.get_mut(&id)?;
        let (name, _) = region.up.leave(num)?;
        let whole = self.live.leave(num).is_some_and(|(_, last)| last);
        let (node, region, telling) = (NodeName { num, name }, region.named(), region.telling);
        Some(NodeEdge { edge: Edge::Down, node, region, whole, telling, cause, at })
    }

    pub(super) fn insert(&mut self, region: Region) {
        self.names.insert(region.name.clone(), region.id);
        self.regions.insert(region.id, region);
    }

    /// The region goes. Whoever was up in it has left before.
    pub(super) fn remove(&mut self, id: ItemId) {
        let Some(region) = self.regions.remove(&id) else { return };
        self.names.remove(&region.name);
        for num in region.up.nodes.iter() {
            self.live.leave(num);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_first_and_the_last_region_make_the_edges_of_a_node() {
        let mut layer = Layer::default();
        for (id, telling) in [(1, Telling::Nodes), (2, Telling::Regions)] {
            let region = Region::new(ItemId(id), name(&alloc::format!("R{id}")), "any", telling);
            layer.insert(region);
        }
        let num = NodeNum::new(3).unwrap();
        let node = || NodeName { num, name: name("n3") };
        let at = Duration::from_secs;
        let join = |layer: &mut Layer, id, secs| {
            layer.join(ItemId(id), node(), Cause::Beats, at(secs)).map(|edge| edge.whole)
        };
        assert_eq!(join(&mut layer, 1, 10), Some(true));
        assert_eq!(join(&mut layer, 1, 11), None);
        assert_eq!(join(&mut layer, 2, 12), Some(false));
        assert_eq!(join(&mut layer, 9, 13), None);
        assert_eq!(layer.live_since(num), Some(at(10)));
        assert_eq!(layer.by_name(b"R2").and_then(|region| region.up_since(num)), Some(at(12)));
        let leave = |layer: &mut Layer, id| layer.leave(ItemId(id), num, Cause::Silent, at(20));
        assert_eq!(leave(&mut layer, 1).map(|edge| edge.whole), Some(false));
        assert_eq!(leave(&mut layer, 1), None);
        assert!(layer.check_node_status(None, num) && !layer.check_node_status(Some(ItemId(1)), num));
        assert_eq!(leave(&mut layer, 2).map(|edge| (edge.whole, edge.node)), Some((true, node())));
        assert!(layer.fill_node_map(None).is_empty());
    }

    #[test]
    fn a_region_takes_its_group_with_it() {
        let mut layer = Layer::default();
        layer.insert(Region::new(ItemId(1), name("R"), "any", Telling::Nodes));
        let node = NodeName { num: NodeNum::new(0).unwrap(), name: name("n0") };
        layer.join(ItemId(1), node, Cause::Beats, Duration::ZERO);
        layer.remove(ItemId(1));
        assert!(layer.by_name(b"R").is_none() && layer.fill_node_map(None).is_empty());
    }
}
