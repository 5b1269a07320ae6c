//! What must hold after each step, and carrying out what an engine wants.

use uo2cb_core::heartbeat::DiskRequest;
use uo2cb_core::heartbeat::disk::Block;
use uo2cb_core::{Action, NodeNum, Refusal, Reply, RequestId, View};

use super::disk::SLOT;
use super::faults::{Fault, Wrong};
use super::node::{Farewell, Mail, Purpose};
use super::reference::{Run, Sample};
use super::safety::write_timeout;
use super::world::{Served, World};
use super::{SEC, Us};

/// An invariant that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Its name.
    pub invariant: &'static str,
    /// What was found instead.
    pub found: String,
    /// When.
    pub at: Us,
}

/// All is well, or not.
pub type Checked = Result<(), Violation>;

/// An invariant that does not hold; the world adds the time.
pub fn broken(invariant: &'static str, found: String) -> Violation {
    Violation { invariant, found, at: 0 }
}

/// The violation, unless it holds.
pub fn check(holds: bool, invariant: &'static str, found: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(broken(invariant, found())) }
}

impl World {
    /// Carries out what an engine wants after an input, and checks it. `must`: that is a fence.
    pub fn carry_out(&mut self, n: usize, actions: Vec<Action>, served: Served, must: bool) -> Checked {
        self.carry(n, actions, served, must).map_err(|violation| Violation { at: self.now, ..violation })
    }

