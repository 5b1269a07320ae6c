//! Judging slots as the specification says it, a second time and by other hands: what a node must conclude from what
//! the world let it read.

use uo2cb_core::heartbeat::Edge;
use uo2cb_core::heartbeat::disk::{Block, Found};

use super::{PERIOD, Us};

/// What a node has to remember of a slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct RefSlot {
    /// Seq and generation of the last sample.
    pub last: (u64, u64),
    equal: u32,
    changed: u32,
    /// Live in this region?
    pub live: bool,
    /// When its seq last changed, as seen from here.
    pub changed_at: Us,
    /// A read gave an old copy since then.
    pub stale: bool,
    /// It has been live here with its present generation.
    pub seen: bool,
}

/// What a sample means for the region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sample {
    /// Nothing.
    Same,
    /// It joins.
    Joined,
    /// It leaves: no change for the dead threshold.
    Silent,
    /// It leaves: another generation.
    Other,
}

impl RefSlot {
    /// `counts`: an unchanged sample is one of silence, as it is not too close to the one before.
    pub fn judge(&mut self, found: &Found, dead_threshold: u32, counts: bool, now: Us) -> Sample {
        let Block { seq, generation, .. } = found.block;
        if !counts && (!found.good || (seq, generation) == self.last) {
            return Sample::Same;
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
            return Sample::Same;
        }
        if !self.live {
            if self.changed < 2 {
                return Sample::Same;
            }
            (self.live, self.equal) = (true, 0);
            return Sample::Joined;
        }
        if other {
            self.live = false;
            return Sample::Other;
        }
        if self.equal >= dead_threshold {
            (self.live, self.changed) = (false, 0);
            return Sample::Silent;
        }
        if self.changed > 0 {
            (self.changed, self.equal) = (0, 0);
        }
        Sample::Same
    }
}

/// A write that was said to be done, and what it was worth.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// When it was wanted.
    pub issued: Us,
    /// It really came to be on the disk, and differed from what was there.
    pub honest: bool,
}

/// A region that beats, as the world sees it.
#[derive(Debug)]
pub struct Run {
    /// Of this start.
    pub generation: u64,
    /// One for each slot.
    pub slots: Vec<RefSlot>,
    /// The slots have been read once.
    pub baseline: bool,
    /// When the beat in hand began.
    pub began: Us,
    /// When the last beat began whose unchanged samples count.
    counted: Option<Us>,
    /// The write in hand.
    pub claim: Option<Claim>,
    /// Whether its beat found the own slot good and nobody's coming or going.
    pub beat: (bool, bool),
    /// Beats so far that were good and quiet.
    pub quiet: u32,
    /// The last write that made a beat good.
    pub good: Option<Claim>,
    /// The write to `dev` was accepted.
    pub steady: bool,
    /// When it must be given up.
    pub deadline: Option<Us>,
    /// When it was good for the first time, or again after its time had run out or the disk had lied.
    pub recovered: Us,
    /// When the last beats began that read the slots.
    pub samples: [Us; 3],
    /// Global heartbeat: a quorum region whose time ran out.
    pub failed: bool,
}

impl Run {
    /// A start.
    pub fn new(generation: u64, blocks: u32) -> Self {
        Self {
            generation,
            slots: vec![RefSlot::default(); blocks as usize],
            baseline: false,
            began: 0,
            counted: None,
            claim: None,
            beat: (false, false),
            quiet: 0,
            good: None,
            steady: false,
            deadline: None,
            recovered: 0,
            samples: [0; 3],
            failed: false,
        }
    }

    /// Whether unchanged samples of the beat in hand count as silence.
    pub fn counts(&mut self) -> bool {
        let counts = self.counted.is_none_or(|last| self.began >= last + PERIOD);
        if counts {
            self.counted = Some(self.began);
        }
        counts
    }

    /// Is the own slot as it was written? Not if nothing was known of it.
    pub fn own_good(&self, own: u8, found: &Found) -> bool {
        let last = self.slots.get(usize::from(own)).map(|slot| slot.last).unwrap_or_default();
        last.0 != 0 && found.block.node == own && (found.block.seq, found.block.generation) == last
    }
}

/// Who is live in how many regions of a node, and what its consumers must hear of it.
#[derive(Debug, Default)]
pub struct Members {
    regions: std::collections::BTreeMap<u8, u32>,
}

impl Members {
    /// One region more sees `num`.
    pub fn join(&mut self, num: u8) -> Option<(Edge, u8)> {
        let count = self.regions.entry(num).or_default();
        *count += 1;
        (*count == 1).then_some((Edge::Up, num))
    }

    /// One region less sees it.
    pub fn leave(&mut self, num: u8) -> Option<(Edge, u8)> {
        let count = self.regions.get_mut(&num)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.regions.remove(&num);
        Some((Edge::Down, num))
    }

    /// All who are live.
    pub fn all(&self) -> impl Iterator<Item = u8> + '_ {
        self.regions.keys().copied()
    }
}
