//! What faults do to nodes, and how events reach a node: late while it is slow, and not before its pause ends.

use uo2cb_core::heartbeat::disk::{DiskInfo, DiskResult};
use uo2cb_core::{ConsumerId, Errno, Input, Refusal};

use super::faults::{DiskFault, Fault};
use super::invariants::{Checked, check};
use super::io::{Io, IoKind};
use super::node::{LastBlock, NodeEvent};
use super::world::{Completion, SimEvent, World};
use super::{MS, SEC, Us};

impl World {
    /// Starts a fault of the plan.
    pub fn begin_fault(&mut self, number: usize) -> Checked {
        let fault = self.plan.faults[number];
        self.trace.line(self.now, 0, format_args!("fault {number}: {fault:?}"));
        match fault {
            Fault::Crash { node, restart_at, .. } => {
                self.nodes[usize::from(node)].halt();
                self.sockets_gone(node.into(), false);
                self.schedule(restart_at, node.into(), SimEvent::Boot);
                Ok(())
            }
            Fault::Shutdown { node, restart_at, .. } => {
                let n = usize::from(node);
                let incarnation = self.nodes[n].incarnation;
                self.dispatch(n, incarnation, NodeEvent::Shutdown(restart_at))
            }
            Fault::Pause { node, end, .. } => {
                let n = usize::from(node);
                if self.nodes[n].engine.is_some() {
                    self.nodes[n].paused = self.nodes[n].paused.max(end);
                    self.nodes[n].wake = None;
                    self.schedule(end, n, SimEvent::Resume);
                }
                Ok(())
            }
            Fault::ClockJump { node, seconds, .. } => {
                self.nodes[usize::from(node)].wall_offset += seconds;
                Ok(())
            }
            Fault::Disk { disk, kind, .. } => {
                if let (DiskFault::StaleRead, Some(disk)) = (kind, self.disks.get_mut(usize::from(disk))) {
                    disk.copy(number);
                }
                Ok(())
            }
            Fault::Recreate { node, region, wait, .. } => {
                let (n, region) = (usize::from(node), usize::from(region));
                let incarnation = self.nodes[n].incarnation;
                if region < self.disks.len() {
                    return self.dispatch(n, incarnation, NodeEvent::Remove(region, wait));
                }
                Ok(())
            }
            Fault::Break { a, b, .. } => {
                self.break_next(a.into(), b.into());
                Ok(())
            }
            Fault::Leave { node, other, end, .. } => {
                if !self.plan.user {
                    return Ok(());
                }
                let n = usize::from(node);
                let incarnation = self.nodes[n].incarnation;
                self.schedule(end, n, SimEvent::Node(incarnation, NodeEvent::Link(other, true)));
                self.dispatch(n, incarnation, NodeEvent::Link(other, false))
            }
            Fault::Cut { .. } | Fault::Partition { .. } => {
                self.begin_cut();
                Ok(())
            }
            Fault::Slow { .. }
            | Fault::Clock { .. }
            | Fault::Config { .. }
            | Fault::Delay { .. }
            | Fault::Filtered { .. } => Ok(()),
        }
    }

    /// By how much events and timers reach a node late now.
    pub fn slowdown(&self, n: usize) -> Us {
        let delay = |fault: &Fault| match *fault {
            Fault::Slow { node, at, end, delay }
                if usize::from(node) == n && (at..end).contains(&self.now) =>
            {
                delay
            }
            _ => 0,
        };
        self.plan.faults.iter().map(delay).max().unwrap_or(0)
    }

    /// Sends an event to an incarnation of a node; it arrives late while the node is slow.
    pub fn dispatch(&mut self, n: usize, incarnation: u32, event: NodeEvent) -> Checked {
        match self.slowdown(n) {
            0 => self.receive(n, incarnation, event),
            delay => {
                self.schedule_after(delay, n, incarnation, event);
                Ok(())
            }
        }
    }

    /// An event arrives; a paused node takes it when it runs again.
    pub fn receive(&mut self, n: usize, incarnation: u32, event: NodeEvent) -> Checked {
        let node = &mut self.nodes[n];
        if node.engine.is_none() || node.incarnation != incarnation {
            return Ok(());
        }
        if self.now < node.paused || !node.queued.is_empty() {
            node.queued.push_back(event);
            return Ok(());
        }
        self.process(n, event)
    }

