//! What the beats of a region have found beside who is live: for the status, not for any decision.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::block::Block;
use super::slot::Own;
use crate::error::Errno;
use crate::ids::{NodeNum, NodeSet};

/// Who has written within this many beats, or twice as many, still writes.
const RECENT: u32 = 4;

/// What beats have found that an administrator should know.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// When (wall clock since 1970) the own slot was last not as this node had written it, and how.
    pub own_slot: Option<OwnSlot>,
    /// When (wall clock since 1970) a beat last failed at reading or writing, and how.
    pub failed: Option<(Duration, Errno)>,
    /// Live nodes with another dead threshold, in milliseconds.
    pub dead_ms: Vec<(NodeNum, u32)>,
    /// Nodes that write in slots that are read, but are neither configured nor live.
    pub strangers: NodeSet,
}

/// The own slot was not as it had been written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnSlot {
    /// The last time, wall clock since 1970.
    pub at: Duration,
    /// In what it differed.
    pub own: Own,
    /// What was there.
    pub found: Block,
    /// How many beats of this start found something of the kind.
    pub beats: u32,
}

/// See [`Findings`].
#[derive(Debug)]
pub(super) struct Noticed {
    own_slot: Option<OwnSlot>,
    failed: Option<(Duration, Errno)>,
    /// Of nodes that joined with another one.
    dead_ms: BTreeMap<NodeNum, u32>,
    strangers: Strangers,
}

/// Slots that nobody judges, because no configured or live node has them.
#[derive(Debug)]
struct Strangers {
    /// The seq that was last seen in a slot that has changed.
    seqs: Vec<u64>,
    /// Who wrote since `beats` was 0, and in the time before.
    recent: [NodeSet; 2],
    beats: u32,
}

impl Noticed {
    /// With memory for all it may find: nothing is allocated for a slot in a beat.
    pub(super) fn new(blocks: usize) -> Self {
        let strangers = Strangers { seqs: alloc::vec![0; blocks], recent: [NodeSet::EMPTY; 2], beats: 0 };
        Self { own_slot: None, failed: None, dead_ms: BTreeMap::new(), strangers }
    }

    pub(super) fn own_slot(&mut self, at: Duration, own: Own, found: Block) {
        let beats = self.own_slot.map_or(0, |before| before.beats).saturating_add(1);
        self.own_slot = Some(OwnSlot { at, own, found, beats });
    }

    pub(super) fn failed(&mut self, at: Duration, errno: Errno) {
        self.failed = Some((at, errno));
    }

    /// A node has joined. `other`: its dead threshold, if that is not ours.
    pub(super) fn joined(&mut self, num: NodeNum, other: Option<u32>) {
        match other {
            Some(theirs) => self.dead_ms.insert(num, theirs),
            None => self.dead_ms.remove(&num),
        };
    }

    /// A slot of nobody has changed since it was last judged.
    pub(super) fn stranger(&mut self, num: NodeNum, slot: &[u8]) {
        let Some(seen) = self.strangers.seqs.get_mut(usize::from(num.get())) else { return };
        match Block::fields(slot) {
            Some((block, _)) if block.seq != *seen && block.generation != 0 => {
                // A checksum is only looked at where there is something new.
                if Block::decode(slot).good {
                    *seen = block.seq;
                    self.strangers.recent[0].insert(num);
                }
            }
            Some(_) | None => {}
        }
    }

    /// All slots of a beat have been looked at.
    pub(super) fn looked(&mut self) {
        self.strangers.beats += 1;
        if self.strangers.beats >= RECENT {
            self.strangers.beats = 0;
            self.strangers.recent = [NodeSet::EMPTY, self.strangers.recent[0]];
        }
    }

    fn strangers(&self) -> NodeSet {
        let [mut nodes, before] = self.strangers.recent;
        nodes.extend(&before);
        nodes
    }

    pub(super) fn findings(&self, live: impl Fn(&NodeNum) -> bool) -> Findings {
        let dead_ms = self.dead_ms.iter().filter(|(num, _)| live(num)).map(|(num, ms)| (*num, *ms));
        Findings {
            own_slot: self.own_slot,
            failed: self.failed,
            dead_ms: dead_ms.collect(),
            strangers: self.strangers(),
        }
    }
}
