//! The world: what happens when, and to whom.

use std::collections::BTreeMap;

use uo2cb_core::heartbeat::{DiskInfo, DiskResult};
use uo2cb_core::{Action, ConsumerId, Errno, Input, Refusal};

use super::disk::Disk;
use super::faults::{Bad, Fault, Plan};
use super::flight::{Deed, Flight};
use super::invariants::{Checked, Violation, broken, check};
use super::node::{Mail, Node};
use super::trace::Trace;
use super::{MS, SEC, Us};

/// Something due at a moment.
#[derive(Clone, Debug)]
pub enum Happening {
    /// The node starts.
    Boot,
    /// Fault number so and so begins.
    Fault(usize),
    /// The node runs again.
    Resume,
    /// A disk does something, but does not say so yet.
    Land(Flight),
    /// A disk has done something.
    Done(Flight),
    /// Something comes to the node's start number so and so.
    Mail(u32, Mail),
}

/// What an input brought the engine from a disk.
#[derive(Debug)]
pub enum Served {
    /// Nothing.
    Nothing,
    /// An opened device.
    Opened(usize, Option<u64>),
    /// Slots: region, first slot, bytes, an old copy.
    Read(usize, usize, Option<Vec<u8>>, bool),
    /// The end of a write.
    Written(usize, bool),
}

/// What a run was like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Calls of engines.
    pub steps: u64,
    /// Good beats.
    pub beats: u64,
    /// Events that consumers were told of.
    pub events: u64,
    /// Nodes that fenced themselves.
    pub fences: u64,
    /// Nodes that were found silent in a region.
    pub silences: u64,
}

impl Figures {
    /// Those of one more run.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.beats += other.beats;
        self.events += other.events;
        self.fences += other.fences;
        self.silences += other.silences;
    }
}

/// A cluster in virtual time.
#[derive(Debug)]
pub struct World {
    /// What it follows.
    pub plan: Plan,
    /// The time.
    pub now: Us,
    queue: BTreeMap<(Us, usize, u64), Happening>,
    sequence: u64,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The disks.
    pub disks: Vec<Disk>,
    /// What happened.
    pub trace: Trace,
    /// How much of it.
    pub figures: Figures,
    /// Steps since time last moved.
    still: u32,
}

/// How much longer than planned the world goes on while somebody tries to start a region in vain, and in which steps.
const PATIENCE: Us = 600 * SEC;
const MORE: Us = 20 * SEC;
/// Steps in one moment after which the world is said to hang.
const STILL: u32 = 200_000;

/// Runs a plan.
pub fn run(plan: &Plan) -> Result<Figures, Violation> {
    let mut world = World::new(plan, false);
    world.run()?;
    Ok(world.figures)
}

/// Runs a plan, and keeps the text.
pub fn run_traced(plan: &Plan) -> (Result<Figures, Violation>, Trace) {
    let mut world = World::new(plan, true);
    let result = world.run();
    (result.map(|()| world.figures), world.trace)
}

impl World {
    /// Nothing has happened yet.
    pub fn new(plan: &Plan, traced: bool) -> Self {
        let mut world = Self {
            plan: plan.clone(),
            now: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            nodes: (0..plan.nodes).map(|number| Node::new(number, plan.seed)).collect(),
            disks: (0..plan.regions).map(|_| Disk::new(plan.nodes.into())).collect(),
            trace: Trace::new(traced),
            figures: Figures::default(),
            still: 0,
        };
        for n in 0..world.nodes.len() {
            let at = world.nodes[n].rng.below(plan.spread);
            world.schedule(at, n, Happening::Boot);
        }
        for (number, fault) in plan.faults.iter().enumerate() {
            let (node, at) = match *fault {
                Fault::Crash { node, at, .. }
                | Fault::Shutdown { node, at, .. }
                | Fault::Pause { node, at, .. }
                | Fault::Slow { node, at, .. }
                | Fault::Jump { node, at, .. }
                | Fault::Remake { node, at, .. } => (node, at),
                Fault::Disk { at, .. } => (0, at),
                Fault::Config { .. } => continue,
            };
            // A fault of a node that a shrunk plan has no more.
            if node < plan.nodes {
                world.schedule(at, node.into(), Happening::Fault(number));
            }
        }
        world
    }

    /// Until the end, or the first violation.
    pub fn run(&mut self) -> Checked {
        let planned = self.plan.length;
        loop {
            while self.step()? {}
            self.now = self.plan.length;
            // The more come at once, the longer it takes until the last of them finds quiet beats.
            let trying = self.nodes.iter().flat_map(|node| &node.regions).any(|region| region.failures > 0);
            if !trying || self.now >= planned + PATIENCE {
                return self.check_end();
            }
            self.plan.length += MORE;
        }
    }

