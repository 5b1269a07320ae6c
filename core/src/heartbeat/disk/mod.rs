//! The method `disk`: nodes prove that they live by writing a block on a shared disk
//! (`spec/heartbeat.md`, disk method).
//!
//! All regions beat at one common tick, each by itself: a beat that waits for its disk holds up nobody else's.

mod attributes;
mod block;
mod life;
mod live;
mod note;
mod region;
mod request;
mod shared;
mod slot;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use self::attributes::{GROUP, Mode, REGION};
pub use self::block::{Block, Found};
pub use self::live::{RegionSet, RegionSets};
pub use self::note::DiskNote;
use self::region::{Phase, Region, Run};
pub use self::request::{DiskInfo, DiskRequest, DiskResult};
use self::shared::{Env, Shared};
pub use self::slot::{Left, Own, Slot, Verdict};
use super::event::NodeName;
use super::method::{Method, Surroundings, Want};
use crate::error::Refusal;
use crate::ids::{ItemId, NodeNum, NodeSet, OpId, RequestId};
use crate::name::Name;
use crate::number;
use crate::status::DiskStatus;
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
    shared: Shared,
}

/// The end of a region.
#[derive(Debug)]
struct Stopping {
    /// Who waits for it.
    request: Option<RequestId>,
    slot: u32,
    block: Block,
    /// What is on its way to the disk.
    op: OpId,
    /// Whether that is already the last block.
    last: bool,
}

/// The surroundings of a call as those of a beat.
fn env<'a>(shared: &'a mut Shared, at: Surroundings<'a>) -> Env<'a> {
    Env { shared, layer: at.layer, nodes: at.nodes, wants: at.wants, now: at.now }
}

impl Disk {
    fn free_number(&self) -> Option<u32> {
        (0..GLOBAL_REGIONS).find(|num| !self.regions.values().any(|region| region.num == *num))
    }

    /// Values that cannot be had are ignored, as by the kernel.
    fn store_group(
        &mut self,
        at: Surroundings<'_>,
        attribute: usize,
        data: &[u8],
    ) -> Result<Stored, Refusal> {
        let free = self.regions.is_empty();
        if attribute == 0 {
            // The kernel keeps the lower 32 bits.
            let threshold = number::decimal(data)? as u32;
            if threshold <= DEAD_THRESHOLD_MIN {
                return Ok(Stored::Ignored("dead_threshold is at least 3"));
            }
            if !free {
                return Ok(Stored::Ignored("dead_threshold can change only while there is no region"));
            }
            self.shared.dead_threshold = threshold;
            return Ok(Stored::Done);
        }
        let mode = Mode::parse(data)?;
        if !free {
            return Ok(Stored::Ignored("mode can change only while there is no region"));
        }
        self.shared.mode = mode;
        at.wants.push(Want::ModeSet(mode.word()));
        Ok(Stored::Done)
    }

    fn store_dev(&mut self, at: Surroundings<'_>, id: ItemId, data: &[u8]) -> Result<Stored, Refusal> {
        let stopping = self.stopping.contains_key(&id);
        let region = self.regions.get_mut(&id).ok_or(Refusal::Gone)?;
        if stopping || !matches!(region.phase, Phase::Idle) {
            return Err(Refusal::RegionStarted);
        }
        let local = at.nodes.cluster().and_then(|cluster| cluster.local()).ok_or(Refusal::NoLocalNode)?;
        let descriptor = attributes::descriptor(data)?;
        if region.blocks == 0 || region.start_block == 0 || region.block_bytes == 0 {
            return Err(Refusal::RegionIncomplete);
        }
        if local.num.is_none_or(|num| u32::from(num.get()) >= region.blocks) {
            return Err(Refusal::BeyondBlocks);
        }
        region.phase = Phase::Opening { request: Some(at.request) };
        at.wants.push(Want::Disk(
            id,
            DiskRequest::Open {
                request: at.request,
                caller: at.caller,
                descriptor,
                block_bytes: region.block_bytes,
                start_block: region.start_block,
                blocks: region.blocks,
            },
        ));
        Ok(Stored::Later)
    }
}

/// Pins every region for the consumers of global heartbeat, if they are to be pinned.
fn pin_all(regions: &BTreeMap<ItemId, Region>, shared: &mut Shared, wants: &mut Vec<Want>) {
    if shared.pins() {
        for id in regions.keys() {
            if !shared.pinned.contains(id) {
                shared.pinned.push(*id);
                wants.push(Want::Pin(*id));
            }
        }
    }
}

