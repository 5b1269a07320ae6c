//! Performing an engine's actions, and the invariants of each action by itself.

use uo2cb_core::heartbeat::disk::{Block, DiskRequest};
use uo2cb_core::heartbeat::{Edge, Event};
use uo2cb_core::{Action, ItemId, OpId};

use super::MS;
use super::holder::HOLDER;
use super::invariants::{Checked, Violation, broken, check};
use super::io::{Io, IoKind, Persisted};
use super::node::{LastBlock, NodeEvent};
use super::reference::BeatWrite;
use super::world::{Completion, SimEvent, World};

/// Without faults all nodes are connected by then.
const QUIET: super::Us = 120 * super::SEC;

impl World {
    /// Performs one action of an engine.
    pub fn perform(&mut self, n: usize, action: Action) -> Checked {
        let incarnation = self.nodes[n].incarnation;
        match action {
            Action::Deliver { consumer: HOLDER, event } => self.deliver_to_holder(n, &event),
            Action::Deliver { event, .. } => self.deliver(n, &event),
            Action::Listen { request, address, port, .. } => {
                self.nodes[n].listens = Some((address.0, port));
                self.input(n, uo2cb_core::Input::Listening { request, result: Ok(()) }, Completion::None)
            }
            Action::Disk(disk, DiskRequest::Open { .. }) => {
                let generation = self.nodes[n].rng.number() | 1;
                let session = self.nodes[n].rng.number();
                self.nodes[n].open.insert(disk, session);
                self.submit_io(n, disk, OpId(0), IoKind::Open(generation)).map(|_| ())
            }
            Action::Disk(disk, DiskRequest::Read { op, first, count }) => {
                let node = &self.nodes[n];
                let inside = first + count <= node.blocks;
                let region = node.region_of(disk);
                check(inside, "no slot beyond the region", || {
                    format!("node {n} reads {count} from {first}")
                })?;
                if let Some(region) = region {
                    self.check_beat_time(n, region)?;
                }
                let (first, count) = (first as usize, count as usize);
                self.submit_io(n, disk, op, IoKind::Read { first, count, found: None, stale: false })
                    .map(|_| ())
            }
            Action::Disk(disk, DiskRequest::Write { op, slot, block }) => {
                self.write_slot(n, disk, op, slot, block)
            }
            Action::Disk(disk, DiskRequest::Close) => {
                self.nodes[n].open.remove(&disk);
                Ok(())
            }
            Action::Stopped => {
                let node = &mut self.nodes[n];
                let written = node.last_blocks.values().all(|(_, last_block)| *last_block == LastBlock::Done);
                check(written && node.ending, "a stopped region wrote its last block", || {
                    format!("node {n} has stopped")
                })?;
                check(node.requests.is_empty(), "one answer to a request", || {
                    format!("node {n} has not answered all")
                })?;
                node.halt();
                self.sockets_gone(n, true);
                Ok(())
            }
            Action::Note(note @ (uo2cb_core::Note::Net(_) | uo2cb_core::Note::Quorum(_)))
            | Action::Watched(_, note)
                if self.plan.faults.is_empty() && self.now > QUIET =>
            {
                Err(broken("a quiet cluster says nothing", format!("node {n}: {note}")))
            }
            Action::Note(note) => {
                let error = match &note {
                    uo2cb_core::Note::Disk { note, .. } => note.is_error(),
                    _ => false,
                };
                check(!error || !self.plan.faults.is_empty(), "without faults nothing fails", || {
                    format!("node {n} incarnation {incarnation}: {note:?}")
                })
            }
            Action::Net(request) => self.net_request(n, request),
            Action::StopListening => {
                self.nodes[n].listens = None;
                Ok(())
            }
            Action::Reply { .. }
            | Action::Expelled { .. }
            | Action::Watched(..)
            | Action::Changed { .. }
            | Action::Fence { .. } => Ok(()),
        }
    }

    fn write_slot(&mut self, n: usize, disk: ItemId, op: OpId, slot: u32, block: Block) -> Checked {
        let node = &mut self.nodes[n];
        let region = node.region_of(disk).filter(|region| node.regions[*region].run.is_some());
        let (place, generation) = match (region, node.last_blocks.get_mut(&disk)) {
            (_, Some((place, last_block))) => {
                *last_block = LastBlock::Submitted;
                (*place, 0)
            }
            (Some(region), None) => {
                (region, node.regions[region].run.as_ref().map_or(0, |run| run.generation))
            }
            (None, None) => {
                return Err(broken("a stopped region writes nothing", format!("node {n} writes {block:?}")));
            }
        };
        let dead_ms = node.dead_threshold * 2000;
        let right = Block { seq: block.seq, node: node.own, generation, dead_ms };
        check(slot == u32::from(node.own), "a node writes only its own slot", || {
            format!("node {n} writes {slot}")
        })?;
        check(block == right, "a block has the right fields", || {
            format!("node {n}: {block:?}, not {right:?}")
        })?;
        self.check_seq(n, place, &block)?;
        let kind = IoKind::Write { slot: slot as usize, block, persisted: Persisted::Whole };
        let visible = self.submit_io(n, disk, op, kind)?;
        let issued = self.now;
        if let Some(run) = region.and_then(|region| self.nodes[n].regions[region].run.as_mut()) {
            run.write = Some(BeatWrite { issued, visible });
        }
        Ok(())
    }

    fn submit_io(&mut self, n: usize, item: ItemId, op: OpId, kind: IoKind) -> Result<bool, Violation> {
        let node = &mut self.nodes[n];
        let session = node.open.get(&item).copied();
        let session =
            session.ok_or_else(|| broken("no request to a closed disk", format!("node {n} {kind:?}")))?;
        check(node.busy.insert(session), "one request to a disk at a time", || format!("node {n} {kind:?}"))?;
        let region = node.region_of(item).or_else(|| node.last_blocks.get(&item).map(|(region, _)| *region));
        let Some(region) = region else {
            // A beat that was due at the shutdown: the same call gives it up.
            check(node.ending, "no request to a closed disk", || format!("node {n} {kind:?}"))?;
            return Ok(true);
        };
        let incarnation = node.incarnation;
        let io = Io { incarnation, item, session, region, op, kind, fails: false };
        Ok(self.submit(n, io))
    }

    /// Delivers an event to the node's consumer.
    fn deliver(&mut self, n: usize, event: &Event) -> Checked {
        self.figures.events += 1;
        let node = &mut self.nodes[n];
        let (edge, num) = (event.edge, event.node.num.get());
        let next = node.expected.pop_front();
        check(next == Some((edge, num)), "each event once and in order", || {
            format!("node {n} delivers {edge} {num}, not {next:?}")
        })?;
        let changes = match edge {
            Edge::Up => node.delivered.insert(num),
            Edge::Down => node.delivered.remove(&num),
        };
        let fits = changes
            && event.number == node.next_event
            && !node.delivering
            && event.region.is_some() == self.plan.user;
        check(fits, "each event once and in order", || format!("node {n}: {event:?}"))?;
        check(edge == Edge::Up || !self.plan.faults.is_empty(), "without faults nothing fails", || {
            format!("node {n}: {event}")
        })?;
        node.next_event += 1;
        node.delivering = true;
        let (wait, incarnation) = (MS / 10 + node.rng.below(20 * MS), node.incarnation);
        self.schedule(self.now + wait, n, SimEvent::Node(incarnation, NodeEvent::Delivered(event.number)));
        Ok(())
    }
}
