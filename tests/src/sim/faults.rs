//! The plan of a run: a cluster, and its faults as plain data.

use super::{MS, SEC, Us};
use crate::rng::Rng;

/// All that a run follows from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Seed of latencies, generations and all else that is random.
    pub seed: u64,
    /// How many nodes; they are numbered from 0.
    pub nodes: u8,
    /// How many regions, each on a disk of its own.
    pub regions: u8,
    /// Global or local heartbeat.
    pub global: bool,
    /// Userspace decides who is there: no disk, no quorum.
    pub user: bool,
    /// Of the whole cluster.
    pub dead_threshold: u32,
    /// All nodes start within this time.
    pub start_spread: Us,
    /// Milliseconds that a connection may be silent, until it is asked whether it is there, and between two attempts.
    pub times: [u32; 3],
    /// Bytes that a system keeps for a peer that does not take them.
    pub buffer: usize,
    /// A fence ends the process only; else the machine restarts.
    pub exits: bool,
    /// How long the run takes.
    pub length: Us,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// One fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A node is gone at once, as by a loss of power, and boots again later.
    Crash {
        /// Which node.
        node: u8,
        /// When.
        at: Us,
        /// When it boots again.
        restart_at: Us,
    },
    /// A node shuts down in order, and boots again later.
    Shutdown {
        /// Which node.
        node: u8,
        /// When.
        at: Us,
        /// When it boots again.
        restart_at: Us,
    },
    /// A node's process is stopped for a while, as by SIGSTOP. Its clocks and the requests in flight go on.
    Pause {
        /// Which node.
        node: u8,
        /// Start of the fault.
        at: Us,
        /// End of the fault.
        end: Us,
    },
    /// Every input and timer reaches a node's engine late.
    Slow {
        /// Which node.
        node: u8,
        /// Start of the fault.
        at: Us,
        /// End of the fault.
        end: Us,
        /// How late.
        delay: Us,
    },
    /// A node's wall clock jumps.
    ClockJump {
        /// Which node.
        node: u8,
        /// When.
        at: Us,
        /// How far, in seconds; backwards if negative.
        seconds: i64,
    },
    /// A node's wall clock is wrong for a while, and right again after it.
    Clock {
        /// Which node.
        node: u8,
        /// From.
        at: Us,
        /// Until.
        end: Us,
        /// How.
        kind: ClockFault,
    },
    /// A disk fails for one node, or for all.
    Disk {
        /// Which disk.
        disk: u8,
        /// For which node; all if none.
        node: Option<u8>,
        /// Start of the fault.
        at: Us,
        /// End of the fault.
        end: Us,
        /// How it fails.
        kind: DiskFault,
    },
    /// A region is removed on a node, then made and started again.
    Recreate {
        /// Which node.
        node: u8,
        /// Which region.
        region: u8,
        /// When it is removed.
        at: Us,
        /// How long after the removal it is made again.
        wait: Us,
    },
    /// What a node sends to another one is lost.
    Cut {
        /// Who sends.
        from: u8,
        /// To whom.
        to: u8,
        /// Start of the fault.
        at: Us,
        /// End of the fault.
        end: Us,
    },
    /// Nothing passes between a group of nodes and the others. Several at a time make more groups.
    Partition {
        /// The group, a bit for each node.
        group: u32,
        /// Start of the fault.
        at: Us,
        /// End of the fault.
        end: Us,
    },
    /// What a node sends to another one takes longer.
    Delay {
        /// Who sends.
        from: u8,
        /// To whom.
        to: u8,
        /// Start of the fault.
        at: Us,
        /// End of the fault.
        end: Us,
        /// By how much.
        delay: Us,
    },
    /// The connection between two nodes is reset in the middle of its next message.
    Break {
        /// One node.
        a: u8,
        /// The other.
        b: u8,
        /// From when on.
        at: Us,
    },
    /// Attempts to connect to a node fail.
    Filtered {
        /// To which node.
        node: u8,
        /// Start of the fault.
        at: Us,
        /// End of the fault.
        end: Us,
        /// How.
        filter: Filter,
    },
    /// Userspace on a node says that another one is gone, and later that it is there again.
    Leave {
        /// Where.
        node: u8,
        /// Who.
        other: u8,
        /// From when on.
        at: Us,
        /// Until when.
        end: Us,
    },
    /// A node is configured wrongly at every boot.
    Config {
        /// Which node.
        node: u8,
        /// What is wrong.
        wrong: Misconfiguration,
    },
}

/// How attempts to connect fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filter {
    /// Nothing answers.
    Drop,
    /// They are refused.
    Refuse,
    /// They cannot even be tried.
    NoRoute,
}

/// How a wall clock fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockFault {
    /// It stands still.
    Stopped,
    /// It goes back to where it was at the beginning, again and again after this time.
    Repeats(Us),
    /// It says this, in seconds since 1970.
    Reads(u64),
}

/// How a disk fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskFault {
    /// Requests fail and do nothing.
    Error,
    /// Writes are done, but fail.
    ErrorDone,
    /// Requests are done and completed only after the end of the fault.
    Hang,
    /// Requests are done at once, but completed only after the end of the fault.
    HangDone,
    /// Writes succeed, but do nothing.
    LostWrite,
    /// Writes succeed, but only their first bytes are done.
    TornWrite,
    /// Reads return what the slots held at the start of the fault.
    StaleRead,
    /// Every request takes this much longer.
    Slow(Us),
}

