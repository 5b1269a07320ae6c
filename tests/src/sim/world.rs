//! The simulation: its queue of events, in the order of virtual time, and the calls of engines.

use std::collections::BTreeMap;

use uo2cb_core::heartbeat::disk::DiskResult;
use uo2cb_core::{Action, Input};

use super::disk::Disk;
use super::faults::{Fault, Plan};
use super::invariants::{Checked, Violation, broken};
use super::io::Io;
use super::node::{Node, NodeEvent};
use super::tcp::{Packet, Tcp};
use super::trace::Trace;
use super::{SEC, Us};

/// An event of the simulation, due at a moment and for a node.
#[derive(Clone, Debug)]
pub enum SimEvent {
    /// The node boots.
    Boot,
    /// The fault of this number begins.
    Fault(usize),
    /// A cut of the network is judged.
    Judge,
    /// The node's pause ends.
    Resume,
    /// A disk does a request that completes later.
    Apply(Io),
    /// A request completes; what is left of it is done.
    Complete(Io),
    /// Something happens to the connection of this number.
    Packet(u64, Packet),
    /// An event for this incarnation of the node.
    Node(u32, NodeEvent),
}

/// The disk request whose completion an input carries, as the checks need it.
#[derive(Debug)]
pub enum Completion {
    /// The input is no completion.
    None,
    /// An open: region; generation if it succeeded.
    Opened(usize, Option<u64>),
    /// A read: region; first slot; bytes if it succeeded; whether they are an old copy.
    Read(usize, usize, Option<Vec<u8>>, bool),
    /// A write: region; whether it succeeded.
    Written(usize, bool),
}

/// Counts of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Calls of engines.
    pub steps: u64,
    /// Good beats.
    pub beats: u64,
    /// Events delivered to consumers.
    pub events: u64,
    /// Nodes that fenced themselves.
    pub fences: u64,
    /// Verdicts that a node is silent in a region.
    pub silences: u64,
    /// Messages that were sent.
    pub messages: u64,
    /// How often a master gave time to nodes whose writes hang.
    pub extensions: u64,
    /// Cuts of the network that were judged.
    pub judged: u64,
    /// Decisions of quorum.
    pub decisions: u64,
}

impl Figures {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.beats += other.beats;
        self.events += other.events;
        self.fences += other.fences;
        self.silences += other.silences;
        self.messages += other.messages;
        self.decisions += other.decisions;
        self.judged += other.judged;
        self.extensions += other.extensions;
    }
}

/// A cluster in virtual time.
#[derive(Debug)]
pub struct World {
    /// The plan of the run.
    pub plan: Plan,
    /// Virtual time.
    pub now: Us,
    queue: BTreeMap<(Us, usize, u64), SimEvent>,
    sequence: u64,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The disks.
    pub disks: Vec<Disk>,
    /// The connections, by number.
    pub tcps: BTreeMap<u64, Tcp>,
    /// The last number.
    pub last_tcp: u64,
    /// Lines of the logs, if the text of the run is wanted.
    pub said: Vec<(Us, usize, String)>,
    /// When which node fenced itself.
    pub fences: Vec<(Us, usize)>,
    /// When which node fenced itself by quorum.
    pub quorum_fences: Vec<(Us, usize)>,
    /// The cut that is judged.
    pub judged: Option<super::cuts::Judged>,
    /// The run as text.
    pub trace: Trace,
    /// Its counts.
    pub figures: Figures,
    /// Steps since virtual time last advanced.
    steps_now: u32,
}

/// By how much a run is extended at most while a node cannot start a region, and by how much at a time.
const MAX_EXTENSION: Us = 600 * SEC;
const EXTENSION: Us = 20 * SEC;
/// More steps than this at one moment are a livelock.
const MAX_STEPS_AT_ONCE: u32 = 200_000;

/// Runs a plan.
pub fn run(plan: &Plan) -> Result<Figures, Violation> {
    let mut world = World::new(plan, false);
    world.run()?;
    Ok(world.figures)
}

/// Runs a plan, and keeps its trace.
pub fn run_traced(plan: &Plan) -> (Result<Figures, Violation>, Trace) {
    let mut world = World::new(plan, true);
    let result = world.run();
    (result.map(|()| world.figures), world.trace)
}

impl World {
    /// Before the first event.
    pub fn new(plan: &Plan, traced: bool) -> Self {
        let mut world = Self {
            plan: plan.clone(),
            now: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            nodes: (0..plan.nodes).map(|number| Node::new(number, plan.seed)).collect(),
            disks: (0..plan.regions).map(|_| Disk::new(plan.nodes.into())).collect(),
            tcps: BTreeMap::new(),
            last_tcp: 0,
            said: Vec::new(),
            fences: Vec::new(),
            quorum_fences: Vec::new(),
            judged: None,
            trace: Trace::new(traced),
            figures: Figures::default(),
            steps_now: 0,
        };
        for n in 0..world.nodes.len() {
            let at = world.nodes[n].rng.below(plan.start_spread);
            world.schedule(at, n, SimEvent::Boot);
        }
        for (number, fault) in plan.faults.iter().enumerate() {
            let (node, at) = match *fault {
                Fault::Crash { node, at, .. }
                | Fault::Shutdown { node, at, .. }
                | Fault::Pause { node, at, .. }
                | Fault::Slow { node, at, .. }
                | Fault::ClockJump { node, at, .. }
                | Fault::Clock { node, at, .. }
                | Fault::Filtered { node, at, .. }
                | Fault::Leave { node, at, .. }
                | Fault::Recreate { node, at, .. } => (node, at),
                Fault::Disk { at, .. } | Fault::Partition { at, .. } => (0, at),
                Fault::Cut { from, at, .. } | Fault::Delay { from, at, .. } => (from, at),
                Fault::Break { a, at, .. } => (a, at),
                Fault::Config { .. } => continue,
            };
            // A shrunk plan may have faults of nodes that it no longer has.
            if node < plan.nodes {
                world.schedule(at, node.into(), SimEvent::Fault(number));
            }
        }
        world
    }

