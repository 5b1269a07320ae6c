//! A second implementation of the judging of slots, from the specification alone: what a node must conclude from what
//! it has read.

use std::collections::BTreeSet;

use uo2cb_core::heartbeat::Edge;
use uo2cb_core::heartbeat::disk::{Block, Found};

use super::{PERIOD, SEC, Us};

/// What a node remembers of a slot in one region.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot {
    /// Seq and generation of the last sample.
    pub last: (u64, u64),
    equal: u32,
    changed: u32,
    /// Live in this region?
    pub live: bool,
    /// When a sample last found another seq.
    pub changed_at: Us,
    /// Since then a read returned an old copy.
    pub stale: bool,
    /// It has been live in this region with its present generation.
    pub was_live: bool,
}

/// What a sample says about a node in a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing new.
    Same,
    /// It joins.
    Joined,
    /// It leaves: no change for the dead threshold.
    Silent,
    /// It leaves: another generation.
    Other,
}

impl Slot {
    /// Judges one sample. `counts`: an unchanged one counts as equal, because it is a period after the one before.
    pub fn judge(&mut self, found: &Found, dead_threshold: u32, counts: bool, now: Us) -> Verdict {
        let Block { seq, generation, .. } = found.block;
        if !counts && (!found.good || (seq, generation) == self.last) {
            return Verdict::Same;
        }
        let mut other = false;
        if found.good {
            if seq != self.last.0 {
                self.changed += 1;
                self.changed_at = now;
                self.stale = false;
            } else {
                self.equal += 1;
            }
            if generation != self.last.1 {
                self.equal = 0;
                other = true;
            }
            self.last = (seq, generation);
        } else if self.live {
            self.equal += 1;
        } else {
            return Verdict::Same;
        }
        if !self.live {
            if self.changed < 2 {
                return Verdict::Same;
            }
            (self.live, self.equal) = (true, 0);
            return Verdict::Joined;
        }
        if other {
            self.live = false;
            return Verdict::Other;
        }
        if self.equal >= dead_threshold {
            (self.live, self.changed) = (false, 0);
            return Verdict::Silent;
        }
        if self.changed > 0 {
            (self.changed, self.equal) = (0, 0);
        }
        Verdict::Same
    }
}

/// A write of a beat.
#[derive(Clone, Copy, Debug)]
pub struct BeatWrite {
    /// When it was handed to the disk.
    pub issued: Us,
    /// Observers will see it: all of it reaches the disk, and its seq differs from the one before.
    pub visible: bool,
}

/// A region that heartbeats on a node: what follows from the disk, without asking the engine.
#[derive(Debug)]
pub struct ActiveRegion {
    /// The generation of this start.
    pub generation: u64,
    /// One for each slot.
    pub slots: Vec<Slot>,
    /// The baseline has been read.
    pub baseline: bool,
    /// Good beats without a change that the start takes.
    pub needs: u32,
    /// How many beats have begun.
    pub beats: u32,
    /// When the last one ended, or the baseline was read.
    pub ended: Us,
    /// When the present beat began.
    pub began: Us,
    /// When the last beat began whose unchanged samples counted.
    counted: Option<Us>,
    /// The write in flight.
    pub write: Option<BeatWrite>,
    /// Whether its beat found the own slot as written, and whether a node joined or left.
    pub beat: (bool, bool),
    /// Good beats so far in which no node joined or left: those that count towards steady.
    pub steady_beats: u32,
    /// The write of the last good beat.
    pub last_good: Option<BeatWrite>,
    /// The write to `dev` has returned.
    pub steady: bool,
    /// When its write timeout ends.
    pub deadline: Option<Us>,
    /// When its first good beat ended, or the first one after a write timeout or after a write that no observer saw.
    pub recovered: Us,
    /// When the last three beats began that read the slots, oldest first.
    pub samples: [Us; 3],
    /// Global heartbeat: a quorum region whose write timeout has ended.
    pub failed: bool,
    /// When a write that has not returned is one that hangs: half of the time that was left.
    pub half: Us,
    /// The last beat failed at reading or writing: nothing hangs.
    pub failing: bool,
    /// Nodes that have asked for time since it was last given, or since the last good beat.
    pub asked: BTreeSet<u8>,
    /// This node is master, and looks once a second.
    pub looks_again: bool,
    /// Time was given since the last good beat.
    pub extended: bool,
}

impl ActiveRegion {
    /// At the start of a region.
    pub fn new(generation: u64, blocks: u32) -> Self {
        Self {
            generation,
            slots: vec![Slot::default(); blocks as usize],
            baseline: false,
            needs: 0,
            beats: 0,
            ended: 0,
            began: 0,
            counted: None,
            write: None,
            beat: (false, false),
            steady_beats: 0,
            last_good: None,
            steady: false,
            deadline: None,
            recovered: 0,
            samples: [0; 3],
            failed: false,
            half: 0,
            failing: false,
            asked: BTreeSet::new(),
            looks_again: false,
            extended: false,
        }
    }

    /// The write timeout begins anew at `from`, with a good write or because time was given.
    pub fn arm(&mut self, from: Us, timeout: Us, now: Us) {
        let deadline = from + timeout;
        self.deadline = Some(deadline);
        self.half = (now + deadline.saturating_sub(now).div_ceil(2)).max(from + 3 * SEC);
        self.asked.clear();
        (self.looks_again, self.extended) = (false, false);
    }

    /// Time was given.
    pub fn extend(&mut self, timeout: Us, now: Us) {
        self.arm(now, timeout, now);
        (self.failed, self.extended) = (false, true);
    }

    /// Whether unchanged samples of the present beat count.
    pub fn counts(&mut self) -> bool {
        let counts = self.counted.is_none_or(|last| self.began >= last + PERIOD);
        if counts {
            self.counted = Some(self.began);
        }
        counts
    }

    /// Is the own slot as it was written last? No if nothing was written or read yet.
    pub fn own_slot_good(&self, own: u8, found: &Found) -> bool {
        let last = self.slots.get(usize::from(own)).map(|slot| slot.last).unwrap_or_default();
        last.0 != 0 && found.block.node == own && (found.block.seq, found.block.generation) == last
    }
}

/// A node's live map: in how many regions each node is live. An edge is the first region that sees it, or the last.
#[derive(Debug, Default)]
pub struct LiveMap {
    regions: std::collections::BTreeMap<u8, u32>,
}

impl LiveMap {
    /// `num` joined a region.
    pub fn join(&mut self, num: u8) -> Option<(Edge, u8)> {
        let count = self.regions.entry(num).or_default();
        *count += 1;
        (*count == 1).then_some((Edge::Up, num))
    }

    /// `num` left a region.
    pub fn leave(&mut self, num: u8) -> Option<(Edge, u8)> {
        let count = self.regions.get_mut(&num)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.regions.remove(&num);
        Some((Edge::Down, num))
    }

    /// All live nodes.
    pub fn all(&self) -> impl Iterator<Item = u8> + '_ {
        self.regions.keys().copied()
    }
}
