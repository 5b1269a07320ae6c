//! Deadlines and margins: when a node must have fenced, and when others may declare it dead.
//!
//! All times count from `issued`, the moment at which the last write of a good beat was handed to the disk, with D the
//! dead threshold and a period of 2 s:
//!
//! - The writer's write timeout ends at `issued` + (D - 1) x 2 s. It acts on that exactly then if it runs, and else as
//!   the first thing when it runs again, before any write. Local heartbeat: it fences. Global: the region has failed,
//!   and it fences if half of the quorum regions have.
//! - An observer declares it dead after D unchanged samples that begin at least 2 s apart, the first of them after the
//!   sample in which it saw the write (which cannot have been before `issued`). So that is never before
//!   `issued` + (D - 1) x 2 s, whatever latencies, pauses and late beats there are: the margin is not negative. An
//!   observer that beats in time adds up to 2 s to it, as it first sees the write up to a period after it was made;
//!   it declares the writer dead at the latest at `issued` + (D + 1) x 2 s + what the writing and one beat take.
//! - A write that was handed to the disk before the deadline may reach the disk at any later time: no program can
//!   prevent that.
//!
//! The protocol promises nothing in these cases, and [`World::check_silent`] accepts them:
//!
//! - The write was acknowledged but lost or torn, or the observer has read an old copy since it last saw a change.
//! - The observer's dead threshold is smaller than the writer's, or two nodes write to one slot.
//! - The observer's last sample was taken before the writer's first good beat, or before its first good beat after a
//!   write timeout or a lost or torn write.
//! - Time was given to the writer, whose write hung, and it has not written since: an observer whose disk comes back
//!   earlier counts from its own samples, of which it may have taken up to (D - 1) / 2 before its own write hung, so up to
//!   half of the write timeout and a look of the master (1 s) too early.
//! - A region that is not steady has no write timeout; the write to its `dev` has not returned either.

use super::invariants::{Checked, broken};
use super::reference::Slot;
use super::world::World;
use super::{PERIOD, Us};

/// The write timeout: for how long a node may go on without a good beat.
pub fn write_timeout(dead_threshold: u32) -> Us {
    Us::from(dead_threshold - 1) * PERIOD
}

impl World {
    /// Ends the write timeouts of a node that are over. True: its engine must fence in the present call.
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

    /// Observer `b` declares the node in slot `num` dead, as it is silent in the last region where it was live: is it
    /// dead? Regions are left out where `b` never saw it live, or has not sampled it three times since it recovered:
    /// one good beat ends a region's failure for the writer, but an observer needs two changes.
    pub fn check_dead(&self, b: usize, num: u8) -> Checked {
        let observer = &self.nodes[b];
        let Some(writer) = self.nodes.get(usize::from(num)).filter(|writer| writer.own == num) else {
            return Ok(());
        };
        if self.nodes.iter().filter(|node| node.own == num).count() != 1 {
            return Ok(());
        }
        for (at, (theirs, ours)) in writer.regions.iter().zip(&observer.regions).enumerate() {
            let (Some(run), Some(view)) = (&theirs.run, &ours.run) else { continue };
            let Some(slot) = view.slots.get(usize::from(num)) else { continue };
            let false_ack = slot.stale || run.last_good.is_none_or(|good| !good.visible);
            let fresh = !slot.was_live || view.samples[0] <= run.recovered;
            let strict = observer.dead_threshold < writer.dead_threshold || run.extended;
            if run.deadline.is_none_or(|deadline| deadline <= self.now) || false_ack || fresh || strict {
                continue;
            }
            return Err(broken(
                "a node declared dead has fenced",
                format!("node {b} declares node {num} dead, which may write in region {at}"),
            ));
        }
        Ok(())
    }

    /// Observer `b` finds the node in slot `num` silent in a region: may it?
    pub fn check_silent(&mut self, b: usize, region: usize, num: u8, slot: &Slot) -> Checked {
        self.figures.silences += 1;
        let observer = &self.nodes[b];
        if self.nodes.iter().filter(|node| node.own == num).count() != 1 {
            return Ok(());
        }
        for (a, writer) in self.nodes.iter().enumerate().filter(|(_, node)| node.own == num) {
            let run = writer.regions.get(region).and_then(|region| region.run.as_ref());
            let Some((run, deadline)) = run.and_then(|run| Some((run, run.deadline?))) else { continue };
            let false_ack = slot.stale || run.last_good.is_none_or(|good| !good.visible);
            let strict = observer.dead_threshold < writer.dead_threshold || run.extended;
            // A read may take long: what it returns was true when it was made.
            let view = observer.regions.get(region).and_then(|region| region.run.as_ref());
            let before = view.is_some_and(|view| view.samples[2] <= run.recovered);
            if deadline <= self.now || false_ack || strict || before {
                continue;
            }
            return Err(broken(
                "a silent node is past its deadline",
                format!(
                    "node {b} finds node {a} silent in region {region}, which may write for {} ms more",
                    (deadline - self.now) / 1000
                ),
            ));
        }
        Ok(())
    }
}