    fn carry(&mut self, n: usize, actions: Vec<Action>, served: Served, must: bool) -> Checked {
        self.figures.steps += 1;
        if self.trace.wanted() {
            for action in &actions {
                self.trace.line(self.now, n, format_args!("> {action:?}"));
            }
        }
        let fences = actions.iter().any(|action| matches!(action, Action::Fence { .. }));
        check(fences || !must, "a fence is not late", || format!("node {n} goes on after its deadline"))?;
        check(must || !fences, "a fence has a reason", || format!("node {n} fences before its deadline"))?;
        if fences {
            let writes =
                actions.iter().any(|action| matches!(action, Action::Disk(_, DiskRequest::Write { .. })));
            check(!writes, "who fences writes nothing", || format!("node {n}"))?;
            check(!self.plan.faults.is_empty(), "a quiet cluster stays quiet", || {
                format!("node {n} fences")
            })?;
            self.fenced(n);
            return Ok(());
        }
        // With one region every loss is that of half of them.
        let several = self.plan.global && self.plan.regions > 1;
        let looked = several && matches!(served, Served::Read(..) | Served::Written(..));
        self.serve(n, served, &actions)?;
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
            self.act(n, action)?;
        }
        if self.nodes[n].engine.is_none() {
            return Ok(());
        }
        self.maps(n)?;
        self.set_wake(n);
        if looked && self.nodes[n].regions.iter().any(|region| region.run.is_some()) {
            self.look(n)?;
        }
        let late = self.deadline(n).filter(|deadline| {
            let due = self.nodes[n].engine.as_ref().and_then(|engine| engine.poll_timeout());
            due.is_none_or(|due| self.nodes[n].world(due) > *deadline)
        });
        check(late.is_none(), "a deadline has a timer", || format!("node {n}: {late:?}"))
    }

    /// Which regions count for the quorum, as the engine says.
    fn look(&mut self, n: usize) -> Checked {
        let text = self.read(n, "o2hb/quorum_regions")?;
        let numbers: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        for region in &mut self.nodes[n].regions {
            region.quorum = region.run.is_some() && numbers.contains(&region.num);
        }
        Ok(())
    }

    /// What the node must make of what a disk brought.
    fn serve(&mut self, n: usize, served: Served, actions: &[Action]) -> Checked {
        let now = self.now;
        let node = &mut self.nodes[n];
        match served {
            Served::Nothing => Ok(()),
            Served::Opened(region, generation) => {
                let blocks = node.blocks;
                let region = &mut node.regions[region];
                region.run = generation.filter(|_| region.dev.is_some()).map(|one| Run::new(one, blocks));
                Ok(())
            }
            Served::Written(region, ok) => {
                let timeout = write_timeout(node.dead_threshold);
                let Some(run) = &mut node.regions[region].run else { return Ok(()) };
                let (Some(claim), (good, changed)) = (run.claim.take(), run.beat) else { return Ok(()) };
                if ok && good && now < claim.issued + timeout {
                    self.figures.beats += 1;
                    run.quiet += u32::from(!changed);
                    let lied = run.good.is_some_and(|good| !good.honest);
                    run.good = Some(claim);
                    run.failed = false;
                    if run.deadline.is_none() || lied {
                        run.recovered = now;
                    }
                    if run.steady {
                        run.deadline = Some(claim.issued + timeout);
                    }
                }
                Ok(())
            }
            Served::Read(region, first, bytes, stale) => {
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

    /// Slots came: the first of all, or those of a beat.
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
        let Some(run) = &mut node.regions[region].run else { return Ok(()) };
        if !run.baseline {
            run.baseline = true;
            for (slot, bytes) in run.slots.iter_mut().zip(bytes.chunks_exact(SLOT)) {
                let block = Block::decode(bytes).block;
                slot.last = (block.seq, block.generation);
                slot.changed_at = now;
            }
            return Ok(());
        }
        let block = written.ok_or_else(|| broken("a beat writes", format!("node {n} region {region}")))?;
        let at = usize::from(own).wrapping_sub(first) * SLOT;
        let mut good =
            bytes.get(at..at + SLOT).is_some_and(|own_slot| run.own_good(own, &Block::decode(own_slot)));
        good &= run.slots.get(usize::from(own)).is_some();
        let counts = run.counts();
        let (mut changed, mut silent) = (false, Vec::new());
        for (num, slot) in run.slots.iter_mut().enumerate().skip(first) {
            let Some(bytes) = bytes.get((num - first) * SLOT..(num - first + 1) * SLOT) else { break };
            let mut found = Block::decode(bytes);
            if num == usize::from(own) {
                found = uo2cb_core::heartbeat::disk::Found { block, good: true, ..found };
            }
            // What it stands on when it is called silent includes this sample.
            let mut before = *slot;
            before.stale |= stale;
            let event = match slot.judge(&found, dead_threshold, counts, now) {
                Sample::Same => None,
                Sample::Joined => {
                    slot.seen = true;
                    node.members.join(num as u8)
                }
                Sample::Silent => {
                    let left = node.members.leave(num as u8);
                    silent.push((num as u8, before, left.is_some()));
                    left
                }
                Sample::Other => {
                    slot.seen = false;
                    node.members.leave(num as u8)
                }
            };
            slot.stale |= stale;
            changed |= event.is_some();
            node.expected.extend(event);
        }
        run.beat = (good, changed);
        run.samples = [run.samples[1], run.samples[2], run.began];
        for (num, slot, dead) in silent {
            self.silent(n, region, num, &slot)?;
            if dead {
                self.dead(n, num)?;
            }
        }
        Ok(())
    }

    /// A request is answered.
    fn replied(&mut self, n: usize, request: RequestId, result: &Result<Reply, Refusal>) -> Checked {
        let node = &mut self.nodes[n];
        let purpose = node.requests.remove(&request);
        let purpose = purpose
            .ok_or_else(|| broken("one answer to a request", format!("node {n}: {request:?} again")))?;
        match purpose {
            Purpose::Call => node.answer = Some(result.clone()),
            Purpose::Dev(region) => {
                let alone = self.plan.global && self.plan.regions == 1;
                let (incarnation, hopeless) = (node.incarnation, u32::from(node.own) >= node.blocks);
                node.regions[region].dev = None;
                if result.is_err() {
                    node.leave_all(region);
                    if !hopeless {
                        // Longer each time: where all come at once and each as soon as it can, no beat is
                        // ever quiet.
                        let failures = &mut node.regions[region].failures;
                        let wait = 2 * SEC + node.rng.below((8 * SEC) << (*failures).min(3));
                        *failures += 1;
                        self.later(wait, n, incarnation, Mail::Start(region));
                    }
                    return Ok(());
                }
                let timeout = write_timeout(node.dead_threshold);
                node.regions[region].failures = 0;
                let run = node.regions[region].run.as_mut();
                let run =
                    run.ok_or_else(|| broken("who started is steady", format!("node {n} has no run")))?;
                run.steady = true;
                run.deadline = run.good.map(|good| good.issued + timeout);
                let needs = if alone { 5 } else { 3 };
                check(run.quiet >= needs, "who started is steady", || {
                    format!("node {n}: {} beats", run.quiet)
                })?;
            }
            Purpose::Rmdir(region, wait) => {
                check(result.is_ok(), "a region can be removed", || format!("node {n}: {result:?}"))?;
                if node.ending {
                    // Everybody is answered at once; what must still be written is looked at in the end.
                    return Ok(());
                }
                let left = node.farewells.values().find(|(of, _)| *of == region).copied();
                node.farewells.retain(|_, (of, _)| *of != region);
                let said = left.is_none_or(|(_, farewell)| farewell == Farewell::Answered);
                check(said, "who stops says so", || format!("node {n} region {region}: {left:?}"))?;
                let incarnation = node.incarnation;
                self.later(wait, n, incarnation, Mail::Make(region));
            }
        }
        Ok(())
    }

    /// Regions that are no more.
    fn removals(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let Some(engine) = &node.engine else { return };
        let items = engine.tree(View::Config).items();
        let gone = |region: &super::node::Region| {
            let item = region.item?;
            (node.ending || (region.removing && items.kind(item).is_none())).then_some(item)
        };
        let mut gone: Vec<_> =
            node.regions.iter().enumerate().filter_map(|(at, region)| Some((gone(region)?, at))).collect();
        gone.sort_unstable();
        for (item, at) in gone {
            let region = &mut node.regions[at];
            region.item = None;
            if region.run.as_ref().is_some_and(|run| run.steady) {
                node.farewells.insert(item, (at, Farewell::Due));
            }
            node.leave_all(at);
            node.regions[at].removing = false;
            node.regions[at].quorum = false;
        }
    }

    /// What consumers were told, what the engine says, and what follows from the disks are one.
    fn maps(&self, n: usize) -> Checked {
        let node = &self.nodes[n];
        let Some(engine) = &node.engine else { return Ok(()) };
        if node.ending {
            // Its consumers have been let go: whom it leaves is told to nobody.
            return Ok(());
        }
        if !node.telling {
            check(node.expected.is_empty(), "each event once and in order", || {
                format!("node {n} tells nothing of {:?}", node.expected)
            })?;
            let same = node.told.iter().copied().eq(node.members.all());
            check(same, "the map is what was told", || format!("node {n}: {:?}", node.told))?;
        }
        if self.figures.steps % 16 != 0 && node.expected.is_empty() {
            return Ok(());
        }
        let status = engine.status();
        let up = status.cluster.map(|cluster| cluster.up).unwrap_or_default();
        let right = up.iter().map(NodeNum::get).eq(node.members.all());
        check(right, "the map is what was told", || format!("node {n} says {up}"))?;
        for region in &status.regions {
            let run = node.region_of(region.id).and_then(|at| node.regions[at].run.as_ref());
            let live = run.iter().flat_map(|run| run.slots.iter().enumerate());
            let live = live.filter(|(_, slot)| slot.live).map(|(num, _)| num as u8);
            let same = live.eq(region.up.iter().map(|(node, _)| node.num.get()));
            check(same, "the map is what was told", || format!("node {n} says {:?}", region.up))?;
        }
        Ok(())
    }

    /// After some time without faults everybody sees everybody, and nobody waits.
    pub fn check_end(&mut self) -> Checked {
        let wrong = |fault: &Fault| matches!(fault, Fault::Config { wrong: Wrong::Number(_), .. });
        let end = self.now;
        let fail = |found: String| Violation { invariant: "all is well in the end", found, at: end };
        let twice = self.plan.faults.iter().any(wrong);
        for (n, node) in self.nodes.iter().enumerate() {
            if twice {
                continue;
            }
            let Some(engine) = &node.engine else { return Err(fail(format!("node {n} does not run"))) };
            if u32::from(node.own) >= node.blocks {
                continue;
            }
            if !node.requests.is_empty() || engine.waiting() > 0 {
                return Err(fail(format!("node {n} waits for {:?}", node.requests)));
            }
            for (at, region) in node.regions.iter().enumerate() {
                let Some(run) = region.run.as_ref().filter(|run| run.steady) else {
                    return Err(fail(format!("node {n} region {at} is not steady")));
                };
                let alive = |num: usize| self.nodes[num].blocks as usize > num;
                let missing = run.slots.iter().enumerate().find(|(num, slot)| slot.live != alive(*num));
                if let Some((num, _)) = missing {
                    return Err(fail(format!("node {n} is wrong about {num} in region {at}")));
                }
            }
        }
        Ok(())
    }
}
