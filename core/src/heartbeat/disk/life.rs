//! How a region gets from one phase to the next: opening, populating, after each beat, stopping.

use alloc::boxed::Box;

use super::note::DiskNote;
use super::region::{Outcome, Phase, Region, Run};
use super::request::{DiskInfo, DiskRequest};
use super::shared::Env;
use super::{PERIOD, Stopping, slot};
use crate::error::{Errno, Refusal};
use crate::fence::FenceReason;
use crate::heartbeat::event::Cause;
use crate::heartbeat::method::Want;
use crate::ids::{ItemId, OpId, RequestId};
use crate::name::Name;

/// Quiet beats until a region is steady.
const STEADY: u32 = slot::LIVE_THRESHOLD + 1;
/// The same for the only region of global heartbeat.
const STEADY_ALONE: u32 = slot::LIVE_THRESHOLD * 2 + 1;

impl Region {
    /// The device has been opened, or not.
    pub(super) fn opened(&mut self, id: ItemId, result: Result<DiskInfo, Refusal>, env: &mut Env<'_>) {
        // A device that is in use is not to be closed, whatever is said twice.
        let Phase::Opening { request } = self.phase else { return };
        self.phase = Phase::Idle;
        let Some(request) = request else {
            if result.is_ok() {
                env.wants.push(Want::Disk(id, DiskRequest::Close));
            }
            return;
        };
        let info = match result {
            Ok(info) => info,
            Err(refusal) => return env.wants.push(Want::FinishStore { request, result: Err(refusal) }),
        };
        let local = env.nodes.cluster().and_then(|cluster| cluster.local());
        let refusal = match local.and_then(|local| Some((local.id, local.num?))) {
            None => Refusal::NoLocalNode,
            Some((_, own)) if u32::from(own.get()) >= self.blocks => Refusal::BeyondBlocks,
            Some(_) if !info.takes(self.block_bytes) => {
                let (ours, device) = (self.block_bytes, info.sector_bytes);
                env.note(&env.name_of(id), &info, DiskNote::BlockSize { ours, device });
                Refusal::WrongBlockSize
            }
            Some((local, own)) => {
                let op = env.next_op();
                env.wants.push(Want::Disk(id, DiskRequest::Read { op, first: 0, count: self.blocks }));
                let run = Box::new(Run::new(info, own, local, self.blocks));
                self.phase = Phase::Populating { request, op, run };
                return;
            }
        };
        env.wants.push(Want::Disk(id, DiskRequest::Close));
        env.wants.push(Want::FinishStore { request, result: Err(refusal) });
    }

    /// Slots have been read, or not: the baseline, or those of a beat. `alone`: the only region.
    pub(super) fn read(
        &mut self,
        id: ItemId,
        op: OpId,
        result: Result<&[u8], Errno>,
        alone: bool,
        env: &mut Env<'_>,
    ) {
        match &mut self.phase {
            Phase::Populating { op: wanted, .. } if *wanted == op => self.populate(id, result, alone, env),
            Phase::Running(run) => {
                let name = env.name_of(id);
                let outcome = run.read(id, &name, self.block_bytes, op, result, env);
                if let Some(outcome) = outcome {
                    self.after_beat(id, &name, outcome, false, env);
                }
            }
            Phase::Populating { .. } | Phase::Idle | Phase::Opening { .. } => {}
        }
    }

    fn populate(&mut self, id: ItemId, result: Result<&[u8], Errno>, alone: bool, env: &mut Env<'_>) {
        let Phase::Populating { request, mut run, .. } = core::mem::take(&mut self.phase) else { return };
        let name = env.name_of(id);
        let length = self.blocks as usize * self.block_bytes as usize;
        let local = env.nodes.cluster().and_then(|cluster| cluster.local());
        if local.is_none_or(|local| local.id != run.local) {
            env.wants.push(Want::Disk(id, DiskRequest::Close));
            env.wants.push(Want::FinishStore { request, result: Err(Refusal::NoLocalNode) });
            return;
        }
        let errno = match result {
            Ok(bytes) if bytes.len() >= length => {
                let steady = if alone && env.shared.global() { STEADY_ALONE } else { STEADY };
                run.populate(&bytes[..length], self.block_bytes as usize, request, steady);
                env.wants.push(Want::Pin(run.local));
                // It beats at once, and then joins the others by one shorter period.
                let outcome = run.tick(id, &name, env);
                self.phase = Phase::Running(run);
                env.shared.tick = env.shared.tick.or(Some(env.now.mono.after(PERIOD)));
                return self.after_beat(id, &name, outcome, false, env);
            }
            Ok(_) => Errno::EIO,
            Err(errno) => errno,
        };
        env.note(&name, &run.info, DiskNote::Unreadable(errno));
        env.wants.push(Want::Disk(id, DiskRequest::Close));
        env.wants.push(Want::FinishStore { request, result: Err(Refusal::Unreadable) });
    }

    /// The own block has been written, or not.
    pub(super) fn written(&mut self, id: ItemId, op: OpId, result: Result<(), Errno>, env: &mut Env<'_>) {
        let Some(run) = self.run_mut() else { return };
        let name = env.name_of(id);
        if let Some((outcome, good)) = run.written(&name, op, result, env) {
            self.after_beat(id, &name, outcome, good, env);
        }
    }

