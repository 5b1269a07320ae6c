//! Judging a slot: who joins, who leaves (`spec/heartbeat.md`, "Judging a slot").

use super::block::{Block, Found};

/// A node joins after this many changed samples (`O2HB_LIVE_THRESHOLD`).
pub(super) const LIVE_THRESHOLD: u32 = 2;

/// What is remembered of a slot from beat to beat.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slot {
    last_seq: u64,
    last_generation: u64,
    equal: u32,
    changed: u32,
    live: bool,
}

/// Why a node left a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// Its block stayed the same for the dead threshold.
    Silent,
    /// Its generation changed: it restarted between two beats.
    Restarted,
    /// Its generation became 0: it stopped cleanly.
    Clean,
}

/// What a beat found in a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing new.
    Same,
    /// The node is live in this region from now on.
    Joined,
    /// It is no longer.
    Left(Left),
}

/// How the own slot looks against what was written last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Own {
    /// Nothing was written yet that it could be compared with.
    First,
    /// As written.
    Good,
    /// Somebody else's node number.
    OtherNode,
    /// Another generation.
    Generation,
    /// Another seq: a write was lost, or an old one came back.
    Seq,
}

impl Slot {
    /// The baseline before the first beat.
    pub fn populate(&mut self, found: &Found) {
        *self =
            Self { last_seq: found.block.seq, last_generation: found.block.generation, ..Self::default() };
    }

    /// Live in this region?
    pub fn live(&self) -> bool {
        self.live
    }

    /// The region stops. True if the node was live in it.
    pub fn stop(&mut self) -> bool {
        core::mem::take(&mut self.live)
    }

    /// What the own slot should hold.
    pub fn expected(&self, node: u8, dead_ms: u32) -> Block {
        Block { seq: self.last_seq, node, generation: self.last_generation, dead_ms }
    }

    /// Compares the own slot with what was written last. Its checksum is not looked at, as in the kernel.
    pub fn check_own(&self, node: u8, found: &Found) -> Own {
        if self.last_seq == 0 {
            Own::First
        } else if found.block.node != node {
            Own::OtherNode
        } else if found.block.generation != self.last_generation {
            Own::Generation
        } else if found.block.seq != self.last_seq {
            Own::Seq
        } else {
            Own::Good
        }
    }

    /// Does a sample say anything but silence?
    pub fn changed_by(&self, found: &Found) -> bool {
        found.good && (found.block.seq, found.block.generation) != (self.last_seq, self.last_generation)
    }

    /// Does a slot say nothing, whatever its checksum? So it is with most slots of most regions: nobody lives
    /// there, and nothing has changed since the last sample. Such a one need not be judged.
    pub fn idle(&self, slot: &[u8]) -> bool {
        let last = (self.last_seq, self.last_generation);
        // Who left by a new generation may be back at the next sample, whatever that is.
        let away = !self.live && self.changed < LIVE_THRESHOLD;
        away && Block::fields(slot).is_some_and(|(block, _)| (block.seq, block.generation) == last)
    }

    /// Takes one sample.
    pub fn judge(&mut self, found: &Found, dead_threshold: u32) -> Verdict {
        let mut restarted = None;
        if found.good {
            let Block { seq, generation, .. } = found.block;
            if seq == self.last_seq {
                self.equal = self.equal.saturating_add(1);
            } else {
                self.changed = self.changed.saturating_add(1);
            }
            self.last_seq = seq;
            if generation != self.last_generation {
                self.equal = 0;
                restarted = Some(if generation == 0 { Left::Clean } else { Left::Restarted });
            }
            self.last_generation = generation;
        } else if self.live {
            self.equal = self.equal.saturating_add(1);
        } else {
            return Verdict::Same;
        }
        if !self.live {
            if self.changed < LIVE_THRESHOLD {
                return Verdict::Same;
            }
            self.live = true;
            self.equal = 0;
            return Verdict::Joined;
        }
        if let Some(left) = restarted {
            // It is still writing: what has changed counts towards its coming back.
            self.live = false;
            return Verdict::Left(left);
        }
        if self.equal >= dead_threshold {
            self.live = false;
            self.changed = 0;
            return Verdict::Left(Left::Silent);
        }
        if self.changed > 0 {
            self.changed = 0;
            self.equal = 0;
        }
        Verdict::Same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Joined, Same};

    fn found(seq: u64, generation: u64) -> Found {
        Found { block: Block { seq, node: 1, generation, dead_ms: 62_000 }, cksum: 0, good: true }
    }

    fn live() -> Slot {
        let mut slot = Slot::default();
        assert_eq!(slot.judge(&found(1, 7), 5), Same);
        assert_eq!(slot.judge(&found(2, 7), 5), Joined);
        // The changes that made it live are settled by the next sample, whatever that is.
        assert_eq!(slot.judge(&found(2, 7), 5), Same);
        slot
    }

