//! A whole node over two disks that do and hold anything: the rules of a beat, by what its driver sees.

use std::collections::BTreeMap;
use std::time::Duration;

use uo2cb_core::heartbeat::disk::Verdict;
use uo2cb_core::heartbeat::{DiskNote, DiskRequest, DiskResult, Edge, Event};
use uo2cb_core::tree::Op;
use uo2cb_core::{Action, ConsumerId, Errno, Input, ItemId, Note, OpId};

use super::bytes::{Bytes, SLOT, decode, spoil};
use super::history::History;
use super::rig::{Rig, info};

const PERIOD: Duration = Duration::from_secs(2);
const DEAD_THRESHOLD: u32 = 3;
const WRITE_TIMEOUT: Duration = Duration::from_secs(4);
const REGIONS: [&str; 2] = ["A", "B"];
/// Slots of a region, and configured nodes: who comes behind these is nobody.
const SLOTS: usize = 6;
const NODES: u8 = 4;

/// How a request to a disk ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Failed,
    /// A read is short, a write is lost.
    Lied,
}

/// A region as its driver sees it.
struct Place {
    disk: ItemId,
    slots: [History; SLOTS],
    /// The slots have been read once.
    baseline: bool,
    generation: u64,
    /// When the last beat began whose unchanged samples count, and whether the present one is such.
    counted: Option<Duration>,
    counts: bool,
    /// Whether the present beat found the own slot as written, and when it asked for its write.
    good: bool,
    issued: Duration,
    deadline: Option<Duration>,
    removed: bool,
}

impl Place {
    /// A region that does not beat.
    fn idle(disk: ItemId) -> Self {
        Self {
            disk,
            slots: Default::default(),
            baseline: false,
            generation: 0,
            counted: None,
            counts: false,
            good: false,
            issued: Duration::ZERO,
            deadline: None,
            removed: false,
        }
    }
}

struct World {
    rig: Rig,
    bytes: [[u8; SLOT * SLOTS]; 2],
    places: [Place; 2],
    /// In how many regions a node is live.
    members: BTreeMap<u8, u32>,
    expected: Vec<(Edge, u8)>,
    told: Vec<(Edge, u8)>,
    /// Lines about the own slot, by region.
    own_lines: [usize; 2],
    /// Requests that the disks have.
    asked: Vec<Action>,
    next_event: Option<u64>,
    opened: u64,
    fenced: bool,
}

/// An input: what happens to a node and its disks, one thing after the other.
pub fn beats(input: &[u8]) {
    let mut input = Bytes::new(input);
    let rig = Rig::new(NODES, &REGIONS, SLOTS as u32, DEAD_THRESHOLD);
    let places = REGIONS.map(|region| Place::idle(rig.dir(&format!("cluster/c/heartbeat/{region}"))));
    let mut world = World {
        rig,
        bytes: [[0; SLOT * SLOTS]; 2],
        places,
        members: BTreeMap::new(),
        expected: Vec::new(),
        told: Vec::new(),
        own_lines: [0; 2],
        asked: Vec::new(),
        next_event: None,
        opened: 0,
        fenced: false,
    };
    if input.below(2) == 1 {
        world.start(0);
        (0..6).for_each(|_| world.beat());
    }
    while let (false, Some(op)) = (world.fenced, input.op()) {
        match op % 16 {
            0..4 => world.beat(),
            4 => world.wait(Duration::from_millis(50 * u64::from(input.byte()))),
            5 => world.answer(input.byte().into(), End::Done),
            6 => world.answer(input.byte().into(), End::Failed),
            7 => world.answer(input.byte().into(), End::Lied),
            8..12 => {
                let (region, num) = (input.below(2), input.below(SLOTS));
                spoil(&mut world.bytes[region][num * SLOT..][..SLOT], num as u8, &mut input);
            }
            12 => world.start(input.below(2)),
            13 => world.remove(input.below(2)),
            // Another node beats, for a while.
            _ => {
                let num = 1 + input.below(SLOTS - 1);
                for _ in 0..input.below(4) {
                    for region in 0..2 {
                        let slot = &mut world.bytes[region][num * SLOT..][..SLOT];
                        spoil(slot, num as u8, &mut Bytes::new(&[0]));
                    }
                    world.beat();
                }
            }
        }
    }
}

impl World {
    /// A period in which the disks do what they are asked for.
    fn beat(&mut self) {
        self.wait(PERIOD);
        while !self.fenced && !self.asked.is_empty() {
            self.answer(0, End::Done);
        }
    }

