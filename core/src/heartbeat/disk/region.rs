//! A region: its numbers, and how it gets from one phase to the next: opening, populating, running, stopping.

use alloc::boxed::Box;

use super::context::{Context, Timer};
use super::note::DiskNote;
use super::request::{DiskInfo, DiskRequest};
use super::run::{Outcome, Run};
use super::slot;
use super::stopping::Stopping;
use crate::effect::Effect;
use crate::error::{Errno, Refusal};
use crate::fence::FenceReason;
use crate::heartbeat::event::Cause;
use crate::ids::{ItemId, OpId, RequestId};
use crate::name::Name;

/// Quiet beats until a region is steady.
const STEADY: u32 = slot::LIVE_THRESHOLD + 1;
/// The same for the only region of global heartbeat.
const STEADY_ALONE: u32 = slot::LIVE_THRESHOLD * 2 + 1;

/// A region: what was written to its files, and how far it is.
#[derive(Debug, Default)]
pub(super) struct Region {
    pub(super) block_bytes: u32,
    pub(super) start_block: u64,
    pub(super) blocks: u32,
    /// Its number in global mode, else 0.
    pub(super) num: u32,
    /// That of its messages.
    pub(super) key: u32,
    /// Its removal waits for the end of a beat.
    pub(super) leaving: bool,
    pub(super) phase: Phase,
}

#[derive(Debug, Default)]
pub(super) enum Phase {
    #[default]
    Idle,
    /// The device is being opened for the writer of `dev`; none: it has given up, the device is closed when
    /// it comes.
    Opening { request: Option<RequestId> },
    /// Every slot is being read once.
    Populating { request: RequestId, op: OpId, run: Box<Run> },
    /// It beats; somebody may wait until it is steady.
    Running(Box<Run>),
}

impl Region {
    pub(super) fn run(&self) -> Option<&Run> {
        match &self.phase {
            Phase::Running(run) => Some(run),
            Phase::Idle | Phase::Opening { .. } | Phase::Populating { .. } => None,
        }
    }

    pub(super) fn run_mut(&mut self) -> Option<&mut Run> {
        match &mut self.phase {
            Phase::Running(run) => Some(run),
            Phase::Idle | Phase::Opening { .. } | Phase::Populating { .. } => None,
        }
    }

    /// The open device, if there is one.
    pub(super) fn device(&self) -> Option<&DiskInfo> {
        match &self.phase {
            Phase::Running(run) | Phase::Populating { run, .. } => Some(&run.info),
            Phase::Idle | Phase::Opening { .. } => None,
        }
    }
}

impl Region {
    /// The device has been opened, or not.
    pub(super) fn opened(&mut self, id: ItemId, result: Result<DiskInfo, Refusal>, cx: &mut Context<'_>) {
        // A device that is in use is not to be closed, whatever is said twice.
        let Phase::Opening { request } = self.phase else { return };
        self.phase = Phase::Idle;
        let Some(request) = request else {
            if result.is_ok() {
                cx.disk(id, DiskRequest::Close);
            }
            return;
        };
        let info = match result {
            Ok(info) => info,
            Err(refusal) => return cx.effects.push(Effect::EndStore { request, result: Err(refusal) }),
        };
        let local = cx.nodes.cluster().and_then(|cluster| cluster.local());
        let refusal = match local.and_then(|local| Some((local.id, local.num?))) {
            None => Refusal::NoLocalNode,
            Some((_, own)) if u32::from(own.get()) >= self.blocks => Refusal::BeyondBlocks,
            Some(_) if !info.takes(self.block_bytes) => {
                let (ours, device) = (self.block_bytes, info.sector_bytes);
                cx.note(&cx.name_of(id), &info.name, DiskNote::BlockSize { ours, device });
                Refusal::WrongBlockSize(device)
            }
            Some((local, own)) => {
                let op = cx.next_op();
                cx.disk(id, DiskRequest::Read { op, first: 0, count: self.blocks });
                let run = Box::new(Run::new(info, own, local, self.blocks));
                self.phase = Phase::Populating { request, op, run };
                return;
            }
        };
        cx.disk(id, DiskRequest::Close);
        cx.effects.push(Effect::EndStore { request, result: Err(refusal) });
    }

