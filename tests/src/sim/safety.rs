//! Deadlines and margins: when a node must be gone, and when others may say that it is.
//!
//! All is reckoned from `issued`, the moment at which the last write of a good beat was handed to the disk, with D the
//! dead threshold and a period of 2 s:
//!
//! - The writer gives the region up at `issued` + (D - 1) x 2 s: exactly then if it runs, and else as the first thing
//!   when it runs again, before any write. Local heartbeat: it fences. Global: the region has failed, and it fences
//!   if that makes half of the quorum regions.
//! - An observer says "dead" after D unchanged samples that begin at least 2 s apart, the first of them after the
//!   sample in which it saw the write (which cannot have been before `issued`). So that is never before
//!   `issued` + (D - 1) x 2 s, whatever latencies, pauses and late beats there are: the margin is not negative. An
//!   observer that beats in time adds up to 2 s to it, as it first sees the write up to a period after it was made;
//!   it says "dead" at the latest at `issued` + (D + 1) x 2 s + what the writing and one beat take.
//! - A write that was handed to the disk before the deadline may land at any later time: that no program can prevent.
//!
//! What the protocol cannot promise, and [`World::silent`] excuses:
//!
//! - The disk lied: the write was acknowledged but lost or torn, or the observer was given an old copy since it last
//!   saw a change.
//! - The writer's wall clock jumped since then: two blocks may have the same seq, which looks like silence.
//! - The observer's dead threshold is smaller than the writer's, or two nodes write to one slot.
//! - The observer's last sample was taken before the writer was good for the first time, or again after its time had
//!   run out or the disk had lied.
//! - A region that is not steady has no write timeout; nor has the write to its `dev` returned.

use super::invariants::{Checked, broken};
use super::reference::RefSlot;
use super::world::World;
use super::{PERIOD, SEC, Us};

/// How long a node goes on without a good beat.
pub fn write_timeout(dead_threshold: u32) -> Us {
    Us::from(dead_threshold - 1) * PERIOD
}

impl World {
    /// Lets time run out for the regions of a node. True: it must fence in this very call.
    pub fn expire(&mut self, n: usize) -> bool {
        let (now, global) = (self.now, self.plan.global);
        let mut expired = false;
        let regions = &mut self.nodes[n].regions;
        for region in regions.iter_mut() {
            let quorum = region.quorum;
            let Some(run) = &mut region.run else { continue };
            if run.deadline.take_if(|deadline| *deadline <= now).is_some() {
                run.failed = quorum;
                expired = true;
            }
        }
        let quorum = regions.iter().filter(|region| region.quorum).count();
        let failed =
            regions.iter().filter(|region| region.run.as_ref().is_some_and(|run| run.failed)).count();
        expired && (!global || failed * 2 >= quorum)
    }

    /// The earliest deadline of a node.
    pub fn deadline(&self, n: usize) -> Option<Us> {
        self.nodes[n].regions.iter().filter_map(|region| region.run.as_ref()?.deadline).min()
    }

    /// To observer `b` the node in slot `num` is silent in the last region where it was live, and so dead: is it? Not
    /// asked of regions where `b` never saw it, or has not sampled it three times since it recovered there: one good
    /// beat makes a failed region good again for the writer, but an observer needs two changes.
    pub fn dead(&self, b: usize, num: u8) -> Checked {
        let observer = &self.nodes[b];
        let Some(writer) = self.nodes.get(usize::from(num)).filter(|writer| writer.own == num) else {
            return Ok(());
        };
        if self.nodes.iter().filter(|node| node.own == num).count() != 1 {
            return Ok(());
        }
        for (at, (theirs, ours)) in writer.regions.iter().zip(&observer.regions).enumerate() {
            let (Some(run), Some(sight)) = (&theirs.run, &ours.run) else { continue };
            let Some(slot) = sight.slots.get(usize::from(num)) else { continue };
            let lied = slot.stale || run.good.is_none_or(|good| !good.honest);
            let jumped = writer.jumped.is_some_and(|at| at + 4 * SEC >= slot.changed_at);
            let fresh = !slot.seen || sight.samples[0] <= run.recovered;
            let strict = observer.dead_threshold < writer.dead_threshold;
            if run.deadline.is_none_or(|deadline| deadline <= self.now) || lied || jumped || fresh || strict {
                continue;
            }
            return Err(broken(
                "who is dead to a node is dead",
                format!("node {b} buries node {num}, which lives in region {at}"),
            ));
        }
        Ok(())
    }

    /// Observer `b` says that the node in slot `num` is silent in a region: is it allowed to?
    pub fn silent(&mut self, b: usize, region: usize, num: u8, slot: &RefSlot) -> Checked {
        self.figures.silences += 1;
        let observer = &self.nodes[b];
        if self.nodes.iter().filter(|node| node.own == num).count() != 1 {
            return Ok(());
        }
        for (a, writer) in self.nodes.iter().enumerate().filter(|(_, node)| node.own == num) {
            let run = writer.regions.get(region).and_then(|region| region.run.as_ref());
            let Some((run, deadline)) = run.and_then(|run| Some((run, run.deadline?))) else { continue };
            let lied = slot.stale || run.good.is_none_or(|good| !good.honest);
            let jumped = writer.jumped.is_some_and(|at| at + 4 * SEC >= slot.changed_at);
            let strict = observer.dead_threshold < writer.dead_threshold;
            // A request may take long. What it says of the time in which it was made is true.
            let sight = observer.regions.get(region).and_then(|region| region.run.as_ref());
            let before = sight.is_some_and(|sight| sight.samples[2] <= run.recovered);
            if deadline <= self.now || lied || jumped || strict || before {
                continue;
            }
            return Err(broken(
                "who is called dead has stopped",
                format!(
                    "node {b} misses node {a} in region {region}, which may write for {} ms more",
                    (deadline - self.now) / 1000
                ),
            ));
        }
        Ok(())
    }
}