    fn wait(&mut self, wait: Duration) {
        if self.fenced {
            return;
        }
        // A region has been without a good beat for too long then: only time can make it so.
        let end = self.rig.time + wait;
        self.fenced = self.places.iter().any(|place| place.deadline.is_some_and(|deadline| deadline <= end));
        self.rig.wait(wait);
        self.settle();
    }

    fn start(&mut self, region: usize) {
        if !self.fenced && !self.places[region].removed {
            self.rig.write(&format!("cluster/c/heartbeat/{}/dev", REGIONS[region]), "3");
            self.settle();
        }
    }

    fn steady(&self, region: usize) -> bool {
        let status = self.rig.engine.status();
        let mut regions = status.regions.iter().filter(|found| found.id == self.places[region].disk);
        regions.next().and_then(|region| region.disk.as_ref()).is_some_and(|disk| disk.steady)
    }

    /// Removes a region that beats; one that starts would have to wait for that.
    fn remove(&mut self, region: usize) {
        if self.fenced || self.places[region].removed || !self.steady(region) {
            return;
        }
        self.stop(region);
        self.places[region].removed = true;
        let dir = self.rig.dir("cluster/c/heartbeat");
        self.rig.call(Op::Rmdir { dir, name: REGIONS[region].as_bytes() });
        self.settle();
    }

    /// Everybody leaves a region.
    fn stop(&mut self, region: usize) {
        for num in 0..SLOTS {
            if self.places[region].slots[num].live() {
                self.leave(num as u8);
            }
        }
        let Place { disk, removed, .. } = self.places[region];
        self.places[region] = Place { removed, ..Place::idle(disk) };
    }

    fn join(&mut self, num: u8) {
        let count = self.members.entry(num).or_default();
        *count += 1;
        if *count == 1 {
            self.expected.push((Edge::Up, num));
        }
    }

    fn leave(&mut self, num: u8) {
        let count = self.members.get_mut(&num).expect("live somewhere");
        *count -= 1;
        if *count == 0 {
            self.members.remove(&num);
            self.expected.push((Edge::Down, num));
        }
    }

    fn region_of(&self, disk: ItemId) -> usize {
        self.places.iter().position(|place| place.disk == disk).expect("a region's disk")
    }

    /// Ends one of the requests.
    fn answer(&mut self, which: usize, end: End) {
        if self.asked.is_empty() || self.fenced {
            return;
        }
        match self.asked.remove(which % self.asked.len()) {
            Action::Disk(disk, DiskRequest::Open { .. }) => {
                let region = self.region_of(disk);
                self.opened += 1;
                self.places[region].generation = self.opened;
                let result = match end {
                    End::Failed => Err(uo2cb_core::Refusal::NotABlockDevice),
                    End::Done | End::Lied => Ok(info(self.opened)),
                };
                self.rig.input(Input::Disk(disk, DiskResult::Opened(result)));
            }
            Action::Disk(disk, DiskRequest::Read { op, first, count }) => {
                let region = self.region_of(disk);
                let whole = self.bytes[region];
                let bytes = &whole[first as usize * SLOT..][..count as usize * SLOT];
                let bytes = if end == End::Lied { &bytes[..bytes.len() - 1] } else { bytes };
                let result = if end == End::Failed { Err(Errno::EIO) } else { Ok(bytes) };
                if end == End::Done {
                    self.sampled(region, bytes);
                }
                self.rig.input(Input::Disk(disk, DiskResult::Read(op, result)));
            }
            Action::Disk(disk, DiskRequest::Write { op, slot, block }) => {
                let region = self.region_of(disk);
                if end == End::Done {
                    block.encode(&mut self.bytes[region][slot as usize * SLOT..][..SLOT]);
                }
                self.written(disk, op, end);
            }
            other => panic!("asked for {other:?}"),
        }
        self.settle();
    }

    /// What the node must conclude from what it is about to be given.
    fn sampled(&mut self, region: usize, bytes: &[u8]) {
        let seq = self.rig.seconds();
        let place = &mut self.places[region];
        if place.removed {
            return;
        }
        let slots = bytes.chunks_exact(SLOT).map(decode);
        if !place.baseline {
            place.slots.iter_mut().zip(slots).for_each(|(slot, found)| slot.populate(&found));
            place.baseline = true;
            return;
        }
        let found: Vec<_> = slots.collect();
        let (last, own) = (place.slots[0].last, found[0].block);
        place.good = last.0 != 0 && (own.node, own.generation, own.seq) == (0, last.1, last.0);
        place.issued = self.rig.time;
        self.own_lines[region] += usize::from(last.0 != 0 && !place.good);
        let mut changes = Vec::new();
        for (num, found) in found.iter().enumerate() {
            let mut found = *found;
            if num == 0 {
                found.good = true;
                (found.block.seq, found.block.generation) = (seq, place.generation);
            }
            let slot = &mut place.slots[num];
            let news = found.good && (found.block.seq, found.block.generation) != slot.last;
            if place.counts || news {
                changes.push((num as u8, slot.judge(&found, DEAD_THRESHOLD)));
            }
        }
        for (num, verdict) in changes {
            match verdict {
                Verdict::Same => {}
                Verdict::Joined => self.join(num),
                Verdict::Left(_) => self.leave(num),
            }
        }
    }

