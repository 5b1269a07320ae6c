//! A region that beats: a beat in steps, and who is live by what it has read.

use alloc::vec::Vec;

use super::PERIOD;
use super::block::{Block, Found, SEQ_LIMIT, next_seq};
use super::context::{Context, TIMERS, Timer};
use super::negotiation::Negotiation;
use super::note::DiskNote;
use super::noticed::Noticed;
use super::request::{DiskInfo, DiskRequest};
use super::slot::{Left, Own, Slot, Verdict};
use crate::error::Errno;
use crate::heartbeat::event::Cause;
use crate::ids::{ItemId, NodeNum, NodeSet, OpId, RequestId};
use crate::name::Name;
use crate::time::Instant;
use crate::timers::Timers;

/// Seconds by which seq is ahead of the clock before that is worth a line.
const CLOCK_OFF: u64 = 10;

/// Where a beat stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Beat {
    Quiet,
    Reading { op: OpId, first: u8, count: u8, began: Instant },
    Writing { op: OpId, own_good: bool, changed: bool, since: Instant },
}

/// What an ended beat asks of its region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// Go on.
    On,
    /// It has just become steady: whoever waits may go on.
    Steady,
    /// It could not become steady in time.
    Unstable,
}

/// A region that beats.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) info: DiskInfo,
    /// The writer of `dev`, while it waits.
    pub(super) waiter: Option<RequestId>,
    /// The own node and its directory, which is pinned.
    pub(super) own: NodeNum,
    pub(super) local: ItemId,
    pub(super) slots: Vec<Slot>,
    beat: Beat,
    /// The last seq that was written; before the first beat that in the own slot.
    pub(super) seq: u64,
    /// It has been said that the clock is behind that.
    clock_reported: bool,
    /// The next beat of a phase of its own, from its start until it is steady; none: it beats at the common tick.
    pub(super) next: Option<Instant>,
    /// The time of the next beat came while this one was still going on.
    overdue: bool,
    /// When the last beat that counts began, and whether this one does: see [`tick`](Self::tick).
    counted: Option<Instant>,
    counts: bool,
    pub(super) steady_left: u32,
    pub(super) unsteady_left: u32,
    /// When the write of the last good beat began: others may have seen its block from then on.
    pub(super) last_good: Option<Instant>,
    /// When others may think us dead.
    pub(super) deadline: Option<Instant>,
    /// The last beat failed at reading or writing.
    pub(super) failing: bool,
    pub(super) negotiation: Negotiation,
    /// Nodes beyond the region's blocks have been reported.
    reported: bool,
    pub(super) noticed: Noticed,
}

impl Run {
    pub(super) fn new(info: DiskInfo, own: NodeNum, local: ItemId, blocks: u32) -> Self {
        let blocks = blocks as usize;
        Self {
            info,
            waiter: None,
            own,
            local,
            slots: alloc::vec![Slot::default(); blocks],
            beat: Beat::Quiet,
            seq: 0,
            clock_reported: false,
            next: None,
            overdue: false,
            counted: None,
            counts: true,
            steady_left: 0,
            unsteady_left: 0,
            last_good: None,
            deadline: None,
            failing: false,
            negotiation: Negotiation::default(),
            reported: false,
            noticed: Noticed::new(blocks),
        }
    }

    /// Takes the baseline; beats in a phase of its own until `steady` of them were quiet. Returns the seq of the own
    /// slot if that cannot be counted on from.
    pub(super) fn populate(
        &mut self,
        bytes: &[u8],
        block_bytes: usize,
        waiter: RequestId,
        steady: u32,
        now: Instant,
    ) -> Option<u64> {
        let mut junk = None;
        for (num, (slot, bytes)) in self.slots.iter_mut().zip(bytes.chunks_exact(block_bytes)).enumerate() {
            let found = Block::decode(bytes);
            slot.populate(&found);
            if num == usize::from(self.own.get()) && found.good {
                // Who knew this node before must see another seq, even if the clock was set back meanwhile.
                match found.block.seq {
                    seq if seq < SEQ_LIMIT => self.seq = seq,
                    seq => junk = Some(seq),
                }
            }
        }
        self.waiter = Some(waiter);
        self.steady_left = steady;
        self.unsteady_left = steady * 3;
        self.next = Some(now);
        junk
    }

    pub(super) fn steady(&self) -> bool {
        self.steady_left == 0
    }

    /// The request that is on its way to the disk.
    pub(super) fn in_flight(&self) -> Option<OpId> {
        match self.beat {
            Beat::Quiet => None,
            Beat::Reading { op, .. } | Beat::Writing { op, .. } => Some(op),
        }
    }

