//! Which regions of global heartbeat are in which set.

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
    /// How many regions more must fail until this node goes: half of those that count. Zero: it goes now.
    pub(super) fn until_lost(&self) -> u32 {
        self.quorum.len().div_ceil(2).saturating_sub(self.failed.len())
    }

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
    fn region_sets_print_as_debugfs_does() {
        let mut set = RegionSet::default();
        [31, 0, 5].into_iter().for_each(|num| set.insert(num));
        assert_eq!(set.to_string(), "0 5 31 ");
        set.remove(5);
        assert_eq!((set.len(), set.contains(31), set.contains(32)), (2, true, false));
    }

    /// failed regions x 2 >= quorum regions (`spec/heartbeat.md`, write timeout).
    #[test]
    fn a_node_goes_when_half_of_the_regions_that_count_have_failed() {
        let first = |count| {
            (0..count).fold(RegionSet::default(), |mut set, num| {
                set.insert(num);
                set
            })
        };
        for (quorum, failed) in (0..=32).flat_map(|quorum| (0..=quorum).map(move |failed| (quorum, failed))) {
            let sets = RegionSets { quorum: first(quorum), failed: first(failed), ..RegionSets::default() };
            assert_eq!(sets.until_lost() == 0, failed * 2 >= quorum, "{failed} of {quorum}");
        }
    }
}