/// Ends the write timeouts whose time has come. True when one of them is the end of this node.
fn expire(regions: &mut BTreeMap<ItemId, Region>, env: &mut Env<'_>) -> bool {
    let now = env.now.mono;
    if env.shared.alarm.is_none_or(|alarm| now < alarm) {
        return false;
    }
    let mut fenced = false;
    for (id, region) in &mut *regions {
        if let Some(reason) = region.expire(*id, env) {
            env.wants.push(Want::Fence(reason));
            fenced = true;
        }
    }
    env.shared.alarm = regions.values().filter_map(|region| region.run()?.deadline).min();
    fenced
}

impl Method for Disk {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn group(&self) -> &'static Kind {
        &GROUP
    }

    fn region(&self) -> &'static Kind {
        &REGION
    }

    fn make_region(&mut self, _: Surroundings<'_>, region: ItemId) -> Result<(), Refusal> {
        let num = if self.shared.global() { self.free_number().ok_or(Refusal::TooManyRegions)? } else { 0 };
        self.regions.insert(region, Region { num, ..Region::default() });
        Ok(())
    }

    fn drop_region(&mut self, at: Surroundings<'_>, id: ItemId) {
        let Some(mut region) = self.regions.remove(&id) else { return };
        let request = at.request;
        let mut env = env(&mut self.shared, at);
        if env.shared.global() {
            let steady = region.run().is_none_or(|run| run.steady());
            let note = if steady { DiskNote::Stopped } else { DiskNote::StartAborted };
            let device = region.device().map(|info| info.name.clone()).unwrap_or_else(|| "(null)".into());
            env.wants.push(Want::Note { region: env.name_of(id), device, note });
        }
        if let Some(stopping) = region.stop(id, Some(request), &mut env) {
            self.stopping.insert(id, stopping);
        } else if let Some(stopping) = self.stopping.get_mut(&id) {
            // Stopped with the local node, and not done yet.
            stopping.request = Some(request);
            env.wants.push(Want::Stopping(request));
        }
        env.shared.pinned.retain(|pinned| *pinned != id);
        // One quorum region less may be too few to lose another.
        pin_all(&self.regions, env.shared, env.wants);
    }

    fn show(&self, region: Option<ItemId>, attribute: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let Some(region) = region else {
            match attribute {
                0 => line(out, self.shared.dead_threshold),
                _ => line(out, self.shared.mode.word()),
            }
            return Ok(());
        };
        let region = self.regions.get(&region).ok_or(Refusal::Gone)?;
        match attribute {
            0 => line(out, region.block_bytes),
            1 => line(out, region.start_block),
            2 => line(out, region.blocks),
            3 => region.device().into_iter().for_each(|info| line(out, &info.name)),
            _ => region.run().into_iter().for_each(|run| line(out, run.info.pid)),
        }
        Ok(())
    }

    fn store(
        &mut self,
        at: Surroundings<'_>,
        region: Option<ItemId>,
        attribute: usize,
        data: &[u8],
    ) -> Result<Stored, Refusal> {
        let Some(id) = region else { return self.store_group(at, attribute, data) };
        if attribute == 3 {
            return self.store_dev(at, id, data);
        }
        let region = self.regions.get_mut(&id).ok_or(Refusal::Gone)?;
        if !matches!(region.phase, Phase::Idle) {
            return Err(Refusal::RegionStarted);
        }
        match attribute {
            0 => region.block_bytes = attributes::block_bytes(data)?,
            1 => region.start_block = number::strict(data)?,
            2 => region.blocks = attributes::blocks(data)?,
            _ => return Err(Refusal::ReadOnly),
        }
        Ok(Stored::Done)
    }

    fn allow_link(
        &mut self,
        _: Surroundings<'_>,
        _: ItemId,
        _: &Name,
        _: Option<NodeNum>,
    ) -> Result<(), Refusal> {
        Err(Refusal::NoLinksHere)
    }

    fn drop_link(&mut self, _: Surroundings<'_>, _: ItemId, _: NodeName) {}

    fn fill_node_map(&self, region: Option<ItemId>) -> NodeSet {
        match region {
            None => *self.shared.live.set(),
            Some(id) => {
                self.regions.get(&id).and_then(Region::run).map(|run| run.live_nodes()).unwrap_or_default()
            }
        }
    }

    fn up_since(&self, region: ItemId, node: NodeNum) -> Option<Duration> {
        self.regions.get(&region)?.run()?.up_since(node)
    }

    fn region_num(&self, region: ItemId) -> u32 {
        self.regions.get(&region).map_or(0, |region| region.num)
    }

    fn region_sets(&self) -> RegionSets {
        self.shared.sets
    }

    fn disk_status(&self, region: ItemId) -> Option<DiskStatus> {
        let region = self.regions.get(&region)?;
        let (info, run) = (region.device()?, region.run());
        Some(DiskStatus {
            device: info.name.clone(),
            pid: info.pid,
            block_bytes: region.block_bytes,
            start_block: region.start_block,
            blocks: region.blocks,
            steady: run.is_some_and(Run::steady),
        })
    }

    fn elapsed(&self, region: ItemId, now: Instant) -> Duration {
        let good = self.regions.get(&region).and_then(|region| region.run()?.last_good);
        good.map(|good| now.since(good)).unwrap_or_default()
    }

    fn hold(&mut self, at: Surroundings<'_>, region: ItemId) {
        if !self.shared.global() {
            return at.wants.push(Want::Pin(region));
        }
        self.shared.users += 1;
        pin_all(&self.regions, &mut self.shared, at.wants);
    }

    fn release(&mut self, at: Surroundings<'_>, region: ItemId) {
        if !self.shared.global() {
            return at.wants.push(Want::Unpin(region));
        }
        self.shared.users = self.shared.users.saturating_sub(1);
        if self.shared.users == 0 {
            self.shared.unpin_all(at.wants);
        }
    }

    fn disk(&mut self, at: Surroundings<'_>, id: ItemId, result: DiskResult<'_>) {
        let alone = self.regions.len() == 1;
        let mut env = env(&mut self.shared, at);
        // Late is too late: after a pause of this process nothing may be written before the timeouts are seen.
        if expire(&mut self.regions, &mut env) {
            return;
        }
        if let Some(stopping) = self.stopping.get_mut(&id) {
            let over = match result {
                DiskResult::Opened(_) => false,
                DiskResult::Read(op, _) | DiskResult::Written(op, _) => stopping.done(id, op, &mut env),
            };
            if over {
                self.stopping.remove(&id);
            }
            return;
        }
        let Some(region) = self.regions.get_mut(&id) else {
            if let DiskResult::Opened(Ok(_)) = result {
                env.wants.push(Want::Disk(id, DiskRequest::Close));
            }
            return;
        };
        match result {
            DiskResult::Opened(result) => region.opened(id, result, &mut env),
            DiskResult::Read(op, result) => region.read(id, op, result, alone, &mut env),
            DiskResult::Written(op, result) => region.written(id, op, result, &mut env),
        }
    }

    fn cancel(&mut self, at: Surroundings<'_>, request: RequestId) {
        let mut env = env(&mut self.shared, at);
        for (id, region) in &mut self.regions {
            let waits = match &region.phase {
                Phase::Opening { request: waiter } => *waiter == Some(request),
                Phase::Populating { request: waiter, .. } => *waiter == request,
                Phase::Running(run) => run.waiter == Some(request),
                Phase::Idle => false,
            };
            if waits {
                return region.give_up(*id, Refusal::StartInterrupted, &mut env);
            }
        }
    }

    fn stop_all(&mut self, at: Surroundings<'_>) {
        let mut env = env(&mut self.shared, at);
        for (id, region) in &mut self.regions {
            if let Some(stopping) = region.stop(*id, None, &mut env) {
                self.stopping.insert(*id, stopping);
            }
        }
    }

    fn pinned(&self, region: ItemId) -> Option<bool> {
        self.shared.global().then(|| self.shared.pinned.contains(&region))
    }

    fn stopping(&self) -> bool {
        !self.stopping.is_empty()
    }

    fn timeout(&mut self, at: Surroundings<'_>) {
        let mut env = env(&mut self.shared, at);
        if expire(&mut self.regions, &mut env) {
            return;
        }
        let now = env.now.mono;
        if env.shared.tick.is_none_or(|tick| now < tick) {
            return;
        }
        let mut beating = false;
        for (id, region) in &mut self.regions {
            region.tick(*id, &mut env);
            beating |= region.run().is_some();
        }
        // From now on, not from when it should have been: two samples are never closer to each other, or who is
        // silent would be declared dead too early.
        env.shared.tick = beating.then(|| now.after(PERIOD));
    }

    fn next_timeout(&self) -> Option<Instant> {
        match (self.shared.tick, self.shared.alarm) {
            (Some(tick), Some(alarm)) => Some(tick.min(alarm)),
            (tick, alarm) => tick.or(alarm),
        }
    }

    fn stop_uncleanly(&mut self, wants: &mut Vec<Want>) {
        for (id, region) in &mut self.regions {
            if !matches!(core::mem::take(&mut region.phase), Phase::Idle) {
                wants.push(Want::Disk(*id, DiskRequest::Close));
            }
        }
        // Who was about to say goodbye stays silent too.
        self.stopping.clear();
        (self.shared.tick, self.shared.alarm) = (None, None);
    }
}