    /// The block of this beat.
    fn next_block(&mut self, name: &Name, cx: &mut Context<'_>) -> Block {
        let clock = cx.now.unix.as_secs();
        self.seq = next_seq(self.seq, cx.now.unix);
        let behind = self.seq.saturating_sub(clock) >= CLOCK_OFF;
        if behind && !self.clock_reported {
            cx.note(name, &self.info.name, DiskNote::ClockBehind { seq: self.seq, clock });
        }
        self.clock_reported = behind;
        let (node, generation) = (self.own.get(), self.info.generation);
        Block { seq: self.seq, node, generation, dead_ms: cx.dead_ms() }
    }

    /// The block of a clean stop, still with the seq of the last one.
    pub(super) fn last_block(&self, cx: &Context<'_>) -> Block {
        Block { seq: self.seq, node: self.own.get(), generation: 0, dead_ms: cx.dead_ms() }
    }

    /// Steady: its beats join the common tick, by one shorter period. Where that would be a longer one, it beats once
    /// more by itself before.
    pub(super) fn join(&mut self, timers: &mut Timers<TIMERS>) {
        let Some(next) = self.next else { return };
        if timers.get(Timer::Tick).is_none() {
            timers.set(Timer::Tick, Some(next));
        }
        if timers.expired(Timer::Tick, next) {
            self.next = None;
        }
    }

    /// The time of a beat has come.
    pub(super) fn tick(&mut self, id: ItemId, name: &Name, cx: &mut Context<'_>) -> Outcome {
        if self.next.is_some() {
            self.next = Some(cx.now.mono.after(PERIOD));
        }
        if self.beat != Beat::Quiet {
            self.overdue = true;
            return Outcome::On;
        }
        self.overdue = false;
        // After a late beat, and when joining the common tick, a period is shorter. Such a beat does not count for
        // who is silent: the dead time would be short.
        self.counts = self.counted.is_none_or(|last| cx.now.mono >= last.after(PERIOD));
        let last = self.slots.len() as u64;
        let wanted = cx.wanted();
        let mut inside = wanted.iter().map(NodeNum::get).filter(|num| u64::from(*num) < last);
        let Some(first) = inside.next() else {
            cx.note(name, &self.info.name, DiskNote::NoNodes);
            return self.end(false);
        };
        let highest = inside.last().unwrap_or(first);
        if !self.reported && wanted.iter().any(|num| u64::from(num.get()) >= last) {
            self.reported = true;
            cx.note(name, &self.info.name, DiskNote::BeyondBlocks(self.slots.len() as u32));
        }
        let (op, count) = (cx.next_op(), highest - first + 1);
        self.beat = Beat::Reading { op, first, count, began: cx.now.mono };
        cx.disk(id, DiskRequest::Read { op, first: first.into(), count: count.into() });
        Outcome::On
    }

    /// The slots have been read, or not.
    pub(super) fn read(
        &mut self,
        id: ItemId,
        name: &Name,
        block_bytes: u32,
        op: OpId,
        result: Result<&[u8], Errno>,
        cx: &mut Context<'_>,
    ) -> Option<Outcome> {
        let Beat::Reading { op: wanted, first, count, began } = self.beat else { return None };
        if op != wanted {
            return None;
        }
        let length = usize::from(count) * block_bytes as usize;
        let bytes = match result {
            Ok(bytes) if bytes.len() >= length => &bytes[..length],
            Ok(_) => return Some(self.failed(name, Errno::EIO, cx)),
            Err(errno) => return Some(self.failed(name, errno, cx)),
        };
        // Only what has been read is a sample.
        if self.counts {
            self.counted = Some(began);
        }
        let slot = |num: u8| {
            let from = usize::from(num.wrapping_sub(first)) * block_bytes as usize;
            bytes.get(from..from + block_bytes as usize).unwrap_or_default()
        };
        let own = self.own.get();
        let own_good = self.check_own(name, &Block::decode(slot(own)), cx);
        let block = self.next_block(name, cx);
        let op = cx.next_op();
        cx.disk(id, DiskRequest::Write { op, slot: own.into(), block });
        let written = Found { block, cksum: 0, good: true };
        // Most say nothing: found in one sweep through memory that no cache holds after two seconds.
        let states = self.slots.iter().enumerate().skip(first.into());
        let read = states.zip(bytes.chunks_exact(block_bytes as usize));
        let wanted = cx.wanted();
        let telling = read.filter_map(|((num, state), slot)| {
            let num = NodeNum::new(num as u64)?;
            if num != self.own && state.idle(slot) {
                return None;
            }
            if !wanted.contains(num) {
                self.noticed.stranger(num, slot);
                return None;
            }
            Some(num)
        });
        let telling: NodeSet = telling.collect();
        self.noticed.looked();
        let mut changed = false;
        for num in telling.iter() {
            let Some(state) = self.slots.get(usize::from(num.get())) else { continue };
            let found = if num == self.own { written } else { Block::decode(slot(num.get())) };
            if self.counts || state.changed_by(&found) {
                changed |= self.judge(id, name, num, &found, cx);
            }
        }
        self.beat = Beat::Writing { op, own_good, changed, since: cx.now.mono };
        Some(Outcome::On)
    }

