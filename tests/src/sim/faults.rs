//! What a run consists of: a cluster, and faults as plain data.

use super::{MS, SEC, Us};
use crate::rng::Rng;

/// A run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// For latencies, generations and the like.
    pub seed: u64,
    /// How many nodes; their numbers are 0 and so on.
    pub nodes: u8,
    /// How many regions, each on a disk of its own.
    pub regions: u8,
    /// Global or local heartbeat.
    pub global: bool,
    /// Of the whole cluster.
    pub dead_threshold: u32,
    /// Within which time all nodes start.
    pub spread: Us,
    /// How long it runs.
    pub length: Us,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// Something that goes wrong once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A node is gone at once, and starts anew later.
    Crash {
        /// Which.
        node: u8,
        /// When.
        at: Us,
        /// When it starts again.
        back: Us,
    },
    /// A node ends in order, and starts anew later.
    Shutdown {
        /// Which.
        node: u8,
        /// When.
        at: Us,
        /// When it starts again.
        back: Us,
    },
    /// A node does not run for a while, as by SIGSTOP; its disks do, and its clocks.
    Pause {
        /// Which.
        node: u8,
        /// From.
        at: Us,
        /// Until.
        end: Us,
    },
    /// Everything reaches a node late.
    Slow {
        /// Which.
        node: u8,
        /// From.
        at: Us,
        /// Until.
        end: Us,
        /// How late.
        by: Us,
    },
    /// A node's wall clock jumps.
    Jump {
        /// Which.
        node: u8,
        /// When.
        at: Us,
        /// How far, in seconds.
        by: i64,
    },
    /// A disk misbehaves towards one node, or all.
    Disk {
        /// Which.
        disk: u8,
        /// Towards whom; none: everybody.
        node: Option<u8>,
        /// From.
        at: Us,
        /// Until.
        end: Us,
        /// How.
        how: Bad,
    },
    /// A region is removed on a node, and made and started again.
    Remake {
        /// Which node.
        node: u8,
        /// Which region.
        region: u8,
        /// When.
        at: Us,
        /// How long after the removal.
        wait: Us,
    },
    /// A node is configured wrongly from the beginning.
    Config {
        /// Which node.
        node: u8,
        /// In what.
        wrong: Wrong,
    },
}

/// How a disk misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// Nothing is done, and that is said.
    Error,
    /// Writes are done, but said to have failed.
    ErrorDone,
    /// Nothing is done, nor said, before the end.
    Hang,
    /// All is done at once, but nothing is said before the end.
    HangDone,
    /// Writes are said to be done, and are not.
    LostWrite,
    /// Of writes only the first bytes are done.
    TornWrite,
    /// Reads give what was there at the beginning of the fault.
    StaleRead,
    /// Every request takes this long.
    Slow(Us),
}

/// What is wrong in a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// Another dead threshold than the cluster's.
    DeadThreshold(u32),
    /// It thinks that it is another node.
    Number(u8),
    /// So many slots in each region.
    Blocks(u32),
}

/// Faults begin after this.
const FIRST: Us = 30 * SEC;
/// So long before the end all is well again.
const CALM: Us = 170 * SEC;

impl Plan {
    /// The plan that belongs to a seed: ten minutes of 2 to 16 nodes.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let nodes = if rng.chance(60) { 2 + rng.below(4) } else { 2 + rng.below(15) } as u8;
        let mut plan = Self {
            seed,
            nodes,
            regions: 1 + rng.below(4) as u8,
            global: rng.chance(50),
            dead_threshold: 3 + rng.below(10) as u32,
            spread: 20 * SEC,
            length: 600 * SEC,
            faults: Vec::new(),
        };
        // Every eighth cluster is left in peace.
        if seed % 8 == 7 {
            // Whoever starts while others keep coming may find no quiet beats, and fail.
            plan.spread = 2 * SEC;
        } else {
            let count = 1 + rng.below(10);
            // A few kinds at a time, so that they meet each other.
            let kinds: Vec<u64> = (0..3).map(|_| rng.below(24)).collect();
            for _ in 0..count {
                let kind = kinds[rng.below(3) as usize];
                plan.faults.push(plan.fault(&mut rng, kind));
            }
        }
        plan
    }

    fn fault(&self, rng: &mut Rng, kind: u64) -> Fault {
        let node = rng.below(self.nodes.into()) as u8;
        let region = rng.below(self.regions.into()) as u8;
        let at = FIRST + rng.below(self.length - CALM - FIRST);
        let dead = Us::from(self.dead_threshold) * 2 * SEC;
        let longest = (self.length - CALM - at).max(1);
        // Around the time until death, where it matters, or anything.
        let length = if rng.chance(60) {
            dead.saturating_sub(6 * SEC) + rng.below(12 * SEC)
        } else {
            10 * MS + rng.below(60 * SEC)
        };
        let end = at + length.min(longest);
        let away = if rng.chance(50) { 5 * SEC } else { 60 * SEC };
        let back = at + 100 * MS + rng.below(away);
        let who = rng.chance(70).then_some(node);
        let disk = |how| Fault::Disk { disk: region, node: who, at, end, how };
        match kind {
            0..=2 => Fault::Crash { node, at, back },
            3 => Fault::Shutdown { node, at, back },
            4..=6 => Fault::Pause { node, at, end },
            7 => Fault::Slow { node, at, end, by: MS + rng.below(3 * SEC) },
            8 => {
                let far = if rng.chance(60) { rng.below(21) as i64 } else { rng.below(200_000) as i64 };
                Fault::Jump { node, at, by: if rng.chance(50) { far } else { -far } }
            }
            9..=10 => disk(Bad::Error),
            11 => disk(Bad::ErrorDone),
            12..=13 => disk(Bad::Hang),
            14..=15 => disk(Bad::HangDone),
            16 => disk(Bad::LostWrite),
            17 => disk(Bad::TornWrite),
            18 => disk(Bad::StaleRead),
            19..=20 => disk(Bad::Slow(MS + rng.below(4 * SEC))),
            21..=22 => Fault::Remake { node, region, at, wait: 10 * MS + rng.below(20 * SEC) },
            _ => {
                let wrong = match rng.below(3) {
                    0 => Wrong::DeadThreshold(3 + rng.below(10) as u32),
                    1 => Wrong::Number(rng.below(self.nodes.into()) as u8),
                    _ => Wrong::Blocks(1 + rng.below(self.nodes.into()) as u32),
                };
                Fault::Config { node, wrong }
            }
        }
    }
}
