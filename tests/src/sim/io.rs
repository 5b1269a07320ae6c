//! Requests in flight to a disk, and what the faults of the moment make of them.

use uo2cb_core::heartbeat::disk::Block;
use uo2cb_core::{ItemId, OpId};

use super::faults::{DiskFault, Fault};
use super::node::NodeEvent;
use super::world::{SimEvent, World};
use super::{MS, Us};

/// What a request does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IoKind {
    /// Opens the device; the generation that the region gets.
    Open(u64),
    /// Reads slots.
    Read {
        /// First slot.
        first: usize,
        /// How many.
        count: usize,
        /// The bytes read, once they are fixed: at completion, or earlier under some faults.
        found: Option<Vec<u8>>,
        /// `found` is an old copy.
        stale: bool,
    },
    /// Writes a slot.
    Write {
        /// Which slot.
        slot: usize,
        /// What.
        block: Block,
        /// How much of it reaches the disk at completion.
        persisted: Persisted,
    },
}

/// How much of a write reaches the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persisted {
    /// Nothing.
    Nothing,
    /// The first bytes, this many.
    Prefix(usize),
    /// All.
    Whole,
}

/// A request in flight.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Io {
    /// The incarnation of the node that made it.
    pub incarnation: u32,
    /// The directory of the region.
    pub item: ItemId,
    /// The opening of the disk that it belongs to.
    pub session: u64,
    /// Which region, and so which disk.
    pub region: usize,
    /// The engine's id of it.
    pub op: OpId,
    /// What it does.
    pub kind: IoKind,
    /// It completes with an error.
    pub fails: bool,
}

/// The disk faults in force for one request.
#[derive(Clone, Copy, Debug, Default)]
struct ActiveFaults {
    error: bool,
    error_done: bool,
    lost: bool,
    torn: bool,
    stale: Option<usize>,
    hang: Us,
    hang_done: Us,
    slow: Us,
}

impl World {
    fn active_faults(&self, n: usize, region: usize) -> ActiveFaults {
        let mut active = ActiveFaults::default();
        for (number, fault) in self.plan.faults.iter().enumerate() {
            let Fault::Disk { disk, node, at, end, kind } = *fault else { continue };
            let touches = usize::from(disk) == region && node.is_none_or(|node| usize::from(node) == n);
            if !touches || self.now < at || self.now >= end {
                continue;
            }
            match kind {
                DiskFault::Error => active.error = true,
                DiskFault::ErrorDone => active.error_done = true,
                DiskFault::Hang => active.hang = active.hang.max(end),
                DiskFault::HangDone => active.hang_done = active.hang_done.max(end),
                DiskFault::LostWrite => active.lost = true,
                DiskFault::TornWrite => active.torn = true,
                DiskFault::StaleRead => active.stale = Some(number),
                DiskFault::Slow(delay) => active.slow = active.slow.max(delay),
            }
        }
        active
    }

    /// Hands a request to its disk. For a write: whether observers will see it, so whether all of it reaches the disk
    /// and its seq differs from the slot's.
    pub fn submit(&mut self, n: usize, mut io: Io) -> bool {
        let active = self.active_faults(n, io.region);
        let rng = &mut self.nodes[n].rng;
        let most = if rng.chance(90) { 5 * MS } else { 50 * MS };
        let latency = MS / 10 + rng.below(most) + active.slow;
        let cut = 1 + rng.below(27) as usize;
        let ready = self.now.max(active.hang) + latency;
        let ends = ready.max(active.hang_done + latency);
        io.fails = active.error || active.error_done;
        let mut visible = true;
        let disk = &self.disks[io.region];
        match &mut io.kind {
            IoKind::Open(_) => {}
            IoKind::Read { first, count, found, stale } => {
                if let Some(fault) = active.stale {
                    *found = Some(disk.read_copy(fault, *first, *count).to_vec());
                    *stale = true;
                } else if active.hang_done > 0 {
                    *found = Some(disk.read(*first, *count).to_vec());
                }
            }
            IoKind::Write { slot, block, persisted } => {
                *persisted = if active.error || active.lost {
                    Persisted::Nothing
                } else if active.torn {
                    Persisted::Prefix(cut)
                } else {
                    Persisted::Whole
                };
                visible = *persisted == Persisted::Whole && disk.seq(*slot) != block.seq;
                if ready < ends {
                    let early = Io { kind: io.kind.clone(), ..io };
                    if let IoKind::Write { persisted, .. } = &mut io.kind {
                        *persisted = Persisted::Nothing;
                    }
                    self.schedule(ready, n, SimEvent::Apply(early));
                }
            }
        }
        self.schedule(ends, n, SimEvent::Complete(io));
        visible
    }

    /// Does the request on the disk.
    pub fn apply(&mut self, io: &mut Io) {
        let disk = &mut self.disks[io.region];
        match &mut io.kind {
            IoKind::Write { slot, block, persisted } => match *persisted {
                Persisted::Nothing => {}
                Persisted::Prefix(bytes) => disk.write(*slot, block, Some(bytes)),
                Persisted::Whole => disk.write(*slot, block, None),
            },
            IoKind::Read { first, count, found, .. } if found.is_none() => {
                *found = Some(disk.read(*first, *count).to_vec());
            }
            IoKind::Read { .. } | IoKind::Open(_) => {}
        }
    }

    /// Completes a request: what is left of it is done, and its node is told.
    pub fn complete(&mut self, n: usize, mut io: Io) -> super::invariants::Checked {
        self.apply(&mut io);
        let incarnation = io.incarnation;
        self.dispatch(n, incarnation, NodeEvent::IoDone(io))
    }
}