    #[test]
    fn two_changes_make_a_node_live_whatever_lies_between() {
        let mut slot = Slot::default();
        slot.populate(&found(10, 7));
        for _ in 0..20 {
            assert_eq!(slot.judge(&found(10, 7), 5), Same);
        }
        assert_eq!(slot.judge(&found(12, 7), 5), Same);
        assert_eq!(slot.judge(&found(12, 7), 5), Same);
        assert_eq!(slot.judge(&found(14, 7), 5), Joined);
    }

    #[test]
    fn as_many_equal_samples_as_the_dead_threshold_end_it() {
        let mut slot = live();
        for _ in 0..4 {
            assert_eq!(slot.judge(&found(2, 7), 5), Same);
        }
        assert_eq!(slot.judge(&found(2, 7), 5), Verdict::Left(Left::Silent));
        assert!(!slot.live());
        // It has to change twice anew.
        assert_eq!(slot.judge(&found(3, 7), 5), Same);
        assert_eq!(slot.judge(&found(4, 7), 5), Joined);
    }

    #[test]
    fn one_change_in_time_forgives_all() {
        let mut slot = live();
        for _ in 0..4 {
            assert_eq!(slot.judge(&found(2, 7), 5), Same);
        }
        assert_eq!(slot.judge(&found(3, 7), 5), Same);
        for _ in 0..4 {
            assert_eq!(slot.judge(&found(3, 7), 5), Same);
        }
        assert_eq!(slot.judge(&found(3, 7), 5), Verdict::Left(Left::Silent));
    }

    #[test]
    fn a_new_generation_is_a_restart_and_the_node_is_back_one_beat_later() {
        let mut slot = live();
        assert_eq!(slot.judge(&found(4, 8), 5), Verdict::Left(Left::Restarted));
        assert_eq!(slot.judge(&found(6, 8), 5), Joined);
    }

    #[test]
    fn generation_0_is_a_clean_stop() {
        let mut slot = live();
        assert_eq!(slot.judge(&found(4, 0), 5), Verdict::Left(Left::Clean));
    }

    #[test]
    fn a_wrong_checksum_is_a_miss_of_a_live_node_and_nothing_of_another() {
        let bad = Found { good: false, ..found(9, 9) };
        let mut slot = Slot::default();
        for _ in 0..9 {
            assert_eq!(slot.judge(&bad, 5), Same);
        }
        assert_eq!(slot, Slot::default());
        let mut slot = live();
        for _ in 0..4 {
            assert_eq!(slot.judge(&bad, 5), Same);
        }
        assert_eq!(slot.judge(&bad, 5), Verdict::Left(Left::Silent));
    }

    #[test]
    fn the_seq_may_go_backwards() {
        let mut slot = Slot::default();
        slot.populate(&found(1000, 7));
        assert_eq!(slot.judge(&found(900, 7), 5), Same);
        assert_eq!(slot.judge(&found(800, 7), 5), Joined);
    }

    #[test]
    fn where_nobody_lives_and_nothing_is_new_there_is_nothing_to_judge() {
        let bytes = |seq, generation| {
            let mut bytes = [0; 64];
            found(seq, generation).block.encode(&mut bytes);
            bytes
        };
        let mut slot = Slot::default();
        slot.populate(&found(10, 7));
        assert!(slot.idle(&bytes(10, 7)));
        let mut spoilt = bytes(10, 7);
        spoilt[60] = 1;
        assert!(slot.idle(&spoilt));
        assert!(!slot.idle(&bytes(11, 7)) && !slot.idle(&bytes(10, 8)) && !slot.idle(&[0; 27]));
        assert!(!live().idle(&bytes(2, 7)));
        // Who restarted in the beat after it joined is back at the next sample, although that is no change.
        slot.judge(&found(11, 7), 5);
        assert_eq!(slot.judge(&found(12, 7), 5), Joined);
        assert_eq!(slot.judge(&found(13, 8), 5), Verdict::Left(Left::Restarted));
        assert!(!slot.idle(&bytes(13, 8)));
        assert_eq!(slot.judge(&found(13, 8), 5), Joined);
    }

    #[test]
    fn the_own_slot_is_checked_for_node_then_generation_then_seq() {
        let mut slot = Slot::default();
        assert_eq!(slot.check_own(1, &found(5, 7)), Own::First);
        slot.populate(&found(5, 7));
        assert_eq!(slot.check_own(1, &found(5, 7)), Own::Good);
        assert_eq!(slot.check_own(2, &found(6, 8)), Own::OtherNode);
        assert_eq!(slot.check_own(1, &found(6, 8)), Own::Generation);
        assert_eq!(slot.check_own(1, &found(6, 7)), Own::Seq);
    }
}
