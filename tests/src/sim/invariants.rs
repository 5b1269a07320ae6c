//! What must hold after each call of an engine.

use uo2cb_core::heartbeat::disk::Block;
use uo2cb_core::heartbeat::disk::DiskRequest;
use uo2cb_core::{Action, FenceReason, NodeNum, Refusal, Reply, RequestId, View};

use super::disk::SLOT;
use super::node::{LastBlock, NodeEvent, Purpose};
use super::reference::{ActiveRegion, Verdict};
use super::safety::write_timeout;
use super::timing::steady_beats;
use super::world::{Completion, World};
use super::{SEC, Us};

/// An invariant that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Its name.
    pub invariant: &'static str,
    /// What was found instead.
    pub found: String,
    /// When.
    pub at: Us,
}

/// The outcome of a check.
pub type Checked = Result<(), Violation>;

/// A violation; [`World::run`] adds the time.
pub fn broken(invariant: &'static str, found: String) -> Violation {
    Violation { invariant, found, at: 0 }
}

/// A violation unless `holds`.
pub fn check(holds: bool, invariant: &'static str, found: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(broken(invariant, found())) }
}

impl World {
    /// Checks and performs the actions that followed from an input. `must_fence`: a fence has to be among them.
    pub fn carry_out(
        &mut self,
        n: usize,
        actions: Vec<Action>,
        completion: Completion,
        must_fence: bool,
    ) -> Checked {
        self.figures.steps += 1;
        if self.trace.wanted() {
            for action in &actions {
                self.trace.line(self.now, n, format_args!("> {action:?}"));
                if let Action::Note(note) = action {
                    self.said.push((self.now, n, note.to_string()));
                }
            }
        }
        for action in &actions {
            self.check_silence_reported(n, action)?;
            if let Action::Note(note) = action {
                self.check_negotiation(n, note)?;
            }
        }
        let fences = actions.iter().any(|action| matches!(action, Action::Fence { .. }));
        check(fences || !must_fence, "a fence at its deadline", || {
            format!("node {n} goes on after its deadline")
        })?;
        self.check_contacts(n, &actions)?;
        let by_quorum =
            |action: &Action| matches!(action, Action::Fence { reason: FenceReason::Quorum(_), .. });
        check(
            must_fence || !fences || actions.iter().any(by_quorum),
            "no fence before its deadline",
            || format!("node {n} fences before its deadline"),
        )?;
        check(!fences || !self.plan.user, "nobody fences where userspace decides", || format!("node {n}"))?;
        if fences {
            let writes =
                actions.iter().any(|action| matches!(action, Action::Disk(_, DiskRequest::Write { .. })));
            check(!writes, "no write after a fence", || format!("node {n}"))?;
            check(!self.plan.faults.is_empty(), "without faults nothing fails", || {
                format!("node {n} fences")
            })?;
            self.fenced(n);
            return Ok(());
        }
        // With one region there is nothing to read: its failure is that of at least half of them.
        let elapsed_of = match completion {
            Completion::Read(region, ..) | Completion::Written(region, _) if self.figures.steps % 8 == 0 => {
                Some(region)
            }
            _ => None,
        };
        let several = self.plan.global && self.plan.regions > 1;
        let reads_quorum = several && matches!(completion, Completion::Read(..) | Completion::Written(..));
        self.check_completion(n, completion, &actions)?;
        if self.nodes[n].ending {
            self.removals(n);
        }
        for action in &actions {
            if let Action::Reply { request, result } = action {
                self.replied(n, *request, result)?;
            }
        }
        self.removals(n);
        for action in actions {
            self.perform(n, action)?;
        }
        if self.nodes[n].engine.is_none() {
            return Ok(());
        }
        self.check_maps(n)?;
        if self.looks_closely() {
            self.check_heartbeating(n)?;
            self.check_pins(n)?;
        }
        self.set_wake(n);
        if let Some(region) = elapsed_of {
            self.check_elapsed(n, region)?;
        }
        if reads_quorum && self.nodes[n].regions.iter().any(|region| region.run.is_some()) {
            self.read_quorum(n)?;
        }
        let late = self.deadline(n).filter(|deadline| {
            let due = self.nodes[n].engine.as_ref().and_then(|engine| engine.poll_timeout());
            due.is_none_or(|due| self.nodes[n].virtual_time(due) > *deadline)
        });
        check(late.is_none(), "every deadline has a timer", || format!("node {n}: {late:?}"))
    }

    /// Notes which regions the engine counts as quorum regions.
    fn read_quorum(&mut self, n: usize) -> Checked {
        let text = self.read(n, "o2hb/quorum_regions")?;
        let numbers: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        for region in &mut self.nodes[n].regions {
            region.quorum = region.run.is_some() && numbers.contains(&region.num);
        }
        Ok(())
    }