    /// Slots have been read, or not: the baseline, or those of a beat. `alone`: the only region.
    pub(super) fn read(
        &mut self,
        id: ItemId,
        op: OpId,
        result: Result<&[u8], Errno>,
        alone: bool,
        cx: &mut Context<'_>,
    ) {
        match &mut self.phase {
            Phase::Populating { op: wanted, .. } if *wanted == op => self.populate(id, result, alone, cx),
            Phase::Running(run) => {
                let name = cx.name_of(id);
                let outcome = run.read(id, &name, self.block_bytes, op, result, cx);
                if let Some(outcome) = outcome {
                    self.after_beat(id, &name, outcome, false, cx);
                }
            }
            Phase::Populating { .. } | Phase::Idle | Phase::Opening { .. } => {}
        }
    }

    fn populate(&mut self, id: ItemId, result: Result<&[u8], Errno>, alone: bool, cx: &mut Context<'_>) {
        let Phase::Populating { request, mut run, .. } = core::mem::take(&mut self.phase) else { return };
        let name = cx.name_of(id);
        let length = self.blocks as usize * self.block_bytes as usize;
        let local = cx.nodes.cluster().and_then(|cluster| cluster.local());
        if local.is_none_or(|local| local.id != run.local) {
            cx.disk(id, DiskRequest::Close);
            cx.effects.push(Effect::EndStore { request, result: Err(Refusal::NoLocalNode) });
            return;
        }
        let errno = match result {
            Ok(bytes) if bytes.len() >= length => {
                let steady = if alone && cx.common.global() { STEADY_ALONE } else { STEADY };
                let size = self.block_bytes as usize;
                if let Some(seq) = run.populate(&bytes[..length], size, request, steady, cx.now.mono) {
                    cx.note(&name, &run.info.name, DiskNote::SeqBeyond(seq));
                }
                cx.effects.push(Effect::Pin(run.local));
                let outcome = run.tick(id, &name, cx);
                if let Some(next) = run.next {
                    cx.common.timers.bring_forward(Timer::Phases, next);
                }
                self.phase = Phase::Running(run);
                return self.after_beat(id, &name, outcome, false, cx);
            }
            Ok(_) => Errno::EIO,
            Err(errno) => errno,
        };
        cx.note(&name, &run.info.name, DiskNote::Unreadable(errno));
        cx.disk(id, DiskRequest::Close);
        cx.effects.push(Effect::EndStore { request, result: Err(Refusal::Unreadable) });
    }

    /// The own block has been written, or not.
    pub(super) fn written(&mut self, id: ItemId, op: OpId, result: Result<(), Errno>, cx: &mut Context<'_>) {
        let Some(run) = self.run_mut() else { return };
        let name = cx.name_of(id);
        if let Some((outcome, good)) = run.written(&name, op, result, cx) {
            self.after_beat(id, &name, outcome, good, cx);
        }
    }

    /// The time of a beat has come: the common tick, or one of a phase of its own.
    pub(super) fn tick(&mut self, id: ItemId, cx: &mut Context<'_>) {
        let Some(run) = self.run_mut() else { return };
        let name = cx.name_of(id);
        let outcome = run.tick(id, &name, cx);
        if run.steady() {
            run.join(&mut cx.common.timers);
        }
        self.after_beat(id, &name, outcome, false, cx);
    }

    fn after_beat(&mut self, id: ItemId, name: &Name, outcome: Outcome, good: bool, cx: &mut Context<'_>) {
        let (num, global) = (self.num, cx.common.global());
        let Some(run) = self.run_mut() else { return };
        if good && run.steady() && outcome == Outcome::On {
            cx.common.sets.failed.remove(num);
            if global
                && !cx.common.sets.quorum.contains(num)
                && cx.layer.fill_node_map(Some(id)) == cx.layer.fill_node_map(None)
            {
                cx.common.sets.quorum.insert(num);
                cx.note(name, &run.info.name, DiskNote::QuorumDevice);
                if !cx.common.pins() {
                    cx.common.unpin_all(cx.effects);
                }
            }
        }
        match outcome {
            Outcome::On => {}
            Outcome::Steady => {
                if global {
                    cx.common.sets.live.insert(num);
                    cx.note(name, &run.info.name, DiskNote::Started);
                }
                run.join(&mut cx.common.timers);
                if let Some(request) = run.waiter.take() {
                    cx.effects.push(Effect::EndStore { request, result: Ok(()) });
                }
            }
            Outcome::Unstable => {
                cx.note(name, &run.info.name, DiskNote::Unstable);
                return self.give_up(id, Refusal::Unstable, cx);
            }
        }
        if core::mem::take(&mut self.leaving) {
            self.leaving = self.in_flight();
            if !self.leaving {
                return cx.effects.push(Effect::Quiet(id));
            }
        }
        let Some(run) = self.run_mut() else { return };
        if run.take_overdue() {
            let outcome = run.tick(id, name, cx);
            self.after_beat(id, name, outcome, false, cx);
        }
    }