    /// The earliest of what is due: first by time, then by node.
    fn step(&mut self) -> Result<bool, Violation> {
        let queued = self.queue.keys().next().copied();
        let wakes = self.nodes.iter().enumerate().filter_map(|(n, node)| Some((node.wake?, n)));
        let wake = wakes.min();
        let (at, n, timeout) = match (queued, wake) {
            (Some((at, n, _)), Some(wake)) if (at, n) <= wake => (at, n, false),
            (_, Some((at, n))) => (at, n, true),
            (Some((at, n, _)), None) => (at, n, false),
            (None, None) => return Ok(false),
        };
        if at >= self.plan.length {
            return Ok(false);
        }
        self.still = if at > self.now { 0 } else { self.still + 1 };
        if self.still > STILL {
            return Err(broken("time goes on", format!("node {n} has been busy for {STILL} steps")));
        }
        self.now = self.now.max(at);
        if timeout {
            self.timeout(n)?;
        } else if let Some((_, happening)) = self.queue.pop_first() {
            self.happen(n, happening)?;
        }
        Ok(true)
    }

    /// Puts something into the future.
    pub fn schedule(&mut self, at: Us, n: usize, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, n, self.sequence), happening);
    }

    /// Something will come to a node.
    pub fn later(&mut self, wait: Us, n: usize, incarnation: u32, mail: Mail) {
        self.schedule(self.now + wait, n, Happening::Mail(incarnation, mail));
    }

    fn happen(&mut self, n: usize, happening: Happening) -> Checked {
        match happening {
            Happening::Boot => self.boot(n),
            Happening::Fault(number) => self.fault(number),
            Happening::Resume => self.resume(n),
            Happening::Land(mut flight) => {
                self.land(&mut flight);
                Ok(())
            }
            Happening::Done(flight) => self.done(n, flight),
            Happening::Mail(incarnation, mail) => self.receive(n, incarnation, mail),
        }
    }

    fn fault(&mut self, number: usize) -> Checked {
        let fault = self.plan.faults[number];
        self.trace.line(self.now, 0, format_args!("fault {number}: {fault:?}"));
        match fault {
            Fault::Crash { node, back, .. } => {
                self.nodes[usize::from(node)].die();
                self.schedule(back, node.into(), Happening::Boot);
                Ok(())
            }
            Fault::Shutdown { node, back, .. } => {
                let n = usize::from(node);
                let incarnation = self.nodes[n].incarnation;
                self.reach(n, incarnation, Mail::Shutdown(back))
            }
            Fault::Pause { node, end, .. } => {
                let n = usize::from(node);
                if self.nodes[n].engine.is_some() {
                    self.nodes[n].paused = self.nodes[n].paused.max(end);
                    self.nodes[n].wake = None;
                    self.schedule(end, n, Happening::Resume);
                }
                Ok(())
            }
            Fault::Jump { node, by, .. } => {
                let node = &mut self.nodes[usize::from(node)];
                node.wall += by;
                node.jumped = Some(self.now);
                Ok(())
            }
            Fault::Disk { disk, how, .. } => {
                if let (Bad::StaleRead, Some(disk)) = (how, self.disks.get_mut(usize::from(disk))) {
                    disk.keep(number);
                }
                Ok(())
            }
            Fault::Remake { node, region, wait, .. } => {
                let (n, region) = (usize::from(node), usize::from(region));
                let incarnation = self.nodes[n].incarnation;
                if region < self.disks.len() {
                    return self.reach(n, incarnation, Mail::Remove(region, wait));
                }
                Ok(())
            }
            Fault::Slow { .. } | Fault::Config { .. } => Ok(()),
        }
    }

    /// How late everything reaches a node now.
    fn late(&self, n: usize) -> Us {
        let late = |fault: &Fault| match *fault {
            Fault::Slow { node, at, end, by } if usize::from(node) == n && (at..end).contains(&self.now) => {
                by
            }
            _ => 0,
        };
        self.plan.faults.iter().map(late).max().unwrap_or(0)
    }

    /// Something comes to a node, sooner or later.
    pub fn reach(&mut self, n: usize, incarnation: u32, mail: Mail) -> Checked {
        match self.late(n) {
            0 => self.receive(n, incarnation, mail),
            late => {
                self.later(late, n, incarnation, mail);
                Ok(())
            }
        }
    }

    fn receive(&mut self, n: usize, incarnation: u32, mail: Mail) -> Checked {
        let node = &mut self.nodes[n];
        if node.engine.is_none() || node.incarnation != incarnation {
            return Ok(());
        }
        if self.now < node.paused || !node.inbox.is_empty() {
            node.inbox.push_back(mail);
            return Ok(());
        }
        self.open(n, mail)
    }

    fn resume(&mut self, n: usize) -> Checked {
        if self.nodes[n].engine.is_none() || self.now < self.nodes[n].paused {
            return Ok(());
        }
        self.trace.line(self.now, n, format_args!("runs again"));
        if self.nodes[n].rng.chance(50) {
            self.timeout(n)?;
        }
        while let Some(mail) = self.nodes[n].inbox.pop_front() {
            self.open(n, mail)?;
        }
        if self.nodes[n].engine.is_some() { self.timeout(n) } else { Ok(()) }
    }

    fn open(&mut self, n: usize, mail: Mail) -> Checked {
        match mail {
            Mail::Disk(flight) => self.disk(n, flight),
            Mail::Told(event) => {
                self.nodes[n].telling = false;
                self.input(n, Input::Delivered { consumer: ConsumerId(1), event }, Served::Nothing)
            }
            Mail::Start(region) => self.start(n, region),
            Mail::Make(region) => {
                self.make(n, region)?;
                self.start(n, region)
            }
            Mail::Remove(region, wait) => self.remove(n, region, wait),
            Mail::Shutdown(back) => {
                self.schedule(back.max(self.now), n, Happening::Boot);
                self.nodes[n].ending = true;
                self.input(n, Input::Shutdown, Served::Nothing)?;
                check(self.nodes[n].requests.is_empty(), "who ends answers everybody at once", || {
                    format!("node {n} owes {:?}", self.nodes[n].requests)
                })
            }
        }
    }

    fn disk(&mut self, n: usize, flight: Flight) -> Checked {
        let Flight { item: disk, session, op, region, deed, fails, .. } = flight;
        let node = &mut self.nodes[n];
        node.busy.remove(&session);
        if node.open.get(&disk) != Some(&session) {
            return Ok(());
        }
        let failed = Errno::EIO;
        match deed {
            Deed::Open(generation) => {
                let info = DiskInfo {
                    name: format!("sd{region}"),
                    sector_bytes: 512,
                    regular_file: false,
                    generation,
                    pid: 1000 + region as u32,
                };
                let result = if fails { Err(Refusal::System(failed)) } else { Ok(info) };
                let served = Served::Opened(region, (!fails).then_some(generation));
                self.input(n, Input::Disk(disk, DiskResult::Opened(result)), served)
            }
            Deed::Read { first, found, stale, .. } => {
                let found = found.filter(|_| !fails);
                let bytes = found.clone();
                let result = bytes.as_deref().ok_or(failed);
                self.input(
                    n,
                    Input::Disk(disk, DiskResult::Read(op, result)),
                    Served::Read(region, first, found, stale),
                )
            }
            Deed::Write { .. } => {
                let result = if fails { Err(failed) } else { Ok(()) };
                let served = match node.farewells.get_mut(&disk) {
                    Some((_, farewell)) => {
                        if *farewell == super::node::Farewell::Written {
                            *farewell = super::node::Farewell::Answered;
                        }
                        Served::Nothing
                    }
                    None => Served::Written(region, !fails),
                };
                self.input(n, Input::Disk(disk, DiskResult::Written(op, result)), served)
            }
        }
    }

    fn timeout(&mut self, n: usize) -> Checked {
        self.trace.line(self.now, n, format_args!("timeout"));
        let must = self.expire(n);
        let node = &mut self.nodes[n];
        let clocks = node.now(self.now);
        let Some(engine) = &mut node.engine else { return Ok(()) };
        engine.handle_timeout(clocks);
        let actions: Vec<_> = std::iter::from_fn(|| engine.poll_action()).collect();
        let next = engine.poll_timeout();
        self.carry_out(n, actions, Served::Nothing, must)?;
        match next {
            Some(next) if next <= clocks.mono => {
                Err(broken("no timer stays in the past", format!("node {n}: {next:?} at {clocks:?}")))
            }
            _ => Ok(()),
        }
    }

    /// Hands an input to an engine, and does what it wants then.
    pub fn input(&mut self, n: usize, input: Input<'_>, served: Served) -> Checked {
        if self.trace.wanted() {
            match &input {
                Input::Disk(disk, DiskResult::Read(op, result)) => {
                    let sum = result.map(|bytes| {
                        bytes.iter().fold(0u64, |sum, byte| sum * 31 % 65_521 + u64::from(*byte))
                    });
                    self.trace.line(self.now, n, format_args!("< Disk({disk:?}, Read({op:?}, sum {sum:?}))"));
                }
                input => self.trace.line(self.now, n, format_args!("< {input:?}")),
            }
        }
        let must = self.expire(n);
        let node = &mut self.nodes[n];
        let clocks = node.now(self.now);
        let Some(engine) = &mut node.engine else { return Ok(()) };
        engine.handle(clocks, input);
        let actions: Vec<Action> = std::iter::from_fn(|| engine.poll_action()).collect();
        self.carry_out(n, actions, served, must)
    }

    /// When the node is to be called next.
    pub fn set_wake(&mut self, n: usize) {
        let late = self.late(n);
        let node = &mut self.nodes[n];
        let due = node.engine.as_ref().and_then(|engine| engine.poll_timeout());
        node.wake = due.filter(|_| self.now >= node.paused).map(|due| node.world(due) + late);
    }

    /// A node that fenced itself starts again some time later.
    pub fn fenced(&mut self, n: usize) {
        self.figures.fences += 1;
        let back = self.now + 5 * SEC + self.nodes[n].rng.below(30 * SEC) + MS;
        self.nodes[n].die();
        self.schedule(back, n, Happening::Boot);
    }
}
