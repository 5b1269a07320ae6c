//! Requests on their way to a disk, and what faults make of them.

use uo2cb_core::heartbeat::disk::Block;
use uo2cb_core::{ItemId, OpId};

use super::faults::{Bad, Fault};
use super::node::Mail;
use super::world::{Happening, World};
use super::{MS, Us};

/// What a request does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Opens the device; a generation for the region.
    Open(u64),
    /// Reads slots.
    Read {
        /// First slot.
        first: usize,
        /// How many.
        count: usize,
        /// What was in them, once that is decided.
        found: Option<Vec<u8>>,
        /// That is an old copy.
        stale: bool,
    },
    /// Writes a slot.
    Write {
        /// Which slot.
        slot: usize,
        /// What.
        block: Block,
        /// Lost, torn, or done before: what is left to do.
        left: Left,
    },
}

/// How much of a write will be done when it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// So many bytes.
    Part(usize),
    /// All.
    Whole,
}

/// A request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flight {
    /// The node's start that it belongs to.
    pub incarnation: u32,
    /// The directory of the region.
    pub item: ItemId,
    /// Name of the opening that it belongs to.
    pub session: u64,
    /// Which region, and so which disk.
    pub region: usize,
    /// Its name.
    pub op: OpId,
    /// What it does.
    pub deed: Deed,
    /// It is said to have failed.
    pub fails: bool,
}

/// What the faults of a moment do to a request.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
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
    fn weather(&self, n: usize, region: usize) -> Weather {
        let mut weather = Weather::default();
        for (number, fault) in self.plan.faults.iter().enumerate() {
            let Fault::Disk { disk, node, at, end, how } = *fault else { continue };
            let touches = usize::from(disk) == region && node.is_none_or(|node| usize::from(node) == n);
            if !touches || self.now < at || self.now >= end {
                continue;
            }
            match how {
                Bad::Error => weather.error = true,
                Bad::ErrorDone => weather.error_done = true,
                Bad::Hang => weather.hang = weather.hang.max(end),
                Bad::HangDone => weather.hang_done = weather.hang_done.max(end),
                Bad::LostWrite => weather.lost = true,
                Bad::TornWrite => weather.torn = true,
                Bad::StaleRead => weather.stale = Some(number),
                Bad::Slow(by) => weather.slow = weather.slow.max(by),
            }
        }
        weather
    }

    /// Hands a request to its disk. For a write: whether it will be on the disk, and differs from what is there.
    pub fn launch(&mut self, n: usize, mut flight: Flight) -> bool {
        let weather = self.weather(n, flight.region);
        let rng = &mut self.nodes[n].rng;
        let most = if rng.chance(90) { 5 * MS } else { 50 * MS };
        let latency = MS / 10 + rng.below(most) + weather.slow;
        let cut = 1 + rng.below(27) as usize;
        let ready = self.now.max(weather.hang) + latency;
        let ends = ready.max(weather.hang_done + latency);
        flight.fails = weather.error || weather.error_done;
        let mut honest = true;
        let disk = &self.disks[flight.region];
        match &mut flight.deed {
            Deed::Open(_) => {}
            Deed::Read { first, count, found, stale } => {
                if let Some(fault) = weather.stale {
                    *found = Some(disk.read_old(fault, *first, *count).to_vec());
                    *stale = true;
                } else if weather.hang_done > 0 {
                    *found = Some(disk.read(*first, *count).to_vec());
                }
            }
            Deed::Write { slot, block, left } => {
                *left = if weather.error || weather.lost {
                    Left::Nothing
                } else if weather.torn {
                    Left::Part(cut)
                } else {
                    Left::Whole
                };
                honest = *left == Left::Whole && disk.seq(*slot) != block.seq;
                if ready < ends {
                    let early = Flight { deed: flight.deed.clone(), ..flight };
                    if let Deed::Write { left, .. } = &mut flight.deed {
                        *left = Left::Nothing;
                    }
                    self.schedule(ready, n, Happening::Land(early));
                }
            }
        }
        self.schedule(ends, n, Happening::Done(flight));
        honest
    }

    /// The disk does what it was asked to.
    pub fn land(&mut self, flight: &mut Flight) {
        let disk = &mut self.disks[flight.region];
        match &mut flight.deed {
            Deed::Write { slot, block, left } => match *left {
                Left::Nothing => {}
                Left::Part(bytes) => disk.write(*slot, block, Some(bytes)),
                Left::Whole => disk.write(*slot, block, None),
            },
            Deed::Read { first, count, found, .. } if found.is_none() => {
                *found = Some(disk.read(*first, *count).to_vec());
            }
            Deed::Read { .. } | Deed::Open(_) => {}
        }
    }

    /// The disk is done with a request.
    pub fn done(&mut self, n: usize, mut flight: Flight) -> super::invariants::Checked {
        self.land(&mut flight);
        let incarnation = flight.incarnation;
        self.reach(n, incarnation, Mail::Disk(flight))
    }
}