/// What is wrong in a node's configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misconfiguration {
    /// Another dead threshold than the cluster's.
    DeadThreshold(u32),
    /// The number of another node as its own.
    Number(u8),
    /// Another number of slots in each region.
    Blocks(u32),
    /// Another idle timeout than the cluster's, in milliseconds.
    IdleTimeout(u32),
    /// An address that no node has, for this other node.
    Address(u8),
}

/// No fault starts earlier.
pub const FIRST_FAULT: Us = 30 * SEC;
/// This long before the end all faults are over, so that the cluster can recover.
pub const RECOVERY: Us = 170 * SEC;
/// Nodes of the largest clusters that seeds make.
pub const NODES: u8 = 16;

impl Plan {
    /// The plan that follows from a seed: ten minutes of 2 to [`NODES`] nodes.
    pub fn from_seed(seed: u64) -> Self {
        Self::with_limit(seed, NODES)
    }

    /// The same with fewer nodes at most, at least two: virtual time passes much faster.
    pub fn with_limit(seed: u64, limit: u8) -> Self {
        let mut rng = Rng::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let nodes = if rng.chance(60) { 2 + rng.below(4) } else { 2 + rng.below(15) } as u8;
        let nodes = 2 + (nodes - 2) % (limit - 1);
        let mut plan = Self {
            seed,
            nodes,
            regions: 1 + rng.below(4) as u8,
            global: rng.chance(50),
            user: false,
            dead_threshold: 3 + rng.below(10) as u32,
            start_spread: 20 * SEC,
            times: [[5000, 1000, 1000], [10_000, 2000, 2000], [30_000, 2000, 2000]][rng.below(3) as usize],
            buffer: if rng.chance(10) { 150 } else { 65_536 },
            exits: rng.chance(50),
            length: 600 * SEC,
            faults: Vec::new(),
        };
        // Every eighth plan has no faults.
        if seed % 8 == 7 {
            // While nodes keep joining, no beat is without changes, and the start of a region may fail.
            plan.start_spread = 2 * SEC;
        } else if seed % 8 == 3 {
            plan.one_cut(&mut rng);
        } else if seed % 8 == 5 {
            plan.decided_by_users(&mut rng);
        } else {
            let count = 1 + rng.below(10);
            // Few kinds in one plan, so that faults of one kind overlap.
            let kinds: Vec<u64> = (0..3).map(|_| rng.below(40)).collect();
            for _ in 0..count {
                let kind = kinds[rng.below(3) as usize];
                if kind < 27 {
                    plan.faults.push(plan.fault(&mut rng, kind));
                } else {
                    plan.network(&mut rng, kind);
                }
            }
        }
        plan
    }

    pub(super) fn fault(&self, rng: &mut Rng, kind: u64) -> Fault {
        let node = rng.below(self.nodes.into()) as u8;
        let region = rng.below(self.regions.into()) as u8;
        let at = FIRST_FAULT + rng.below(self.length - RECOVERY - FIRST_FAULT);
        let dead = Us::from(self.dead_threshold) * 2 * SEC;
        let longest = (self.length - RECOVERY - at).max(1);
        // Mostly close to the dead time, where the length matters.
        let length = if rng.chance(60) {
            dead.saturating_sub(6 * SEC) + rng.below(12 * SEC)
        } else {
            10 * MS + rng.below(60 * SEC)
        };
        let end = at + length.min(longest);
        let down = if rng.chance(50) { 5 * SEC } else { 60 * SEC };
        let restart_at = at + 100 * MS + rng.below(down);
        let affected = rng.chance(70).then_some(node);
        let disk = |kind| Fault::Disk { disk: region, node: affected, at, end, kind };
        match kind {
            0..=2 => Fault::Crash { node, at, restart_at },
            3 => Fault::Shutdown { node, at, restart_at },
            4..=6 => Fault::Pause { node, at, end },
            7 => Fault::Slow { node, at, end, delay: MS + rng.below(3 * SEC) },
            8 => {
                let far = if rng.chance(60) { 21 } else { [200_000, 2_000_000_000][rng.below(2) as usize] };
                let far = rng.below(far) as i64;
                Fault::ClockJump { node, at, seconds: if rng.chance(50) { far } else { -far } }
            }
            9..=10 => disk(DiskFault::Error),
            11 => disk(DiskFault::ErrorDone),
            12..=13 => disk(DiskFault::Hang),
            14..=15 => disk(DiskFault::HangDone),
            16 => disk(DiskFault::LostWrite),
            17 => disk(DiskFault::TornWrite),
            18 => disk(DiskFault::StaleRead),
            19..=20 => disk(DiskFault::Slow(MS + rng.below(4 * SEC))),
            24 => Fault::Clock { node, at, end, kind: ClockFault::Stopped },
            25 => Fault::Clock { node, at, end, kind: ClockFault::Repeats(SEC + rng.below(10 * SEC)) },
            26 => {
                let reads = [0, 1, rng.below(1 << 31), 1 << 34, u64::MAX][rng.below(5) as usize];
                Fault::Clock { node, at, end, kind: ClockFault::Reads(reads) }
            }
            21..=22 => Fault::Recreate { node, region, at, wait: 10 * MS + rng.below(20 * SEC) },
            _ => {
                let wrong = match rng.below(5) {
                    3 => Misconfiguration::IdleTimeout(self.times[0] + 1),
                    4 => Misconfiguration::Address(rng.below(self.nodes.into()) as u8),
                    0 => Misconfiguration::DeadThreshold(3 + rng.below(10) as u32),
                    1 => Misconfiguration::Number(rng.below(self.nodes.into()) as u8),
                    _ => Misconfiguration::Blocks(1 + rng.below(self.nodes.into()) as u32),
                };
                Fault::Config { node, wrong }
            }
        }
    }
}