    fn written(&mut self, disk: ItemId, op: OpId, end: End) {
        let region = self.region_of(disk);
        let result = if end == End::Failed { Err(Errno::EIO) } else { Ok(()) };
        self.rig.input(Input::Disk(disk, DiskResult::Written(op, result)));
        let (steady, now) = (self.steady(region), self.rig.time);
        let place = &mut self.places[region];
        let deadline = place.issued + WRITE_TIMEOUT;
        // One that took that long is no sign of life: others may have missed this node meanwhile.
        if end != End::Failed && place.good && steady && now < deadline {
            place.deadline = Some(deadline);
        }
    }

    /// Looks at all that the engine wants; it must be what follows from what it was given.
    fn settle(&mut self) {
        let mut fence = false;
        let mut lines = [0; 2];
        while let Some(action) = self.rig.wanted.pop_front() {
            match action {
                Action::Deliver { event, .. } => self.heard(&event),
                Action::Fence { .. } => fence = true,
                Action::Note(Note::Disk { region, note: DiskNote::OwnSlot { .. }, .. }) => {
                    let region = REGIONS.iter().position(|name| name.as_bytes() == region.as_bytes());
                    lines[region.expect("a region")] += 1;
                }
                Action::Disk(disk, DiskRequest::Close) => {
                    self.asked.retain(|asked| disk_of(asked) != Some(disk));
                    let region = self.region_of(disk);
                    self.stop(region);
                }
                Action::Disk(..) => {
                    assert!(!fence, "{action:?} behind a fence");
                    self.asked_for(&action);
                    self.asked.push(action);
                }
                _ => {}
            }
        }
        assert_eq!(fence, self.fenced, "fenced");
        if fence {
            return;
        }
        assert_eq!(lines, self.own_lines, "lines about the own slot");
        self.own_lines = [0; 2];
        assert_eq!(self.told, self.expected, "events");
        self.told.clear();
        self.expected.clear();
        for found in &self.rig.engine.status().regions {
            let place = &self.places[self.region_of(found.id)];
            let up: Vec<_> = found.up.iter().map(|(node, _)| usize::from(node.num.get())).collect();
            let live: Vec<_> = (0..SLOTS).filter(|num| place.slots[*num].live()).collect();
            assert_eq!(up, live, "live in {}", found.name);
        }
    }

    fn heard(&mut self, event: &Event) {
        assert!(self.next_event.is_none_or(|next| next == event.number), "events {event:?}");
        self.next_event = Some(event.number + 1);
        self.told.push((event.edge, event.node.num.get()));
        self.rig.input(Input::Delivered { consumer: ConsumerId(1), event: event.number });
    }

    fn asked_for(&mut self, action: &Action) {
        let disk = disk_of(action).expect("of a disk");
        assert!(self.asked.iter().all(|asked| disk_of(asked) != Some(disk)), "two requests to a disk");
        let (now, seconds, region) = (self.rig.time, self.rig.seconds(), self.region_of(disk));
        let place = &mut self.places[region];
        match *action {
            Action::Disk(_, DiskRequest::Read { first, count, .. }) if place.baseline => {
                assert_eq!((first, count), (0, u32::from(NODES)), "slots of a beat");
                place.counts = place.counted.is_none_or(|counted| now >= counted + PERIOD);
                if place.counts {
                    place.counted = Some(now);
                }
            }
            Action::Disk(_, DiskRequest::Read { first, count, .. }) => {
                assert_eq!((first, count), (0, SLOTS as u32), "baseline")
            }
            Action::Disk(_, DiskRequest::Write { slot, block, .. }) => {
                let generation = if place.removed { 0 } else { place.generation };
                assert_eq!((slot, block.node, block.seq), (0, 0, seconds), "the own block");
                assert_eq!((block.generation, block.dead_ms), (generation, 6000), "the own block");
            }
            _ => {}
        }
    }
}

fn disk_of(action: &Action) -> Option<ItemId> {
    match action {
        Action::Disk(disk, _) => Some(*disk),
        _ => None,
    }
}
