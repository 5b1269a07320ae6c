//! The method `disk`: nodes prove that they live by writing a block on a shared disk
//! (`spec/heartbeat.md`, disk method).
//!
//! All steady regions beat at one common tick, each by itself: a beat that waits for its disk holds up nobody else's. A
//! region that starts beats every two seconds from its start on, so that `dev` takes the kernel's time.

mod attributes;
mod block;
mod context;
mod good;
mod method;
mod negotiation;
pub(crate) mod note;
mod noticed;
mod region;
pub(crate) mod request;
mod run;
mod sets;
mod slot;
mod status;
mod stopping;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use core::time::Duration;

use self::attributes::{GroupFile, Mode};
pub use self::block::{Block, Found, SEQ_LIMIT};
use self::context::{Common, Context, Timer};
pub use self::note::DiskNote;
pub use self::noticed::{Findings, OwnSlot};
use self::region::{Phase, Region};
pub use self::request::{DiskInfo, DiskRequest, DiskResult};
pub use self::sets::{RegionSet, RegionSets};
pub use self::slot::{Left, Own, Slot, Verdict};
pub use self::status::{DiskPhase, DiskStatus, StoppingStatus};
use self::stopping::Stopping;
use super::method as heartbeat;
use crate::call::Call;
use crate::effect::Effect;
use crate::error::Refusal;
use crate::ids::ItemId;
use crate::message::Action;
use crate::name::Name;
use crate::note::Note;
use crate::number;
use crate::time::Instant;
use crate::tree::Stored;

/// Time between two beats (`O2HB_REGION_TIMEOUT_MS`).
pub const PERIOD: Duration = Duration::from_millis(2000);
/// Regions that global heartbeat can number (`O2NM_MAX_REGIONS`).
const GLOBAL_REGIONS: u32 = 32;
/// A dead threshold is above this, else it is ignored (`O2HB_MIN_DEAD_THRESHOLD`).
const DEAD_THRESHOLD_MIN: u32 = 2;

/// Disk heartbeat.
#[derive(Debug, Default)]
pub struct Disk {
    regions: BTreeMap<ItemId, Region>,
    /// Regions that write their last block.
    stopping: BTreeMap<ItemId, Stopping>,
    common: Common,
}

impl Disk {
    /// A request to a region's disk has ended.
    pub(crate) fn done(&mut self, cx: heartbeat::Context<'_>, id: ItemId, result: DiskResult<'_>) {
        let alone = self.regions.len() == 1;
        let mut cx = Context::new(&mut self.common, cx);
        // Late is too late: after a pause of this process nothing may be written before the timeouts are seen.
        if expire(&mut self.regions, &mut cx) {
            return;
        }
        if let Some(stopping) = self.stopping.get_mut(&id) {
            let over = match result {
                DiskResult::Opened(_) => false,
                DiskResult::Read(op, _) | DiskResult::Written(op, _) => stopping.done(id, op, &mut cx),
            };
            if over {
                self.stopping.remove(&id);
            }
            return;
        }
        let Some(region) = self.regions.get_mut(&id) else {
            if let DiskResult::Opened(Ok(_)) = result {
                cx.disk(id, DiskRequest::Close);
            }
            return;
        };
        match result {
            DiskResult::Opened(result) => region.opened(id, result, &mut cx),
            DiskResult::Read(op, result) => region.read(id, op, result, alone, &mut cx),
            DiskResult::Written(op, result) => region.written(id, op, result, &mut cx),
        }
    }

    /// Number of a region in global mode; 0 for all others.
    pub(crate) fn region_num(&self, region: ItemId) -> u32 {
        self.regions.get(&region).map_or(0, |region| region.num)
    }

    /// Sets of regions, for debugfs.
    pub(crate) fn region_sets(&self) -> RegionSets {
        self.common.sets
    }