    /// Runs until the end, or the first violation.
    pub fn run(&mut self) -> Checked {
        self.run_to_end().map_err(|violation| Violation { at: self.now, ..violation })
    }

    /// Runs until the end of the plan, whatever the state is then.
    pub fn play(&mut self) -> Checked {
        while self.step()? {}
        Ok(())
    }

    fn run_to_end(&mut self) -> Checked {
        let planned = self.plan.length;
        loop {
            while self.step()? {}
            self.now = self.plan.length;
            // The more nodes start at once, the longer they disturb each other's starts.
            let trying = self.nodes.iter().flat_map(|node| &node.regions).any(|region| region.failures > 0);
            let end = self.check_end();
            // A connection that was silent for long is heard of again as late as TCP sends again.
            let unconnected = end.as_ref().is_err_and(|_| self.plan.cuts_network());
            if !(trying || unconnected) || self.now >= planned + MAX_EXTENSION {
                return end;
            }
            self.plan.length += EXTENSION;
        }
    }

    /// Handles the earliest event or timer, by time and then by node. False: none is due before the end.
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
        self.steps_now = if at > self.now { 0 } else { self.steps_now + 1 };
        if self.steps_now > MAX_STEPS_AT_ONCE {
            return Err(broken(
                "virtual time advances",
                format!("node {n} is still called after {MAX_STEPS_AT_ONCE} steps"),
            ));
        }
        self.now = self.now.max(at);
        if timeout {
            self.timeout(n)?;
        } else if let Some((_, event)) = self.queue.pop_first() {
            self.handle(n, event)?;
        }
        Ok(true)
    }

    /// Schedules an event.
    pub fn schedule(&mut self, at: Us, n: usize, event: SimEvent) {
        self.sequence += 1;
        self.queue.insert((at, n, self.sequence), event);
    }

    /// Schedules an event of a node, `wait` from now.
    pub fn schedule_after(&mut self, wait: Us, n: usize, incarnation: u32, event: NodeEvent) {
        self.schedule(self.now + wait, n, SimEvent::Node(incarnation, event));
    }

    fn handle(&mut self, n: usize, event: SimEvent) -> Checked {
        match event {
            SimEvent::Boot => self.boot(n),
            SimEvent::Fault(number) => self.begin_fault(number),
            SimEvent::Judge => self.judge_cut(),
            SimEvent::Resume => self.resume(n),
            SimEvent::Apply(mut io) => {
                self.apply(&mut io);
                Ok(())
            }
            SimEvent::Complete(io) => self.complete(n, io),
            SimEvent::Packet(number, packet) => self.packet(number, packet),
            SimEvent::Node(incarnation, event) => self.receive(n, incarnation, event),
        }
    }

    /// Calls an engine because of its timer.
    pub fn timeout(&mut self, n: usize) -> Checked {
        self.trace.line(self.now, n, format_args!("timeout"));
        let must_fence = self.expire(n);
        let clocks = self.clocks(n);
        let Some(engine) = &mut self.nodes[n].engine else { return Ok(()) };
        engine.handle_timeout(clocks);
        let actions: Vec<_> = std::iter::from_fn(|| engine.poll_action()).collect();
        let next = engine.poll_timeout();
        self.carry_out(n, actions, Completion::None, must_fence)?;
        if self.nodes[n].engine.is_some() && self.looks_closely() {
            self.check_overdue(n)?;
        }
        match next {
            Some(next) if next <= clocks.mono => {
                Err(broken("no timer stays in the past", format!("node {n}: {next:?} at {clocks:?}")))
            }
            _ => Ok(()),
        }
    }

    /// Hands an input to an engine, and carries out its actions.
    pub fn input(&mut self, n: usize, input: Input<'_>, completion: Completion) -> Checked {
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
        let must_fence = self.expire(n);
        let clocks = self.clocks(n);
        let Some(engine) = &mut self.nodes[n].engine else { return Ok(()) };
        engine.handle(clocks, input);
        let actions: Vec<Action> = std::iter::from_fn(|| engine.poll_action()).collect();
        self.carry_out(n, actions, completion, must_fence)
    }

    /// Notes when the engine's earliest timer is due.
    pub fn set_wake(&mut self, n: usize) {
        let delay = self.slowdown(n);
        let node = &mut self.nodes[n];
        let due = node.engine.as_ref().and_then(|engine| engine.poll_timeout());
        node.wake = due.filter(|_| self.now >= node.paused).map(|due| node.virtual_time(due) + delay);
    }
}