    /// Ends a start that cannot succeed, as if it had never been tried: no last block is written.
    pub(super) fn give_up(&mut self, id: ItemId, refusal: Refusal, cx: &mut Context<'_>) {
        let request = match core::mem::take(&mut self.phase) {
            Phase::Idle => return,
            Phase::Opening { request } => {
                self.phase = Phase::Opening { request: None };
                request
            }
            Phase::Populating { request, .. } => {
                cx.disk(id, DiskRequest::Close);
                Some(request)
            }
            Phase::Running(mut run) => {
                run.leave_all(id, Cause::Stopped, cx);
                cx.effects.push(Effect::Unpin(run.local));
                cx.disk(id, DiskRequest::Close);
                run.waiter
            }
        };
        if let Some(request) = request {
            cx.effects.push(Effect::EndStore { request, result: Err(refusal) });
        }
    }

    /// Whether its removal must wait for the beat that is on its way. A disk may hang for long: until it goes on, this
    /// node is still a member, and others wait for its part in the negotiation. It may also still be fenced.
    pub(super) fn detains(&mut self) -> bool {
        self.leaving = self.run().is_some_and(Run::steady) && self.in_flight();
        self.leaving
    }

    fn in_flight(&self) -> bool {
        self.run().is_some_and(|run| run.in_flight().is_some())
    }

    /// Stops cleanly: everybody leaves, and the own slot says so. None when there is nothing to write.
    pub(super) fn stop(
        &mut self,
        id: ItemId,
        request: Option<RequestId>,
        cx: &mut Context<'_>,
    ) -> Option<Stopping> {
        if self.run().is_none_or(|run| run.waiter.is_some()) {
            self.give_up(id, Refusal::StartStopped, cx);
            return None;
        }
        let Phase::Running(mut run) = core::mem::take(&mut self.phase) else { return None };
        if core::mem::take(&mut self.leaving) {
            // The beat ends with all others: nothing to wait for.
            cx.effects.push(Effect::Quiet(id));
        }
        cx.common.sets.remove(self.num);
        run.leave_all(id, Cause::Stopped, cx);
        cx.effects.push(Effect::Unpin(run.local));
        let (slot, block) = (u32::from(run.own.get()), run.last_block(cx));
        let mut stopping = Stopping {
            region: cx.name_of(id),
            device: run.info.name.clone(),
            request,
            slot,
            block,
            op: run.in_flight().unwrap_or_default(),
            last: false,
        };
        if run.in_flight().is_none() {
            stopping.write(id, cx);
        }
        if let Some(request) = request {
            cx.effects.push(Effect::Stopping(request));
        }
        Some(stopping)
    }

    /// The write timeout. A reason when this is the end.
    pub(super) fn expire(&mut self, id: ItemId, cx: &mut Context<'_>) -> Option<FenceReason> {
        let num = self.num;
        let run = self.run_mut()?;
        run.deadline.take_if(|deadline| *deadline <= cx.now.mono)?;
        let silent = run.last_good.map(|good| cx.now.mono.since(good)).unwrap_or_default();
        let (region, device) = (cx.name_of(id), run.info.name.clone());
        cx.note(&region, &run.info.name, DiskNote::WriteTimeout(silent));
        if cx.common.global() {
            let sets = &mut cx.common.sets;
            if sets.quorum.contains(num) {
                sets.failed.insert(num);
            }
            if sets.until_lost() > 0 {
                return None;
            }
        }
        Some(FenceReason::WriteTimeout { region, device, silent })
    }
}
