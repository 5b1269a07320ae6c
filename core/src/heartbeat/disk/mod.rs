//! The method `disk`: nodes prove that they live by writing a block on a shared disk
//! (`spec/heartbeat.md`, disk method).
//!
//! All steady regions beat at one common tick, each by itself: a beat that waits for its disk holds up nobody else's. A
//! region that starts beats every two seconds from its start on, so that `dev` takes the kernel's time.

mod attributes;
mod block;
mod context;
mod life;
pub(crate) mod note;
mod noticed;
mod region;
pub(crate) mod request;
mod sets;
mod slot;
mod status;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use self::attributes::{GROUP, GroupFile, Mode, REGION, RegionFile};
pub use self::block::{Block, Found, SEQ_LIMIT};
use self::context::{Common, Context, Timer};
pub use self::note::DiskNote;
use self::region::{Phase, Region, Run};
pub use self::request::{DiskInfo, DiskRequest, DiskResult};
pub use self::sets::{RegionSet, RegionSets};
pub use self::slot::{Left, Own, Slot, Verdict};
pub use self::status::{DiskPhase, DiskStatus, Findings, OwnSlot, StoppingStatus};
use super::event::{NodeName, Telling};
use super::method::{self as heartbeat, Method};
use crate::call::Call;
use crate::effect::{Effect, Effects};
use crate::error::Refusal;
use crate::ids::{ItemId, NodeNum, OpId, RequestId};
use crate::message::Action;
use crate::name::Name;
use crate::note::Note;
use crate::number;
use crate::text::line;
use crate::time::Instant;
use crate::tree::{Kind, Stored};

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