    /// What must follow from the completion of a disk request.
    fn check_completion(&mut self, n: usize, completion: Completion, actions: &[Action]) -> Checked {
        let now = self.now;
        let node = &mut self.nodes[n];
        match completion {
            Completion::None => Ok(()),
            Completion::Opened(region, generation) => {
                let blocks = node.blocks;
                let region = &mut node.regions[region];
                region.run =
                    generation.filter(|_| region.dev.is_some()).map(|one| ActiveRegion::new(one, blocks));
                Ok(())
            }
            Completion::Written(region, ok) => {
                let timeout = write_timeout(node.dead_threshold);
                let Some(run) = &mut node.regions[region].run else { return Ok(()) };
                run.ended = now;
                run.failing = !ok;
                let (Some(write), (good, changed)) = (run.write.take(), run.beat) else { return Ok(()) };
                if ok && good && now < write.issued + timeout {
                    self.figures.beats += 1;
                    run.steady_beats += u32::from(!changed);
                    let false_ack = run.last_good.is_some_and(|good| !good.visible);
                    run.last_good = Some(write);
                    run.failed = false;
                    if run.deadline.is_none() || false_ack {
                        run.recovered = now;
                    }
                    if run.steady {
                        run.arm(write.issued, timeout, now);
                    }
                }
                Ok(())
            }
            Completion::Read(region, first, bytes, stale) => {
                if let Some(run) = &mut node.regions[region].run {
                    run.ended = now;
                    run.failing |= bytes.is_none();
                }
                let Some(bytes) = bytes else { return Ok(()) };
                let Some(item) = node.regions[region].item else { return Ok(()) };
                let written = actions.iter().find_map(|action| match action {
                    Action::Disk(disk, DiskRequest::Write { block, .. }) if *disk == item => Some(*block),
                    _ => None,
                });
                self.beat(n, region, first, &bytes, stale, written)
            }
        }
    }

    /// Slots were read: the baseline, or those of a beat.
    fn beat(
        &mut self,
        n: usize,
        region: usize,
        first: usize,
        bytes: &[u8],
        stale: bool,
        written: Option<Block>,
    ) -> Checked {
        let now = self.now;
        let node = &mut self.nodes[n];
        let (own, dead_threshold) = (node.own, node.dead_threshold);
        let regions = node.regions.iter().filter(|region| region.item.is_some()).count();
        let Some(run) = &mut node.regions[region].run else { return Ok(()) };
        if !run.baseline {
            run.baseline = true;
            run.needs = steady_beats(self.plan.global, regions);
            for (slot, bytes) in run.slots.iter_mut().zip(bytes.chunks_exact(SLOT)) {
                let block = Block::decode(bytes).block;
                slot.last = (block.seq, block.generation);
                slot.changed_at = now;
            }
            let own = bytes.chunks_exact(SLOT).nth(usize::from(own)).map(Block::decode);
            self.base_seq(n, region, &own.unwrap_or_default());
            return Ok(());
        }
        let block =
            written.ok_or_else(|| broken("every beat writes", format!("node {n} region {region}")))?;
        let at = usize::from(own).wrapping_sub(first) * SLOT;
        let mut good =
            bytes.get(at..at + SLOT).is_some_and(|own_slot| run.own_slot_good(own, &Block::decode(own_slot)));
        good &= run.slots.get(usize::from(own)).is_some();
        let counts = run.counts();
        let (mut changed, mut silent) = (false, Vec::new());
        for (num, slot) in run.slots.iter_mut().enumerate().skip(first) {
            let Some(bytes) = bytes.get((num - first) * SLOT..(num - first + 1) * SLOT) else { break };
            let mut found = Block::decode(bytes);
            if num == usize::from(own) {
                found = uo2cb_core::heartbeat::disk::Found { block, good: true, ..found };
            }
            // This sample is among those that a verdict of silence rests on.
            let mut before = *slot;
            before.stale |= stale;
            let event = match slot.judge(&found, dead_threshold, counts, now) {
                Verdict::Same => None,
                Verdict::Joined => {
                    slot.was_live = true;
                    node.live.join(num as u8)
                }
                Verdict::Silent => {
                    let left = node.live.leave(num as u8);
                    silent.push((num as u8, before, left.is_some()));
                    left
                }
                Verdict::Other => {
                    slot.was_live = false;
                    node.live.leave(num as u8)
                }
            };
            slot.stale |= stale;
            changed |= event.is_some();
            node.expected.extend(event);
        }
        run.beat = (good, changed);
        run.samples = [run.samples[1], run.samples[2], run.began];
        for (num, slot, dead) in silent {
            self.check_silent(n, region, num, &slot)?;
            if dead {
                self.check_dead(n, num)?;
            }
        }
        Ok(())
    }

