//! When a watchdog is fed, and how long it then waits: data in, data out.
//!
//! Others count a node as dead no sooner than one beat behind its write timeout (`Good::dead`); by then the machine must
//! have begun to restart, whatever becomes of this process in any moment between two looks:
//!
//! - It stands still (stopped, hung, no processor): the device restarts the machine its timeout after it was fed last.
//! - It is killed: the kernel feeds the device once more when it closes it, and the timeout counts from there. So it is set
//!   so that it ends in time even if the process is killed just before the next look ([`LATE`]). While beats are good it is
//!   [usual](Range::usual); when a good one is overdue it is made shorter from look to look.
//! - It is killed after it stood still: the timeout counts twice. With half of the write timeout that is in time, too.
//! - It fences itself: the device gets its shortest timeout, so the machine restarts at once.
//!
//! Where the shortest timeout of a device is more than a second there comes a moment before the write timeout at which
//! feeding it once more would let the machine live for too long. The node then goes at that moment.

use std::time::Duration;

use uo2cb_core::{Beats, Instant};

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(250);
/// The most between two looks, and until the kernel has closed the device of a process that was killed.
pub(super) const LATE: Duration = Duration::from_millis(500);
/// A node that has stopped for so many seconds will not come back.
const LONGEST: u32 = 60;
/// Below so many seconds every short halt of the machine would restart it.
const SENSIBLE: u32 = 2;

/// Timeouts that a device takes, in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Range {
    pub(super) shortest: u32,
    pub(super) longest: u32,
}

impl Range {
    /// Why a device with these is of no use to a node with this write timeout.
    pub(super) fn refused(self, write_timeout: Duration) -> Option<String> {
        let Self { shortest, longest } = self;
        if longest < SENSIBLE {
            return Some(format!("its longest timeout is {longest} s; {SENSIBLE} s are needed at least"));
        }
        (Duration::from_secs(shortest.into()) > write_timeout / 2)
            .then(|| format!("its shortest timeout is {shortest} s: others would not wait for that"))
    }

    /// While the beats are good, for a node with this write timeout: half of it, since the kernel may feed the device once
    /// more when all is over. As much as that, because a machine that has only halted for a moment is not to be restarted.
    pub(super) fn usual(self, write_timeout: Duration) -> u32 {
        let half = u32::try_from(write_timeout.as_secs() / 2).unwrap_or(u32::MAX);
        half.min(LONGEST).min(self.longest).max(self.shortest)
    }
}

/// What a look leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Nobody counts on this node: the device is to be disarmed, or stays so.
    Rest,
    /// Feed it, armed, with a timeout of so many seconds.
    Feed(u32),
    /// Do nothing: the machine is to restart.
    Starve,
    /// This node must go now, as the device would not restart the machine in time later.
    Go,
}

