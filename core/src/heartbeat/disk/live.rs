//! Who is live in any region, and which regions are in which set: what all regions of a node share.

use alloc::collections::BTreeMap;

use crate::heartbeat::event::NodeName;
use crate::ids::{NodeNum, NodeSet};
use crate::name::Name;

/// Nodes that are live in at least one region.
#[derive(Debug, Default)]
pub(super) struct Live {
    nodes: NodeSet,
    /// In how many regions, and under which name it came.
    regions: BTreeMap<NodeNum, (u32, Name)>,
}

impl Live {
    pub(super) fn set(&self) -> &NodeSet {
        &self.nodes
    }

    /// One more region sees the node. Its name if that was the first one: the node is up.
    pub(super) fn join(&mut self, num: NodeNum, name: impl FnOnce() -> Name) -> Option<NodeName> {
        self.nodes.insert(num);
        let (count, name) = self.regions.entry(num).or_insert_with(|| (0, name()));
        *count += 1;
        (*count == 1).then(|| NodeName { num, name: name.clone() })
    }

    /// One region less sees it. Its name if that was the last one: the node is down.
    pub(super) fn leave(&mut self, num: NodeNum) -> Option<NodeName> {
        let (count, _) = self.regions.get_mut(&num)?;
        *count = count.saturating_sub(1);
        if *count > 0 {
            return None;
        }
        self.nodes.remove(num);
        self.regions.remove(&num).map(|(_, name)| NodeName { num, name })
    }
}

/// A set of region numbers of global heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RegionSet(u32);

impl RegionSet {
    pub(super) fn insert(&mut self, num: u32) {
        self.0 |= 1u32.checked_shl(num).unwrap_or(0);
    }

    pub(super) fn remove(&mut self, num: u32) {
        self.0 &= !1u32.checked_shl(num).unwrap_or(0);
    }

    pub(super) fn contains(self, num: u32) -> bool {
        self.0 & 1u32.checked_shl(num).unwrap_or(0) != 0
    }

    pub(super) fn len(self) -> u32 {
        self.0.count_ones()
    }
}

/// As debugfs prints it: each number followed by a space.
impl core::fmt::Display for RegionSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (0..u32::BITS).filter(|num| self.contains(*num)).try_for_each(|num| write!(f, "{num} "))
    }
}

/// The sets that debugfs shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RegionSets {
    /// Steady.
    pub live: RegionSet,
    /// Count for the quorum of regions.
    pub quorum: RegionSet,
    /// Of those: without a good beat for the write timeout.
    pub failed: RegionSet,
}

impl RegionSets {
    /// The region does not beat any more.
    pub(super) fn remove(&mut self, num: u32) {
        [&mut self.live, &mut self.quorum, &mut self.failed].into_iter().for_each(|set| set.remove(num));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn first_and_last_region_make_the_events() {
        let mut live = Live::default();
        let num = NodeNum::new(3).unwrap();
        let name = || Name::new(b"n3").unwrap();
        assert!(live.join(num, name).is_some());
        assert!(live.join(num, name).is_none());
        assert!(live.leave(num).is_none());
        assert!(live.set().contains(num));
        assert!(live.leave(num).is_some());
        assert!(live.leave(num).is_none());
        assert!(live.set().is_empty());
    }

    #[test]
    fn region_sets_print_as_debugfs_does() {
        let mut set = RegionSet::default();
        [31, 0, 5].into_iter().for_each(|num| set.insert(num));
        assert_eq!(set.to_string(), "0 5 31 ");
        set.remove(5);
        assert_eq!((set.len(), set.contains(31), set.contains(32)), (2, true, false));
    }
}