    /// A request got its reply.
    fn replied(&mut self, n: usize, request: RequestId, result: &Result<Reply, Refusal>) -> Checked {
        let node = &mut self.nodes[n];
        let purpose = node.requests.remove(&request);
        let purpose = purpose
            .ok_or_else(|| broken("one answer to a request", format!("node {n}: {request:?} again")))?;
        match purpose {
            Purpose::Call => node.answer = Some(result.clone()),
            Purpose::Link => {
                check(result.is_ok(), "links can be made and removed", || format!("node {n}: {result:?}"))?
            }
            Purpose::Dev(region) => {
                let (incarnation, no_slot) = (node.incarnation, u32::from(node.own) >= node.blocks);
                node.regions[region].dev = None;
                if result.is_err() {
                    node.stop_region(region);
                    if !no_slot {
                        // Longer each time: if all nodes try again at once, their starts disturb each other for
                        // ever.
                        let failures = &mut node.regions[region].failures;
                        let wait = 2 * SEC + node.rng.below((8 * SEC) << (*failures).min(3));
                        *failures += 1;
                        self.schedule_after(wait, n, incarnation, NodeEvent::Start(region));
                    }
                    return Ok(());
                }
                let timeout = write_timeout(node.dead_threshold);
                node.regions[region].failures = 0;
                let run = node.regions[region].run.as_mut();
                let run = run.ok_or_else(|| {
                    broken("dev returns from a steady region", format!("node {n} has no run"))
                })?;
                run.steady = true;
                if let Some(good) = run.last_good {
                    run.arm(good.issued, timeout, self.now);
                }
                check(run.steady_beats == run.needs, "dev returns from a steady region", || {
                    format!("node {n}: {} beats, not {}", run.steady_beats, run.needs)
                })?;
            }
            Purpose::Rmdir(region, wait) => {
                check(result.is_ok(), "a region can be removed", || format!("node {n}: {result:?}"))?;
                if node.ending {
                    // Everybody is answered at once; what must still be written is reads_quorum at in the end.
                    return Ok(());
                }
                let left = node.last_blocks.values().find(|(of, _)| *of == region).copied();
                node.last_blocks.retain(|_, (of, _)| *of != region);
                let written = left.is_none_or(|(_, last_block)| last_block == LastBlock::Done);
                check(written, "a stopped region wrote its last block", || {
                    format!("node {n} region {region}: {left:?}")
                })?;
                let incarnation = node.incarnation;
                self.schedule_after(wait, n, incarnation, NodeEvent::Make(region));
            }
        }
        Ok(())
    }

    /// Regions whose directory is gone from the engine's tree stop.
    fn removals(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let Some(engine) = &node.engine else { return };
        let items = engine.tree(View::Config).items();
        let removed = |region: &super::node::Region| {
            let item = region.item?;
            (node.ending || (region.removing && items.kind(item).is_none())).then_some(item)
        };
        let mut removed_now: Vec<_> =
            node.regions.iter().enumerate().filter_map(|(at, region)| Some((removed(region)?, at))).collect();
        removed_now.sort_unstable();
        for (item, at) in removed_now {
            let region = &mut node.regions[at];
            region.item = None;
            if region.run.as_ref().is_some_and(|run| run.steady) {
                node.last_blocks.insert(item, (at, LastBlock::Due));
            }
            node.stop_region(at);
            node.regions[at].removing = false;
            node.regions[at].quorum = false;
        }
    }

    /// What the consumer was told, the engine's status, and what follows from the disks are the same.
    fn check_maps(&self, n: usize) -> Checked {
        let node = &self.nodes[n];
        let Some(engine) = &node.engine else { return Ok(()) };
        if node.ending {
            // A shutdown releases the consumers: the down edges of its regions are delivered to nobody.
            return Ok(());
        }
        if !node.delivering && !node.holder.delivering {
            self.check_holder(n)?;
            check(node.expected.is_empty(), "each event once and in order", || {
                format!("node {n} does not deliver {:?}", node.expected)
            })?;
            let same = node.delivered.iter().copied().eq(node.live.all());
            check(same, "the live map is what was delivered", || format!("node {n}: {:?}", node.delivered))?;
        }
        if self.figures.steps % 16 != 0 && node.expected.is_empty() {
            return Ok(());
        }
        let status = engine.status();
        let up = status.cluster.map(|cluster| cluster.up).unwrap_or_default();
        let right = up.iter().map(NodeNum::get).eq(node.live.all());
        check(right, "the live map is what was delivered", || format!("node {n} says {up}"))?;
        for region in status.regions.iter().filter(|_| !self.plan.user) {
            let run = node.region_of(region.id).and_then(|at| node.regions[at].run.as_ref());
            let live = run.iter().flat_map(|run| run.slots.iter().enumerate());
            let live = live.filter(|(_, slot)| slot.live).map(|(num, _)| num as u8);
            let same = live.eq(region.up.iter().map(|(node, _)| node.num.get()));
            check(same, "the live map is what was delivered", || format!("node {n} says {:?}", region.up))?;
        }
        Ok(())
    }
}