/// The end of a region.
#[derive(Debug)]
struct Stopping {
    region: Name,
    device: String,
    /// Who waits for it.
    request: Option<RequestId>,
    slot: u32,
    block: Block,
    /// What is on its way to the disk.
    op: OpId,
    /// Whether that is already the last block.
    last: bool,
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

/// Pins every region for the consumers of global heartbeat, if they are to be pinned.
fn pin_all(regions: &BTreeMap<ItemId, Region>, common: &mut Common, effects: &mut Effects) {
    if common.pins() {
        for id in regions.keys() {
            if !common.pinned.contains(id) {
                common.pinned.push(*id);
                effects.push(Effect::Pin(*id));
            }
        }
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

impl Method for Disk {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn telling(&self) -> Telling {
        Telling::Nodes
    }

    fn group(&self) -> &'static Kind {
        &GROUP
    }

    fn region(&self) -> &'static Kind {
        &REGION
    }

    fn make_region(&mut self, _: heartbeat::Context<'_>, region: ItemId) -> Result<(), Refusal> {
        let num = if self.common.global() { self.free_number().ok_or(Refusal::TooManyRegions)? } else { 0 };
        self.regions.insert(region, Region { num, ..Region::default() });
        Ok(())
    }

    fn drop_region(&mut self, cx: heartbeat::Context<'_>, id: ItemId) {
        let Some(mut region) = self.regions.remove(&id) else { return };
        let request = cx.call.request;
        let mut cx = Context::new(&mut self.common, cx);
        if cx.common.global() {
            let steady = region.run().is_none_or(|run| run.steady());
            let note = if steady { DiskNote::Stopped } else { DiskNote::StartAborted };
            let device = region.device().map(|info| info.name.clone()).unwrap_or_else(|| "(null)".into());
            cx.note(&cx.name_of(id), &device, note);
        }
        if let Some(stopping) = region.stop(id, Some(request), &mut cx) {
            self.stopping.insert(id, stopping);
        } else if let Some(stopping) = self.stopping.get_mut(&id) {
            // Stopped with the local node, and not done yet.
            stopping.request = Some(request);
            cx.effects.push(Effect::Stopping(request));
        }
        cx.common.pinned.retain(|pinned| *pinned != id);
        // One quorum region less may be too few to lose another.
        pin_all(&self.regions, cx.common, cx.effects);
    }

    fn show(&self, region: Option<ItemId>, file: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let Some(region) = region else {
            match GroupFile::at(file)? {
                GroupFile::DeadThreshold => line(out, self.common.dead_threshold),
                GroupFile::Mode => line(out, self.common.mode.word()),
            }
            return Ok(());
        };
        let region = self.regions.get(&region).ok_or(Refusal::Gone)?;
        match RegionFile::at(file)? {
            RegionFile::BlockBytes => line(out, region.block_bytes),
            RegionFile::StartBlock => line(out, region.start_block),
            RegionFile::Blocks => line(out, region.blocks),
            RegionFile::Dev => region.device().into_iter().for_each(|info| line(out, &info.name)),
            RegionFile::Pid => region.run().into_iter().for_each(|run| line(out, run.info.pid)),
        }
        Ok(())
    }

    fn store(
        &mut self,
        cx: heartbeat::Context<'_>,
        region: Option<ItemId>,
        file: usize,
        data: &[u8],
    ) -> Result<Stored, Refusal> {
        let Some(id) = region else {
            return self.store_group(cx, GroupFile::at(file)?, data);
        };
        let file = RegionFile::at(file)?;
        if file == RegionFile::Dev {
            return self.store_dev(cx, id, data);
        }
        let region = self.regions.get_mut(&id).ok_or(Refusal::Gone)?;
        if !matches!(region.phase, Phase::Idle) {
            return Err(Refusal::RegionStarted);
        }
        match file {
            RegionFile::BlockBytes => region.block_bytes = attributes::block_bytes(data)?,
            RegionFile::StartBlock => region.start_block = number::strict(data)?,
            RegionFile::Blocks => region.blocks = attributes::blocks(data)?,
            RegionFile::Dev | RegionFile::Pid => return Err(Refusal::ReadOnly),
        }
        Ok(Stored::Done)
    }

    fn allow_link(
        &mut self,
        _: heartbeat::Context<'_>,
        _: ItemId,
        _: &Name,
        _: Option<NodeNum>,
    ) -> Result<(), Refusal> {
        Err(Refusal::NoLinksHere)
    }

    fn drop_link(&mut self, _: heartbeat::Context<'_>, _: ItemId, _: NodeName) {}

    fn hold(&mut self, cx: heartbeat::Context<'_>, region: ItemId) {
        if !self.common.global() {
            return cx.effects.push(Effect::Pin(region));
        }
        self.common.users += 1;
        pin_all(&self.regions, &mut self.common, cx.effects);
    }

    fn release(&mut self, cx: heartbeat::Context<'_>, region: ItemId) {
        if !self.common.global() {
            return cx.effects.push(Effect::Unpin(region));
        }
        self.common.users = self.common.users.saturating_sub(1);
        if self.common.users == 0 {
            self.common.unpin_all(cx.effects);
        }
    }

    fn cancel(&mut self, cx: heartbeat::Context<'_>, request: RequestId) {
        let mut cx = Context::new(&mut self.common, cx);
        for (id, region) in &mut self.regions {
            let waits = match &region.phase {
                Phase::Opening { request: waiter } => *waiter == Some(request),
                Phase::Populating { request: waiter, .. } => *waiter == request,
                Phase::Running(run) => run.waiter == Some(request),
                Phase::Idle => false,
            };
            if waits {
                return region.give_up(*id, Refusal::StartInterrupted, &mut cx);
            }
        }
    }

    fn stop_all(&mut self, cx: heartbeat::Context<'_>) {
        let mut cx = Context::new(&mut self.common, cx);
        for (id, region) in &mut self.regions {
            if let Some(stopping) = region.stop(*id, None, &mut cx) {
                self.stopping.insert(*id, stopping);
            }
        }
    }

    fn stopping(&self) -> bool {
        !self.stopping.is_empty()
    }

    fn timeout(&mut self, cx: heartbeat::Context<'_>) {
        let mut cx = Context::new(&mut self.common, cx);
        if expire(&mut self.regions, &mut cx) {
            return;
        }
        let now = cx.now.mono;
        if cx.common.timers.expired(Timer::Tick, now) {
            let joined = |region: &Region| region.run().is_some_and(|run| run.next.is_none());
            // From now on, not from when it should have been: two samples are never closer to each other, or who is
            // silent would be declared dead too early.
            let next = self.regions.values().any(joined).then(|| now.after(PERIOD));
            cx.common.timers.set(Timer::Tick, next);
            for (id, region) in self.regions.iter_mut().filter(|(_, region)| joined(region)) {
                region.tick(*id, &mut cx);
            }
        }
        if cx.common.timers.expired(Timer::Phases, now) {
            let due = |run: &Run| run.next.is_some_and(|next| next <= now);
            for (id, region) in &mut self.regions {
                if region.run().is_some_and(due) {
                    region.tick(*id, &mut cx);
                }
            }
            let next = self.regions.values().filter_map(|region| region.run()?.next).min();
            cx.common.timers.set(Timer::Phases, next);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.common.timers.next()
    }

    fn stop_uncleanly(&mut self, effects: &mut Effects) {
        for (id, region) in &mut self.regions {
            if !matches!(core::mem::take(&mut region.phase), Phase::Idle) {
                effects.act(Action::Disk(*id, DiskRequest::Close));
            }
        }
        // Who was about to say goodbye stays silent too.
        self.stopping.clear();
        self.common.timers.stop();
    }
}
