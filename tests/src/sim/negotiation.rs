//! Negotiation of hung writes, by the specification alone: who has asked, when time may be given, and what follows.
//!
//! Nobody says that its write hangs before half of the write timeout has passed that was left when the last good one
//! returned, or since time was last given, nor after a beat that failed. The master gives time only when every node that it sees live has asked since then; whoever is given time has
//! the whole write timeout anew.

use std::collections::BTreeSet;

use uo2cb_core::Note;
use uo2cb_core::heartbeat::disk::DiskNote;

use super::invariants::{Checked, check};
use super::safety::write_timeout;
use super::world::World;

const ASKED: &str = "time is given when every live node has asked";

impl World {
    /// A line of a region may be one of a negotiation.
    pub fn check_negotiation(&mut self, n: usize, note: &Note) -> Checked {
        let Note::Disk { region, note, .. } = note else { return Ok(()) };
        let (now, hindered) = (self.now, self.hindered(n));
        let number = region.to_string().strip_prefix('R').and_then(|number| number.parse::<usize>().ok());
        let node = &mut self.nodes[n];
        let (own, timeout) = (node.own, write_timeout(node.dead_threshold));
        let live: BTreeSet<u8> = node.live.all().collect();
        let Some(place) = number.and_then(|number| node.regions.get_mut(number)) else { return Ok(()) };
        let Some(run) = &mut place.run else { return Ok(()) };
        match note {
            DiskNote::TimeAsked { said: other, .. } => {
                run.asked.insert(*other);
            }
            DiskNote::Hung { node: other, master, .. } => {
                let due = run.deadline.map(|_| run.half);
                // Of several regions one may fail: after a pause its question comes behind the end of its timeout.
                let failed = due.is_none() && hindered && self.plan.global;
                let lowest = live.first().copied();
                let right = *other == uo2cb_core::NodeNum::new(own.into()).unwrap_or(*other)
                    && !run.failing
                    && (failed
                        || due.is_some_and(|due| now == due || (now > due && (hindered || run.looks_again))))
                    && master.map_or(Some(own), |master| Some(master.get())) == lowest;
                run.looks_again = master.is_none();
                if master.is_none() {
                    run.asked.insert(own);
                }
                check(right, "a write hangs for half of the write timeout", || {
                    format!("node {n} says {note:?}, due at {due:?}, lowest {lowest:?}")
                })?;
            }
            DiskNote::AllHung => {
                let asked = core::mem::take(&mut run.asked);
                check(asked == live, ASKED, || format!("node {n}: {asked:?} of {live:?}"))?;
                run.extend(timeout, now);
                self.figures.extensions += 1;
            }
            DiskNote::TimeGiven if run.steady => run.extend(timeout, now),
            _ => {}
        }
        Ok(())
    }
}
