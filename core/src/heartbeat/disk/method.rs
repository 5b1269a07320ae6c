//! The method as the generic layer sees it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::attributes::{self, GROUP, GroupFile, REGION, RegionFile};
use super::context::{Common, Context, Timer};
use super::good::good;
use super::negotiation;
use super::note::DiskNote;
use super::region::{Phase, Region};
use super::request::DiskRequest;
use super::run::Run;
use super::{Disk, PERIOD, expire};
use crate::effect::{Effect, Effects};
use crate::error::Refusal;
use crate::fence::Good;
use crate::heartbeat::event::{NodeName, Telling};
use crate::heartbeat::method::{self as heartbeat, Method};
use crate::ids::{ItemId, NodeNum, RequestId};
use crate::message::Action;
use crate::name::Name;
use crate::net::{SendError, User};
use crate::number;
use crate::text::line;
use crate::time::Instant;
use crate::tree::{Kind, Stored};

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

    fn heartbeat_timeout(&self) -> Duration {
        self.common.write_timeout()
    }

    fn quorum_delay(&self) -> Option<Duration> {
        Some(self.common.quorum_delay())
    }

    fn make_region(
        &mut self,
        cx: heartbeat::Context<'_>,
        region: ItemId,
        name: &Name,
    ) -> Result<(), Refusal> {
        let num = if self.common.global() { self.free_number().ok_or(Refusal::TooManyRegions)? } else { 0 };
        let key = negotiation::key(num, name);
        if self.regions.values().any(|other| other.key == key) {
            return Err(Refusal::KeyTaken);
        }
        negotiation::handle(region, key, cx.effects);
        self.regions.insert(region, Region { num, key, ..Region::default() });
        Ok(())
    }

    fn detains(&mut self, region: ItemId) -> bool {
        self.regions.get_mut(&region).is_some_and(Region::detains)
    }

    fn drop_region(&mut self, cx: heartbeat::Context<'_>, id: ItemId) {
        let Some(mut region) = self.regions.remove(&id) else { return };
        let request = cx.call.request;
        cx.effects.push(Effect::HandleNothing(User::Region(id)));
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

    fn message(
        &mut self,
        cx: heartbeat::Context<'_>,
        id: ItemId,
        message: u16,
        from: NodeNum,
        payload: &[u8],
    ) -> i32 {
        let mut cx = Context::new(&mut self.common, cx);
        if let Some(region) = self.regions.get_mut(&id) {
            region.message(id, message, from, payload, &mut cx);
        }
        0
    }

    fn answered(
        &mut self,
        cx: heartbeat::Context<'_>,
        id: ItemId,
        message: u16,
        to: NodeNum,
        result: Result<i32, SendError>,
    ) {
        let mut cx = Context::new(&mut self.common, cx);
        if let Some(region) = self.regions.get_mut(&id) {
            region.answered(id, message, to, result, &mut cx);
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
        if cx.common.timers.expired(Timer::Negotiation, now) {
            for (id, region) in &mut self.regions {
                region.negotiate(*id, &mut cx);
            }
            let next = self.regions.values().filter_map(|region| region.run()?.negotiation.next()).min();
            cx.common.timers.set(Timer::Negotiation, next);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.common.timers.next()
    }

    fn good(&self) -> Option<Good> {
        good(&self.regions, &self.common)
    }

    fn stop_uncleanly(&mut self, effects: &mut Effects) {
        for (id, region) in &mut self.regions {
            if !matches!(core::mem::take(&mut region.phase), Phase::Idle) {
                effects.act(Action::Disk(*id, DiskRequest::Close));
            }
        }
        // Regions that were about to write their last block do not, either.
        self.stopping.clear();
        self.common.timers.stop();
    }
}