/// What is to be done at `now`.
pub(super) fn step(beats: Beats, now: Instant, range: Range) -> Step {
    let good = match beats {
        Beats::Unwatched => return Step::Rest,
        Beats::Fenced => return Step::Starve,
        // Whoever is to fence this node is late, or hangs.
        Beats::Good(good) if now >= good.until => return Step::Starve,
        Beats::Good(good) => good,
    };
    let left = good.dead.since(now).saturating_sub(LATE);
    let left = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
    if left < range.shortest { Step::Go } else { Step::Feed(range.usual(good.timeout).min(left)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uo2cb_core::Good;

    const SOFT: Range = Range { shortest: 1, longest: 65_535 };

    fn at(ms: u64) -> Instant {
        Instant::at(Duration::from_millis(ms))
    }

    /// The last good beat began at 0.
    fn good(dead_threshold: u64) -> (Beats, u64, u64) {
        let (timeout, dead) = ((dead_threshold - 1) * 2000, dead_threshold * 2000);
        let timeout_duration = Duration::from_millis(timeout);
        (Beats::Good(Good { until: at(timeout), dead: at(dead), timeout: timeout_duration }), timeout, dead)
    }

    #[test]
    fn who_is_not_counted_on_is_not_watched_and_who_is_fenced_is_not_fed() {
        assert_eq!(step(Beats::Unwatched, at(7), SOFT), Step::Rest);
        assert_eq!(step(Beats::Fenced, at(7), SOFT), Step::Starve);
        let (beats, timeout, _) = good(7);
        assert_eq!(step(beats, at(timeout), SOFT), Step::Starve);
    }

    #[test]
    fn the_usual_timeout_is_half_of_the_write_timeout_as_far_as_the_device_takes_it() {
        for (dead_threshold, range, usual) in [
            (31, SOFT, 30),
            (7, SOFT, 6),
            (3, SOFT, 2),
            (1000, SOFT, 60),
            (31, Range { shortest: 1, longest: 20 }, 20),
            (7, Range { shortest: 8, longest: 614 }, 8),
        ] {
            assert_eq!(step(good(dead_threshold).0, at(300), range), Step::Feed(usual));
        }
        assert_eq!(SOFT.usual(Duration::MAX), LONGEST);
    }

    /// Played through to the end, with every moment at which the process may be killed, and every device: the machine has
    /// begun to restart before others count the node as dead.
    #[test]
    fn whenever_the_node_dies_the_machine_restarts_before_others_count_it_as_dead() {
        for dead_threshold in [3, 4, 7, 31, 61, 1000] {
            for range in [1, 2, 3, 5].map(|shortest| Range { shortest, ..SOFT }) {
                let (beats, timeout, dead) = good(dead_threshold);
                // A beat and its write take their time, then the disk hangs for ever.
                let mut now = 300;
                let mut fed;
                let gone = loop {
                    match step(beats, at(now), range) {
                        Step::Feed(seconds) => fed = seconds,
                        Step::Starve | Step::Go => break now,
                        Step::Rest => panic!("at rest"),
                    }
                    // Killed in any moment until the next look.
                    let killed = now + LATE.as_millis() as u64;
                    assert!(
                        killed + u64::from(fed) * 1000 <= dead,
                        "{dead_threshold} {range:?}: {now}, {fed} s"
                    );
                    now += LOOK.as_millis() as u64;
                };
                // Fenced, the device gets its shortest timeout.
                let fence = gone.min(timeout);
                assert!(
                    fence + u64::from(range.shortest) * 1000 <= dead,
                    "{dead_threshold} {range:?}: {fence}"
                );
                // And not much earlier than without a watchdog.
                let early = u64::from(range.shortest.saturating_sub(1)) * 1000 + LOOK.as_millis() as u64;
                assert!(fence + early >= timeout, "{dead_threshold} {range:?}: {fence}");
            }
        }
    }

    /// First the process stops, then it is killed: its device is closed, and so fed, at the last moment.
    #[test]
    fn stopped_and_then_killed_it_is_in_time_too() {
        for dead_threshold in [3, 7, 31, 61] {
            let (beats, _, dead) = good(dead_threshold);
            // Just before the next beat of a disk that is quick.
            let stopped = 2000;
            let Step::Feed(seconds) = step(beats, at(stopped), SOFT) else { panic!() };
            assert!(stopped + 2 * u64::from(seconds) * 1000 <= dead, "{dead_threshold}: {seconds}");
        }
    }

    #[test]
    fn devices_with_other_ranges_are_refused() {
        let refused = |shortest, longest| Range { shortest, longest }.refused(Duration::from_secs(60));
        for (shortest, longest) in [(1, 65_535), (1, 2), (3, 614), (30, u32::MAX)] {
            assert_eq!(refused(shortest, longest), None);
        }
        let line = refused(1, 1).unwrap();
        assert_eq!(line, "its longest timeout is 1 s; 2 s are needed at least");
        let line = refused(31, 600).unwrap();
        assert_eq!(line, "its shortest timeout is 31 s: others would not wait for that");
    }

    #[test]
    fn a_device_that_is_slower_than_others_wait_is_left_alone() {
        assert_eq!(step(good(3).0, at(300), Range { shortest: 10, longest: 600 }), Step::Go);
    }
}
