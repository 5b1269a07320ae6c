//! Networks that are cut while all else is well: exactly those nodes fence themselves that have to, at their time.
//!
//! A cut is judged if every node lives, is steady, connected to all others, has heard of all of them within half of the idle
//! time, and has no decision before it; if it stays long enough; and if no other fault is there meanwhile. Then every node
//! decides once, with all nodes heartbeating: who is silent is noticed between idle time - keepalive delay and idle time +
//! keepalive delay after the cut (the latter where only one direction is cut: one more message arrives), and all nodes
//! that must go do so before heartbeat could declare the first of them dead.
//!
//! Which of them: those with fewer than half of all nodes connected, or exactly half without the lowest one. In a clean
//! partition that leaves one group at most, and one if the rules leave one. In others (one pair cut) it leaves what kernels
//! leave (`reference/o2net-observed.md`, 2a).
//!
//! Where a fence only ends the process, its system resets its connections: those who are still connected to it, and have to
//! go as well, hold it now, and decide only when heartbeat has lost it. There the first of them are demanded in time, and
//! that nobody else goes.
//!
//! Nothing is demanded where a hold stands, or nodes come and go meanwhile: the
//! rules do not promise anything there either.

use super::faults::Fault;
use super::invariants::{Checked, check};
use super::world::{SimEvent, World};
use super::{MS, SEC, Us};

const FENCED: &str = "exactly those fence that the cut leaves without quorum";

/// What a cut must lead to.
#[derive(Clone, Debug)]
pub struct Judged {
    /// When it begins.
    pub at: Us,
    /// Who must fence.
    pub must_go: Vec<usize>,
    /// Between these.
    pub window: (Us, Us),
}

impl World {
    /// A cut begins, with all others of the same moment: is it one to be judged?
    pub fn begin_cut(&mut self) {
        let (idle, keepalive) = (Us::from(self.plan.times[0]) * MS, Us::from(self.plan.times[1]) * MS);
        let at = self.now;
        let delay = (Us::from(self.plan.dead_threshold) + 2) * 2 * SEC;
        let until = at + idle + keepalive + delay + 200 * MS;
        let lasts = |fault: &Fault| match *fault {
            Fault::Cut { at: from, end, .. } | Fault::Partition { at: from, end, .. } => {
                from == at && end > until
            }
            _ => false,
        };
        let elsewhere = |fault: &Fault| fault.span().is_some_and(|(from, to)| from > until || to < at);
        let alone = self.plan.faults.iter().all(|fault| lasts(fault) || elsewhere(fault));
        let known = self.judged.as_ref().is_some_and(|judged| judged.at == at);
        if !alone || known || !self.all_well(at, idle) {
            return;
        }
        let nodes = self.nodes.len();
        let reaches = |a: usize, b: usize| a == b || (self.passes(a, b) && self.passes(b, a));
        let must_go = |n: &usize| {
            let connected = (0..nodes).filter(|other| reaches(*n, *other)).count();
            connected * 2 < nodes || (connected * 2 == nodes && !reaches(*n, 0))
        };
        let window = (at + idle + delay - keepalive - 200 * MS, until);
        self.judged = Some(Judged { at, must_go: (0..nodes).filter(must_go).collect(), window });
        self.schedule(until + 1, 0, SimEvent::Judge);
    }

    fn all_well(&self, at: Us, idle: Us) -> bool {
        let nodes = self.nodes.len();
        self.nodes.iter().all(|node| {
            let regions = node.regions.iter().all(|region| region.run.as_ref().is_some_and(|run| run.steady));
            let lives = node.engine.is_some() && !node.ending && at >= node.paused && regions;
            lives
                && node.live.all().count() == nodes
                && node.contacts.connected().len() == nodes
                && node.contacts.quiet()
                && node.contacts.heard_since(at.saturating_sub(idle / 2))
        })
    }

    /// The time of a judged cut is over.
    pub fn judge_cut(&mut self) -> Checked {
        let Some(Judged { at, must_go, window }) = self.judged.clone() else { return Ok(()) };
        self.figures.judged += 1;
        let mut fenced: Vec<_> = self.quorum_fences.iter().filter(|(when, _)| *when >= at).copied().collect();
        fenced.sort_by_key(|(_, n)| *n);
        let in_time = fenced.iter().all(|(when, _)| (window.0..=window.1).contains(when));
        let all = fenced.iter().map(|(_, n)| *n).eq(must_go.iter().copied());
        let first =
            fenced.iter().all(|(_, n)| must_go.contains(n)) && fenced.is_empty() == must_go.is_empty();
        check(in_time && (all || (self.plan.exits && first)), FENCED, || {
            format!("{fenced:?}, not {must_go:?} within {window:?}")
        })
    }
}
