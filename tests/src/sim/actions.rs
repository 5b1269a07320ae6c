//! Carrying out what an engine wants, and what must hold of each action by itself.

use uo2cb_core::heartbeat::disk::Block;
use uo2cb_core::heartbeat::{DiskRequest, Edge, Event};
use uo2cb_core::{Action, ItemId, OpId};

use super::MS;
use super::flight::{Deed, Flight, Left};
use super::invariants::{Checked, Violation, broken, check};
use super::node::{Farewell, Mail};
use super::reference::Claim;
use super::world::{Happening, Served, World};

impl World {
    /// Does one thing that an engine wants.
    pub fn act(&mut self, n: usize, action: Action) -> Checked {
        let incarnation = self.nodes[n].incarnation;
        match action {
            Action::Deliver { event, .. } => self.told(n, &event),
            Action::Listen { request, .. } => {
                self.input(n, uo2cb_core::Input::Listening { request, result: Ok(()) }, Served::Nothing)
            }
            Action::Disk(disk, DiskRequest::Open { .. }) => {
                let generation = self.nodes[n].rng.number() | 1;
                let session = self.nodes[n].rng.number();
                self.nodes[n].open.insert(disk, session);
                self.fly(n, disk, OpId(0), Deed::Open(generation)).map(|_| ())
            }
            Action::Disk(disk, DiskRequest::Read { op, first, count }) => {
                let now = self.now;
                let node = &mut self.nodes[n];
                let inside = first + count <= node.blocks;
                let run = node.region_of(disk).and_then(|region| node.regions[region].run.as_mut());
                check(inside, "no slot beyond the region", || {
                    format!("node {n} reads {count} from {first}")
                })?;
                if let Some(run) = run {
                    run.began = now;
                }
                let (first, count) = (first as usize, count as usize);
                self.fly(n, disk, op, Deed::Read { first, count, found: None, stale: false }).map(|_| ())
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
                let said = node.farewells.values().all(|(_, farewell)| *farewell == Farewell::Answered);
                check(said && node.ending, "who stops says so", || format!("node {n} has stopped"))?;
                check(node.requests.is_empty(), "one answer to a request", || format!("node {n} owes some"))?;
                node.die();
                Ok(())
            }
            Action::Note(note) => {
                let uneasy = match &note {
                    uo2cb_core::Note::Disk { note, .. } => note.is_error(),
                    _ => false,
                };
                check(!uneasy || !self.plan.faults.is_empty(), "a quiet cluster stays quiet", || {
                    format!("node {n} incarnation {incarnation}: {note:?}")
                })
            }
            Action::Reply { .. }
            | Action::Expelled { .. }
            | Action::Changed { .. }
            | Action::StopListening
            | Action::Fence { .. } => Ok(()),
        }
    }

    fn write_slot(&mut self, n: usize, disk: ItemId, op: OpId, slot: u32, block: Block) -> Checked {
        let node = &mut self.nodes[n];
        let region = node.region_of(disk).filter(|region| node.regions[*region].run.is_some());
        let generation = match (region, node.farewells.get_mut(&disk)) {
            (_, Some((_, farewell))) => {
                *farewell = Farewell::Written;
                0
            }
            (Some(region), None) => node.regions[region].run.as_ref().map_or(0, |run| run.generation),
            (None, None) => {
                return Err(broken("who has stopped is silent", format!("node {n} writes {block:?}")));
            }
        };
        let dead_ms = node.dead_threshold * 2000;
        let right = Block { seq: node.seq(self.now), node: node.own, generation, dead_ms };
        check(slot == u32::from(node.own), "no slot but the own one", || format!("node {n} writes {slot}"))?;
        check(block == right, "a block says what is", || format!("node {n}: {block:?}, not {right:?}"))?;
        let deed = Deed::Write { slot: slot as usize, block, left: Left::Whole };
        let honest = self.fly(n, disk, op, deed)?;
        let issued = self.now;
        if let Some(run) = region.and_then(|region| self.nodes[n].regions[region].run.as_mut()) {
            run.claim = Some(Claim { issued, honest });
        }
        Ok(())
    }

    fn fly(&mut self, n: usize, item: ItemId, op: OpId, deed: Deed) -> Result<bool, Violation> {
        let node = &mut self.nodes[n];
        let session = node.open.get(&item).copied();
        let session =
            session.ok_or_else(|| broken("a closed disk is left alone", format!("node {n} {deed:?}")))?;
        check(node.busy.insert(session), "one request to a disk", || format!("node {n} {deed:?}"))?;
        let region = node.region_of(item).or_else(|| node.farewells.get(&item).map(|(region, _)| *region));
        let Some(region) = region else {
            // Its beat was due when it was told to end, and is given up by the same call.
            check(node.ending, "a closed disk is left alone", || format!("node {n} {deed:?}"))?;
            return Ok(true);
        };
        let incarnation = node.incarnation;
        let flight = Flight { incarnation, item, session, region, op, deed, fails: false };
        Ok(self.launch(n, flight))
    }

    /// The consumer hears of an event.
    fn told(&mut self, n: usize, event: &Event) -> Checked {
        self.figures.events += 1;
        let node = &mut self.nodes[n];
        let (edge, num) = (event.edge, event.node.num.get());
        let next = node.expected.pop_front();
        check(next == Some((edge, num)), "each event once and in order", || {
            format!("node {n} tells of {edge} {num}, not {next:?}")
        })?;
        let changes = match edge {
            Edge::Up => node.told.insert(num),
            Edge::Down => node.told.remove(&num),
        };
        let fits = changes && event.number == node.next_event && !node.telling && event.region.is_none();
        check(fits, "each event once and in order", || format!("node {n}: {event:?}"))?;
        check(edge == Edge::Up || !self.plan.faults.is_empty(), "a quiet cluster stays quiet", || {
            format!("node {n}: {event}")
        })?;
        node.next_event += 1;
        node.telling = true;
        let (wait, incarnation) = (MS / 10 + node.rng.below(20 * MS), node.incarnation);
        self.schedule(self.now + wait, n, Happening::Mail(incarnation, Mail::Told(event.number)));
        Ok(())
    }
}