    /// The own block has been written, or not. In the second place: whether the beat was good.
    pub(super) fn written(
        &mut self,
        name: &Name,
        op: OpId,
        result: Result<(), Errno>,
        cx: &mut Context<'_>,
    ) -> Option<(Outcome, bool)> {
        let Beat::Writing { op: wanted, own_good, changed, since } = self.beat else { return None };
        if op != wanted {
            return None;
        }
        if let Err(errno) = result {
            return Some((self.failed(name, errno, cx), false));
        }
        let deadline = since.after(cx.write_timeout());
        // A write that took as long as that is no sign of life: others have counted this node as dead meanwhile.
        let good = own_good && cx.now.mono < deadline;
        self.failing = false;
        let outcome = self.end(good && !changed);
        if good {
            // From when it was wanted, not from when it was answered: others saw it at any time in between.
            self.last_good = Some(since);
            // Armed by the very beat that makes it steady: no other may follow.
            if self.steady() {
                self.arm(since, cx);
            }
        }
        Some((outcome, good))
    }

    /// Whether a beat was due while the last one went on; asks once.
    pub(super) fn take_overdue(&mut self) -> bool {
        self.beat == Beat::Quiet && core::mem::take(&mut self.overdue)
    }

    /// Nobody is live in this region any more.
    pub(super) fn leave_all(&mut self, id: ItemId, cause: Cause, cx: &mut Context<'_>) {
        for (num, slot) in self.slots.iter_mut().enumerate() {
            if let (true, Some(num)) = (slot.stop(), NodeNum::new(num as u64)) {
                cx.left(id, num, cause);
            }
        }
    }

    fn failed(&mut self, name: &Name, errno: Errno, cx: &mut Context<'_>) -> Outcome {
        self.failing = true;
        self.noticed.failed(cx.now.unix, errno);
        cx.note(name, &self.info.name, DiskNote::BeatFailed(errno));
        self.end(false)
    }

    fn end(&mut self, quiet: bool) -> Outcome {
        self.beat = Beat::Quiet;
        if self.steady_left == 0 {
            return Outcome::On;
        }
        if quiet {
            self.steady_left -= 1;
            if self.steady_left == 0 {
                return Outcome::Steady;
            }
        }
        self.unsteady_left = self.unsteady_left.saturating_sub(1);
        if self.unsteady_left == 0 { Outcome::Unstable } else { Outcome::On }
    }

    fn check_own(&mut self, name: &Name, found: &Found, cx: &mut Context<'_>) -> bool {
        let Some(slot) = self.slots.get(usize::from(self.own.get())) else { return false };
        let own = slot.check_own(self.own.get(), found);
        match own {
            Own::First | Own::Good => {}
            Own::OtherNode | Own::Generation | Own::Seq => {
                let expected = slot.expected(self.own.get(), cx.dead_ms());
                self.noticed.own_slot(cx.now.unix, own, found.block);
                cx.note(name, &self.info.name, DiskNote::OwnSlot { own, expected, found: found.block });
            }
        }
        own == Own::Good
    }

    /// True when the membership of the whole node changed.
    fn judge(&mut self, id: ItemId, name: &Name, num: NodeNum, found: &Found, cx: &mut Context<'_>) -> bool {
        let Some(slot) = self.slots.get_mut(usize::from(num.get())) else { return false };
        if !found.good && slot.live() {
            cx.note(name, &self.info.name, DiskNote::BadChecksum { node: num, found: *found });
        }
        match slot.judge(found, cx.common.dead_threshold) {
            Verdict::Same => false,
            Verdict::Joined => {
                let (theirs, ours) = (found.block.dead_ms, cx.dead_ms());
                let other = (theirs != 0 && theirs != ours).then_some(theirs);
                self.noticed.joined(num, other);
                if let Some(theirs) = other {
                    cx.note(name, &self.info.name, DiskNote::DeadThreshold { node: num, theirs, ours });
                }
                cx.joined(id, num)
            }
            Verdict::Left(left) => cx.left(
                id,
                num,
                match left {
                    Left::Silent => Cause::Silent,
                    Left::Restarted => Cause::Restarted,
                    Left::Clean => Cause::Stopped,
                },
            ),
        }
    }
}
