//! Wall clocks of nodes, right and wrong, and the seq that follows from them.

use std::time::Duration;

use uo2cb_core::heartbeat::disk::{Block, Found, SEQ_LIMIT};
use uo2cb_core::{Instant, Now};

use super::faults::{ClockFault, Fault};
use super::invariants::{Checked, check};
use super::world::World;

/// Wall clock at the start of a run, in seconds since 1970.
const EPOCH: i64 = 1_800_000_000;

impl World {
    /// The clocks of a node. Its monotonic one begins at its boot, and has no faults.
    pub fn clocks(&self, n: usize) -> Now {
        let node = &self.nodes[n];
        let mut wall = self.now;
        let mut reads = None;
        for fault in &self.plan.faults {
            let Fault::Clock { node, at, end, kind } = *fault else { continue };
            if usize::from(node) != n || !(at..end).contains(&self.now) {
                continue;
            }
            match kind {
                ClockFault::Stopped => wall = at,
                ClockFault::Repeats(every) => wall = at + (self.now - at) % every.max(1),
                ClockFault::Reads(seconds) => reads = Some(Duration::from_secs(seconds)),
            }
        }
        let right = || {
            let start = u64::try_from(EPOCH + node.wall_offset).unwrap_or(0);
            Duration::from_secs(start) + Duration::from_micros(wall)
        };
        Now {
            mono: Instant::at(Duration::from_micros(self.now - node.started_at)),
            unix: reads.unwrap_or_else(right),
        }
    }

    /// A region's baseline has this in the own slot: its seq is counted on from, unless no clock can have written it.
    pub fn base_seq(&mut self, n: usize, region: usize, found: &Found) {
        let seq = if found.good { found.block.seq } else { 0 };
        self.nodes[n].regions[region].seq = if seq < SEQ_LIMIT { seq } else { 0 };
    }

    /// The wall clock, but at least one more than the last: never again what was written before.
    pub fn check_seq(&mut self, n: usize, region: usize, block: &Block) -> Checked {
        let clock = self.clocks(n).unix.as_secs();
        let last = &mut self.nodes[n].regions[region].seq;
        let (seq, before) = (block.seq, *last);
        check(seq > before && seq < SEQ_LIMIT, "seq rises whatever the clock does", || {
            format!("node {n} writes {seq} behind {before} in region {region}")
        })?;
        *last = seq;
        // A clock that is more than a thousand years ahead is not followed.
        let follows = seq == clock.max(before + 1) || clock >= SEQ_LIMIT / 2;
        check(follows, "seq is the wall clock where that goes on", || {
            format!("node {n} writes {seq} behind {before} at {clock}")
        })
    }
}