    /// The common tick.
    pub(super) fn tick(&mut self, id: ItemId, env: &mut Env<'_>) {
        let Some(run) = self.run_mut() else { return };
        let name = env.name_of(id);
        let outcome = run.tick(id, &name, env);
        self.after_beat(id, &name, outcome, false, env);
    }

    fn after_beat(&mut self, id: ItemId, name: &Name, outcome: Outcome, good: bool, env: &mut Env<'_>) {
        let (num, global) = (self.num, env.shared.global());
        let Some(run) = self.run_mut() else { return };
        if good && run.steady() {
            env.shared.alarm = match (env.shared.alarm, run.deadline) {
                (Some(alarm), Some(deadline)) => Some(alarm.min(deadline)),
                (alarm, deadline) => alarm.or(deadline),
            };
        }
        if good && run.steady() && outcome == Outcome::On {
            env.shared.sets.failed.remove(num);
            if global && !env.shared.sets.quorum.contains(num) && run.live_nodes() == *env.shared.live.set() {
                env.shared.sets.quorum.insert(num);
                env.note(name, &run.info, DiskNote::QuorumDevice);
                if !env.shared.pins() {
                    env.shared.unpin_all(env.wants);
                }
            }
        }
        match outcome {
            Outcome::On => {}
            Outcome::Steady => {
                if global {
                    env.shared.sets.live.insert(num);
                    env.note(name, &run.info, DiskNote::Started);
                }
                if let Some(request) = run.waiter.take() {
                    env.wants.push(Want::FinishStore { request, result: Ok(()) });
                }
            }
            Outcome::Unstable => {
                env.note(name, &run.info, DiskNote::Unstable);
                return self.give_up(id, Refusal::Unstable, env);
            }
        }
        if run.take_overdue() {
            let outcome = run.tick(id, name, env);
            self.after_beat(id, name, outcome, false, env);
        }
    }

    /// Ends a start that cannot succeed, as if it had never been tried: no last block is written.
    pub(super) fn give_up(&mut self, id: ItemId, refusal: Refusal, env: &mut Env<'_>) {
        let request = match core::mem::take(&mut self.phase) {
            Phase::Idle => return,
            Phase::Opening { request } => {
                self.phase = Phase::Opening { request: None };
                request
            }
            Phase::Populating { request, .. } => {
                env.wants.push(Want::Disk(id, DiskRequest::Close));
                Some(request)
            }
            Phase::Running(mut run) => {
                run.leave_all(Cause::Stopped, env);
                env.wants.push(Want::Unpin(run.local));
                env.wants.push(Want::Disk(id, DiskRequest::Close));
                run.waiter
            }
        };
        if let Some(request) = request {
            env.wants.push(Want::FinishStore { request, result: Err(refusal) });
        }
    }

    /// Stops cleanly: everybody leaves, and the own slot says so. None when there is nothing to write.
    pub(super) fn stop(
        &mut self,
        id: ItemId,
        request: Option<RequestId>,
        env: &mut Env<'_>,
    ) -> Option<Stopping> {
        if self.run().is_none_or(|run| run.waiter.is_some()) {
            self.give_up(id, Refusal::Unstable, env);
            return None;
        }
        let Phase::Running(mut run) = core::mem::take(&mut self.phase) else { return None };
        env.shared.sets.remove(self.num);
        run.leave_all(Cause::Stopped, env);
        env.wants.push(Want::Unpin(run.local));
        let (slot, block) = (u32::from(run.own.get()), run.farewell(env));
        let mut stopping =
            Stopping { request, slot, block, op: run.in_flight().unwrap_or_default(), last: false };
        if run.in_flight().is_none() {
            stopping.write(id, env);
        }
        if let Some(request) = request {
            env.wants.push(Want::Stopping(request));
        }
        Some(stopping)
    }

    /// The write timeout. A reason when this is the end.
    pub(super) fn expire(&mut self, id: ItemId, env: &mut Env<'_>) -> Option<FenceReason> {
        let num = self.num;
        let run = self.run_mut()?;
        run.deadline.take_if(|deadline| *deadline <= env.now.mono)?;
        let silent = run.last_good.map(|good| env.now.mono.since(good)).unwrap_or_default();
        let (region, device) = (env.name_of(id), run.info.name.clone());
        env.note(&region, &run.info, DiskNote::WriteTimeout(silent));
        if env.shared.global() {
            let sets = &mut env.shared.sets;
            if sets.quorum.contains(num) {
                sets.failed.insert(num);
            }
            if sets.failed.len() * 2 < sets.quorum.len() {
                return None;
            }
        }
        Some(FenceReason::WriteTimeout { region, device, silent })
    }
}

impl Stopping {
    /// Writes the last block.
    pub(super) fn write(&mut self, id: ItemId, env: &mut Env<'_>) {
        self.op = env.next_op();
        self.last = true;
        // Another request may have held it up since it was made.
        self.block.seq = env.seq();
        env.wants
            .push(Want::Disk(id, DiskRequest::Write { op: self.op, slot: self.slot, block: self.block }));
    }

    /// A request to the disk has ended. True when that was the last one.
    pub(super) fn done(&mut self, id: ItemId, op: OpId, env: &mut Env<'_>) -> bool {
        if op != self.op {
            return false;
        }
        if !self.last {
            self.write(id, env);
            return false;
        }
        env.wants.push(Want::Disk(id, DiskRequest::Close));
        env.wants.extend(self.request.map(Want::Stopped));
        true
    }
}
