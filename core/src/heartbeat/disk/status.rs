//! What there is to know about a region and its device.

use alloc::string::String;
use core::time::Duration;

use super::noticed::{Findings, OwnSlot};
use super::region::{Phase, Region};
use super::run::Run;
use super::{Block, Disk, Own, PERIOD};
use crate::ids::{ItemId, NodeNum};
use crate::name::Name;
use crate::time::Instant;

/// How far a region is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskPhase {
    /// It has no device and does not beat. `numbered`: `block_bytes`, `start_block` and `blocks` have been written.
    NoDevice {
        /// A write to `dev` would do.
        numbered: bool,
    },
    /// Its device is being opened; or, given up meanwhile, will be closed as soon as it is open.
    Opening,
    /// All slots are being read once.
    Reading,
    /// It beats, and is not steady yet: the write to `dev` waits.
    Starting,
    /// It is steady; see also [`DiskStatus::silent`].
    Steady,
    /// It writes its last block.
    Stopping,
}

impl DiskPhase {
    /// In one word or two.
    pub fn word(self) -> &'static str {
        match self {
            Self::NoDevice { numbered: false } => "incomplete",
            Self::NoDevice { numbered: true } => "no device",
            Self::Opening => "opening",
            Self::Reading => "reading",
            Self::Starting => "starting",
            Self::Steady => "steady",
            Self::Stopping => "stopping",
        }
    }
}

/// The device of a region.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskStatus {
    /// Its name.
    pub device: String,
    /// Id of the thread that heartbeats.
    pub pid: u32,
    /// Size of a slot.
    pub block_bytes: u32,
    /// Where the region begins, in slots.
    pub start_block: u64,
    /// How many slots it has.
    pub blocks: u32,
    /// Steady? Until then the write to `dev` waits.
    pub steady: bool,
    /// Until it is steady: how many good beats without a node coming or going that still takes.
    pub beats_left: u32,
    /// And after how many beats in all the start is given up.
    pub beats_limit: u32,
    /// Until it is steady: when the next beat begins. None: with the common tick.
    pub next_beat: Option<Instant>,
    /// Whether a beat is going on.
    pub beating: bool,
    /// When the write of the last good beat began; none before the first one. The write timeout counts from there.
    pub last_good: Option<Instant>,
    /// How long after that this node must stop.
    pub write_timeout: Duration,
    /// This node's dead threshold in milliseconds, as its block tells others.
    pub dead_ms: u32,
    /// What went wrong, what others write.
    pub findings: Findings,
}

impl OwnSlot {
    /// What that means.
    pub fn meaning(&self) -> &'static str {
        match self.own {
            _ if self.found == Block::default() => "was emptied",
            Own::OtherNode => "was written by another node",
            Own::Generation => "was written by another start of this node: two daemons use its number",
            Own::Seq | Own::First | Own::Good => "lost a write, or an old one came back",
        }
    }
}

/// A region that writes its last block, whether its directory is still there or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoppingStatus {
    /// Its name.
    pub region: Name,
    /// Its device.
    pub device: String,
}

impl DiskStatus {
    /// Of a steady region: how long its last good beat ago is, if the next one should have come by now. Counted from the
    /// beginning of the write, as the write timeout is.
    pub fn silent(&self, now: Instant) -> Option<Duration> {
        let silent = now.since(self.last_good.filter(|_| self.steady)?);
        (silent > PERIOD * 3 / 2).then_some(silent)
    }

    /// How long the start can still take: at least, if every beat is good, and at most. The disk's own time comes on top.
    pub fn start_takes(&self, now: Instant) -> Option<(Duration, Duration)> {
        let beats = |count: u32| match count.saturating_sub(u32::from(self.beating)) {
            0 => Duration::ZERO,
            count => {
                let next = self.next_beat.map(|next| next.since(now)).unwrap_or_default();
                next.saturating_add(PERIOD.saturating_mul(count - 1))
            }
        };
        (self.beats_left > 0).then(|| (beats(self.beats_left), beats(self.beats_limit)))
    }

    /// Can the start not succeed any more? There are fewer beats left than good ones are wanted.
    pub fn start_is_lost(&self) -> bool {
        self.beats_left > self.beats_limit
    }
}

impl Run {
    fn findings(&self) -> Findings {
        let live = |num: &NodeNum| self.slots.get(usize::from(num.get())).is_some_and(|slot| slot.live());
        self.noticed.findings(live)
    }
}

impl Disk {
    /// How far a region is; none of regions that are not this method's.
    pub(crate) fn phase(&self, id: ItemId) -> Option<DiskPhase> {
        let region = self.regions.get(&id)?;
        Some(match &region.phase {
            _ if self.stopping.contains_key(&id) => DiskPhase::Stopping,
            Phase::Idle => DiskPhase::NoDevice {
                numbered: region.block_bytes > 0 && region.start_block > 0 && region.blocks > 0,
            },
            Phase::Opening { .. } => DiskPhase::Opening,
            Phase::Populating { .. } => DiskPhase::Reading,
            Phase::Running(run) if run.steady() => DiskPhase::Steady,
            Phase::Running(_) => DiskPhase::Starting,
        })
    }

    /// The device of a region, once it is open.
    pub(crate) fn status(&self, id: ItemId) -> Option<DiskStatus> {
        let region = self.regions.get(&id)?;
        let (info, run) = (region.device()?, region.run());
        let starting = run.filter(|run| !run.steady());
        let Region { block_bytes, start_block, blocks, .. } = *region;
        Some(DiskStatus {
            device: info.name.clone(),
            pid: info.pid,
            block_bytes,
            start_block,
            blocks,
            steady: run.is_some_and(Run::steady),
            beats_left: starting.map_or(0, |run| run.steady_left),
            beats_limit: starting.map_or(0, |run| run.unsteady_left),
            next_beat: starting.and_then(|run| run.next),
            beating: run.is_some_and(|run| run.in_flight().is_some()),
            last_good: run.and_then(|run| run.last_good),
            write_timeout: self.common.write_timeout(),
            dead_ms: self.common.dead_ms(),
            findings: run.map(Run::findings).unwrap_or_default(),
        })
    }

    /// `block_bytes`, `start_block` and `blocks` of a region; 0 until they are written.
    pub(crate) fn numbers(&self, id: ItemId) -> Option<(u32, u64, u32)> {
        let region = self.regions.get(&id)?;
        Some((region.block_bytes, region.start_block, region.blocks))
    }

    /// Name of a region's device, once it is open.
    pub(crate) fn device(&self, id: ItemId) -> Option<&str> {
        Some(&self.regions.get(&id)?.device()?.name)
    }

    /// The regions that write their last block.
    pub(crate) fn stopping_regions(&self) -> impl Iterator<Item = StoppingStatus> {
        self.stopping.values().map(|stopping| StoppingStatus {
            region: stopping.region.clone(),
            device: stopping.device.clone(),
        })
    }
}
