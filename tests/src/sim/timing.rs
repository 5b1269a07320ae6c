//! When beats begin, how many of them a start takes, and from when the figures about a region count.

use uo2cb_core::heartbeat::disk::DiskNote;
use uo2cb_core::{Action, FenceReason, Note};

use super::faults::Fault;
use super::invariants::{Checked, Violation, broken, check};
use super::world::World;
use super::{MS, PERIOD, Us};

/// How many good beats without a change of membership a start takes.
pub fn steady_beats(global: bool, regions: usize) -> u32 {
    if global && regions == 1 { 5 } else { 3 }
}

impl World {
    /// A region begins a beat. From its start until it is steady: at once, and then two seconds after the last one began,
    /// or as soon as that has ended. Afterwards it may be earlier, when it joins the others, but not later.
    pub fn check_beat_time(&mut self, n: usize, region: usize) -> Checked {
        let now = self.now;
        let hindered = self.plan.faults.iter().any(|fault| match *fault {
            Fault::Pause { node, .. } | Fault::Slow { node, .. } => usize::from(node) == n,
            _ => false,
        });
        let Some(run) = &mut self.nodes[n].regions[region].run else { return Ok(()) };
        if run.baseline {
            let due = if run.beats == 0 { run.ended } else { run.ended.max(run.began + PERIOD) };
            let early = now < due && !run.steady;
            let late = now > due && !hindered;
            check(!early && !late, "beats are two seconds apart", || {
                format!("node {n} region {region}: beat {} at {now}, not at {due}", run.beats)
            })?;
            run.beats += 1;
        }
        run.began = now;
        Ok(())
    }

    /// The write timeout's line and its fence say how long ago the last good write began.
    pub fn check_silence_reported(&self, n: usize, action: &Action) -> Checked {
        let (region, silent) = match action {
            Action::Note(Note::Disk { region, note: DiskNote::WriteTimeout(silent), .. })
            | Action::Fence { reason: FenceReason::WriteTimeout { region, silent, .. }, .. } => {
                (region, silent)
            }
            _ => return Ok(()),
        };
        let number = region.to_string().strip_prefix('R').and_then(|number| number.parse::<usize>().ok());
        let place = number.and_then(|number| self.nodes[n].regions.get(number));
        let right = place.and_then(|place| self.since_good(place.run.as_ref()?.last_good?.issued, n));
        check(right == Some(silent.as_micros() as Us), "figures count from the last good write", || {
            format!("node {n} says {silent:?} of region {region}, not {right:?} us")
        })
    }

    /// debugfs says the same, at any time.
    pub fn check_elapsed(&mut self, n: usize, region: usize) -> Checked {
        let place = &self.nodes[n].regions[region];
        let Some(run) = place.run.as_ref().filter(|_| place.item.is_some()) else { return Ok(()) };
        let since = run.last_good.and_then(|good| self.since_good(good.issued, n));
        let right = since.unwrap_or(0) / MS;
        let text = self.read(n, &format!("o2hb/R{region}/elapsed_time_in_ms"))?;
        if self.nodes[n].engine.is_none() {
            return Ok(());
        }
        let said: u64 = text.trim().parse().map_err(|_| -> Violation { broken("setup", text.clone()) })?;
        check(said == right, "figures count from the last good write", || {
            format!("node {n} region {region}: {said} ms, not {right}")
        })
    }

    fn since_good(&self, issued: Us, n: usize) -> Option<Us> {
        // Both clocks run alike.
        (issued >= self.nodes[n].started_at).then(|| self.now - issued)
    }
}
