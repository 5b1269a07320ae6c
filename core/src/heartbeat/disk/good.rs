//! Until when the beats are good: the same rules as the write timeout's, asked beforehand.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::PERIOD;
use super::context::Common;
use super::region::Region;
use crate::fence::Good;
use crate::ids::ItemId;
use crate::time::Instant;

/// When this node will have to go if no good beat comes any more. None: no region is steady.
pub(super) fn good(regions: &BTreeMap<ItemId, Region>, common: &Common) -> Option<Good> {
    let deadlines = || regions.values().filter_map(|region| Some((region, region.run()?.deadline?)));
    let until = if common.global() && common.sets.quorum.len() > 0 {
        // So many of those that have not failed yet are one too many. A region that is not one of the quorum may fail.
        let more = common.sets.until_lost().max(1) as usize;
        let counted = |region: &Region| common.sets.quorum.contains(region.num);
        let mut left: Vec<Instant> =
            deadlines().filter(|(region, _)| counted(region)).map(|(_, deadline)| deadline).collect();
        left.sort_unstable();
        // Where those that are left have all failed, the node has been silent everywhere since then.
        left.get(more - 1).copied().or_else(|| passed(regions, common))
    } else {
        deadlines().map(|(_, deadline)| deadline).min()
    };
    // Others wait for one beat more than this node does.
    until.map(|until| Good { until, dead: until.after(PERIOD), timeout: common.write_timeout() })
}

/// The latest of the deadlines that have passed.
fn passed(regions: &BTreeMap<ItemId, Region>, common: &Common) -> Option<Instant> {
    let silent = regions.values().filter_map(|region| region.run().filter(|run| run.steady())?.last_good);
    silent.max().map(|good| good.after(common.write_timeout()))
}