    /// Time since the last good beat of a region; zero before the first, and of regions that are not this method's.
    pub(crate) fn elapsed(&self, region: ItemId, now: Instant) -> Duration {
        let good = self.regions.get(&region).and_then(|region| region.run()?.last_good);
        good.map(|good| now.since(good)).unwrap_or_default()
    }

    /// Is the region pinned by the rules of global mode? None: only by who holds it.
    pub(crate) fn pinned(&self, region: ItemId) -> Option<bool> {
        self.common.global().then(|| self.common.pinned.contains(&region))
    }

    /// The region whose messages a new one of this name would take.
    pub(crate) fn with_the_key_of(&self, name: &Name) -> Option<ItemId> {
        let num = if self.common.global() { self.free_number()? } else { 0 };
        let key = negotiation::key(num, name);
        self.regions.iter().find_map(|(id, region)| (region.key == key).then_some(*id))
    }

    fn free_number(&self) -> Option<u32> {
        (0..GLOBAL_REGIONS).find(|num| !self.regions.values().any(|region| region.num == *num))
    }

    /// Values that cannot be had are ignored, as by the kernel.
    fn store_group(
        &mut self,
        cx: heartbeat::Context<'_>,
        file: GroupFile,
        data: &[u8],
    ) -> Result<Stored, Refusal> {
        let free = self.regions.is_empty();
        match file {
            GroupFile::DeadThreshold => {
                // The kernel keeps the lower 32 bits.
                let threshold = number::decimal(data)? as u32;
                if threshold <= DEAD_THRESHOLD_MIN {
                    return Ok(Stored::Ignored("dead_threshold is at least 3"));
                }
                if !free {
                    return Ok(Stored::Ignored("dead_threshold can change only while there is no region"));
                }
                self.common.dead_threshold = threshold;
            }
            GroupFile::Mode => {
                let mode = Mode::parse(data)?;
                if !free {
                    return Ok(Stored::Ignored("mode can change only while there is no region"));
                }
                self.common.mode = mode;
                cx.effects.note(Note::DiskMode(mode.word()));
            }
        }
        Ok(Stored::Done)
    }

    fn store_dev(&mut self, cx: heartbeat::Context<'_>, id: ItemId, data: &[u8]) -> Result<Stored, Refusal> {
        let stopping = self.stopping.contains_key(&id);
        let region = self.regions.get_mut(&id).ok_or(Refusal::Gone)?;
        if stopping || !matches!(region.phase, Phase::Idle) {
            return Err(Refusal::RegionStarted);
        }
        let local = cx.nodes.cluster().and_then(|cluster| cluster.local()).ok_or(Refusal::NoLocalNode)?;
        let descriptor = attributes::descriptor(data)?;
        if region.blocks == 0 || region.start_block == 0 || region.block_bytes == 0 {
            return Err(Refusal::RegionIncomplete);
        }
        if local.num.is_none_or(|num| u32::from(num.get()) >= region.blocks) {
            return Err(Refusal::BeyondBlocks);
        }
        region.phase = Phase::Opening { request: Some(cx.call.request) };
        let Call { request, caller, .. } = cx.call;
        let Region { block_bytes, start_block, blocks, .. } = *region;
        let open = DiskRequest::Open { request, caller, descriptor, block_bytes, start_block, blocks };
        cx.effects.act(Action::Disk(id, open));
        Ok(Stored::Later)
    }
}

/// Ends the write timeouts whose time has come. True when one of them is the end of this node.
fn expire(regions: &mut BTreeMap<ItemId, Region>, cx: &mut Context<'_>) -> bool {
    let now = cx.now.mono;
    if !cx.common.timers.expired(Timer::WriteTimeout, now) {
        return false;
    }
    let mut fenced = false;
    for (id, region) in &mut *regions {
        if let Some(reason) = region.expire(*id, cx) {
            cx.effects.push(Effect::Fence(reason));
            fenced = true;
        }
    }
    let next = regions.values().filter_map(|region| region.run()?.deadline).min();
    cx.common.timers.set(Timer::WriteTimeout, next);
    fenced
}