    /// The end of a pause: its timers and the events that came meanwhile, in either order.
    pub fn resume(&mut self, n: usize) -> Checked {
        if self.nodes[n].engine.is_none() || self.now < self.nodes[n].paused {
            return Ok(());
        }
        self.trace.line(self.now, n, format_args!("runs again"));
        if self.nodes[n].rng.chance(50) {
            self.timeout(n)?;
        }
        while let Some(event) = self.nodes[n].queued.pop_front() {
            self.process(n, event)?;
        }
        if self.nodes[n].engine.is_some() { self.timeout(n) } else { Ok(()) }
    }

    /// Handles an event of a node that runs.
    fn process(&mut self, n: usize, event: NodeEvent) -> Checked {
        match event {
            NodeEvent::IoDone(io) => self.io_done(n, io),
            NodeEvent::Delivered(event) => {
                self.nodes[n].delivering = false;
                self.input(n, Input::Delivered { consumer: ConsumerId(1), event }, Completion::None)
            }
            NodeEvent::Hold(region) => self.hold(n, region),
            NodeEvent::Release => self.release(n),
            NodeEvent::DeliveredToHolder(event) => self.delivered_to_holder(n, event),
            NodeEvent::Start(region) => self.start(n, region),
            NodeEvent::Make(region) => {
                self.make(n, region)?;
                self.start(n, region)
            }
            NodeEvent::Remove(region, wait) => self.remove(n, region, wait),
            NodeEvent::Link(num, there) => self.link(n, num, there),
            NodeEvent::Net(number, side) => self.net_happened(n, number, side),
            NodeEvent::Shutdown(restart_at) => {
                self.schedule(restart_at.max(self.now), n, SimEvent::Boot);
                self.nodes[n].ending = true;
                self.input(n, Input::Shutdown, Completion::None)?;
                check(self.nodes[n].requests.is_empty(), "a shutdown answers every request at once", || {
                    format!("node {n} has not answered {:?}", self.nodes[n].requests)
                })
            }
        }
    }

    fn io_done(&mut self, n: usize, io: Io) -> Checked {
        let Io { item: disk, session, op, region, kind, fails, .. } = io;
        let node = &mut self.nodes[n];
        node.busy.remove(&session);
        if node.open.get(&disk) != Some(&session) {
            return Ok(());
        }
        let failed = Errno::EIO;
        match kind {
            IoKind::Open(generation) => {
                let info = DiskInfo {
                    name: format!("sd{region}"),
                    sector_bytes: 512,
                    regular_file: false,
                    generation,
                    pid: 1000 + region as u32,
                };
                let result = if fails { Err(Refusal::System(failed)) } else { Ok(info) };
                let completion = Completion::Opened(region, (!fails).then_some(generation));
                self.input(n, Input::Disk(disk, DiskResult::Opened(result)), completion)
            }
            IoKind::Read { first, found, stale, .. } => {
                let found = found.filter(|_| !fails);
                let bytes = found.clone();
                let result = bytes.as_deref().ok_or(failed);
                self.input(
                    n,
                    Input::Disk(disk, DiskResult::Read(op, result)),
                    Completion::Read(region, first, found, stale),
                )
            }
            IoKind::Write { .. } => {
                let result = if fails { Err(failed) } else { Ok(()) };
                let completion = match node.last_blocks.get_mut(&disk) {
                    Some((_, last_block)) => {
                        if *last_block == LastBlock::Submitted {
                            *last_block = LastBlock::Done;
                        }
                        Completion::None
                    }
                    None => Completion::Written(region, !fails),
                };
                self.input(n, Input::Disk(disk, DiskResult::Written(op, result)), completion)
            }
        }
    }

    /// A node that has fenced itself is gone, and boots again some time later.
    pub fn fenced(&mut self, n: usize) {
        self.figures.fences += 1;
        self.fences.push((self.now, n));
        let restart_at = self.now + 5 * SEC + self.nodes[n].rng.below(30 * SEC) + MS;
        let powered = self.plan.exits;
        self.nodes[n].halt();
        self.sockets_gone(n, powered);
        self.schedule(restart_at, n, SimEvent::Boot);
    }
}
