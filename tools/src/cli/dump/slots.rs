//! What slots tell by two looks at them.

use std::time::Duration;

use uo2cb::core::heartbeat::disk::{Block, Found};

/// What a slot tells. Nothing of it depends on a clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Written between the two looks.
    Alive,
    /// Not written in between.
    Silent,
    /// Not left, by the only look.
    Written,
    /// Stopped cleanly.
    Left,
    /// Its checksum is wrong.
    Bad,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Silent => "silent",
            Self::Written => "written",
            Self::Left => "left",
            Self::Bad => "bad checksum",
        }
    }
}

/// The slots at one moment.
pub(super) struct Look {
    /// Wall clock since 1970.
    pub(super) at: Duration,
    /// Those that were ever written.
    pub(super) slots: Vec<(usize, Found)>,
}

/// A slot by the last look.
pub(super) struct Row {
    pub(super) num: usize,
    pub(super) found: Found,
    pub(super) state: State,
    /// By how many seconds its writer's clock is ahead of ours; negative if it is behind. Known only of who is alive.
    pub(super) clock: Option<i64>,
    /// Seconds since it was written, by our clock and the writer's.
    pub(super) age: i64,
}

impl Row {
    fn new(num: usize, found: Found, last: &Look, first: Option<&Look>) -> Self {
        let Block { seq, generation, .. } = found.block;
        let state = match first {
            _ if !found.good => State::Bad,
            _ if generation == 0 => State::Left,
            None => State::Written,
            Some(first) => {
                let before = first.slots.iter().find(|(before, _)| *before == num);
                let same = |before: &Found| (before.block.seq, before.block.generation) == (seq, generation);
                if before.is_some_and(|(_, before)| same(before)) { State::Silent } else { State::Alive }
            }
        };
        let clock = first.filter(|_| state == State::Alive).map(|first| clock_off(seq, first.at, last.at));
        let age = i128::from(last.at.as_secs()) - i128::from(seq);
        Self { num, found, state, clock, age: i64::try_from(age).unwrap_or(i64::MIN) }
    }

    /// All slots by the last of one or two looks.
    pub(super) fn all(first: Option<&Look>, last: &Look) -> Vec<Self> {
        last.slots.iter().map(|(num, found)| Self::new(*num, *found, last, first)).collect()
    }
}

/// How far a clock that said `seq` at some moment between two of ours is ahead: 0 unless it must be wrong.
fn clock_off(seq: u64, first: Duration, last: Duration) -> i64 {
    let (seq, first, last) = (i128::from(seq) * 1000, first.as_millis() as i128, last.as_millis() as i128);
    if seq <= last && seq + 1000 >= first {
        return 0;
    }
    let off = (seq + 500 - (first + last) / 2) / 1000;
    i64::try_from(off).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(seq: u64, generation: u64, good: bool) -> Found {
        Found { block: Block { seq, node: 3, generation, dead_ms: 8000 }, cksum: 0, good }
    }

    fn look(secs: f64, found: Found) -> Look {
        Look { at: Duration::from_secs_f64(secs), slots: vec![(3, found)] }
    }

    /// State and clock of a slot by two looks at 1000.0 and 1002.5 of our clock.
    fn told(before: Found, after: Found) -> (State, Option<i64>) {
        let (first, last) = (look(1000.0, before), look(1002.5, after));
        let rows = Row::all(Some(&first), &last);
        (rows[0].state, rows[0].clock)
    }

    #[test]
    fn alive_is_who_wrote_between_two_looks_whatever_its_clock_says() {
        for (before, after, expected) in [
            (found(998, 7, true), found(1000, 7, true), (State::Alive, Some(0))),
            (found(998, 7, true), found(998, 7, true), (State::Silent, None)),
            // A clock that is ahead or behind, or stands still and is counted on from.
            (found(8_000, 7, true), found(8_000, 7, true), (State::Silent, None)),
            (found(4_600, 7, true), found(4_602, 7, true), (State::Alive, Some(3601))),
            (found(10, 7, true), found(11, 7, true), (State::Alive, Some(-989))),
            // It restarted, or its clock was set back.
            (found(1000, 7, true), found(1000, 8, true), (State::Alive, Some(0))),
            (found(1000, 7, true), found(40, 7, true), (State::Alive, Some(-960))),
            (found(1000, 7, true), found(1002, 0, true), (State::Left, None)),
            (found(1000, 0, true), found(1002, 9, true), (State::Alive, Some(0))),
            (found(1000, 7, true), found(u64::MAX, 7, false), (State::Bad, None)),
            (found(1000, 7, true), found(u64::MAX, 7, true), (State::Alive, Some(i64::MAX))),
        ] {
            assert_eq!(told(before, after), expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_clock_is_right_unless_it_must_be_wrong() {
        let off = |seq| clock_off(seq, Duration::from_millis(1_000_200), Duration::from_millis(1_002_700));
        assert_eq!([1000, 1001, 1002].map(off), [0; 3]);
        // It said 999 until 1000.0, and the first look was later.
        assert_eq!((off(998), off(1003)), (-2, 2));
        assert_eq!((off(0), off(2001)), (-1000, 1000));
    }

    #[test]
    fn one_look_does_not_say_who_is_alive() {
        for (slot, state) in [
            (found(1000, 7, true), State::Written),
            (found(1, 7, true), State::Written),
            (found(1000, 0, true), State::Left),
            (found(1000, 7, false), State::Bad),
        ] {
            assert_eq!(Row::all(None, &look(1000.0, slot))[0].state, state);
        }
    }
}
