//! One node over two disks with arbitrary contents and results: the rules of a beat, by what its driver sees.

use std::collections::BTreeMap;
use std::time::Duration;

use uo2cb_core::heartbeat::disk::{DiskNote, DiskRequest, DiskResult, Verdict};
use uo2cb_core::heartbeat::{Edge, Event};
use uo2cb_core::tree::Op;
use uo2cb_core::{Action, ConsumerId, Errno, Input, ItemId, Note, OpId};

use super::bytes::{Bytes, SLOT, corrupt, decode};
use super::fixture::{Fixture, info};
use super::history::History;

const PERIOD: Duration = Duration::from_secs(2);
const DEAD_THRESHOLD: u32 = 3;
const WRITE_TIMEOUT: Duration = Duration::from_secs(4);
const REGIONS: [&str; 2] = ["A", "B"];
/// Slots of a region, and configured nodes: slots behind these belong to no node.
const SLOTS: usize = 6;
const NODES: u8 = 4;

/// How a request to a disk ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Failed,
    /// Successful, but a read is short and a write is lost.
    Wrong,
}

/// A region, and what the engine must conclude from its disk.
struct Region {
    disk: ItemId,
    slots: [History; SLOTS],
    /// The baseline has been read.
    baseline: bool,
    generation: u64,
    /// The last seq that was written, or else found in the own slot.
    seq: u64,
    /// When the last beat began whose unchanged samples counted, and whether those of the present one do.
    counted: Option<Duration>,
    counts: bool,
    /// Whether the present beat found the own slot as written, and when it requested its write.
    good: bool,
    issued: Duration,
    deadline: Option<Duration>,
    removed: bool,
}

impl Region {
    /// A region that does not beat.
    fn idle(disk: ItemId) -> Self {
        Self {
            disk,
            slots: Default::default(),
            baseline: false,
            generation: 0,
            seq: 0,
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
    fixture: Fixture,
    bytes: [[u8; SLOT * SLOTS]; 2],
    regions: [Region; 2],
    /// In how many regions each node is live.
    live_map: BTreeMap<u8, u32>,
    expected: Vec<(Edge, u8)>,
    delivered: Vec<(Edge, u8)>,
    /// Lines about the own slot, by region.
    own_lines: [usize; 2],
    /// Requests in flight.
    requests: Vec<Action>,
    next_event: Option<u64>,
    opened: u64,
    fenced: bool,
}

/// Runs one input: a sequence of operations on a node and its disks.
pub fn beats(input: &[u8]) {
    let mut input = Bytes::new(input);
    let fixture = Fixture::new(NODES, &REGIONS, SLOTS as u32, DEAD_THRESHOLD);
    let regions = REGIONS.map(|region| Region::idle(fixture.dir(&format!("cluster/c/heartbeat/{region}"))));
    let mut world = World {
        fixture,
        bytes: [[0; SLOT * SLOTS]; 2],
        regions,
        live_map: BTreeMap::new(),
        expected: Vec::new(),
        delivered: Vec::new(),
        own_lines: [0; 2],
        requests: Vec::new(),
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
            7 => world.answer(input.byte().into(), End::Wrong),
            8..12 => {
                let (region, num) = (input.below(2), input.below(SLOTS));
                corrupt(&mut world.bytes[region][num * SLOT..][..SLOT], num as u8, &mut input);
            }
            12 => world.start(input.below(2)),
            13 => world.remove(input.below(2)),
            // Another node beats up to three times.
            _ => {
                let num = 1 + input.below(SLOTS - 1);
                for _ in 0..input.below(4) {
                    for region in 0..2 {
                        let slot = &mut world.bytes[region][num * SLOT..][..SLOT];
                        corrupt(slot, num as u8, &mut Bytes::new(&[0]));
                    }
                    world.beat();
                }
            }
        }
    }
}

impl World {
    /// A period in which the disks complete every request.
    fn beat(&mut self) {
        self.wait(PERIOD);
        while !self.fenced && !self.requests.is_empty() {
            self.answer(0, End::Done);
        }
    }

    fn wait(&mut self, wait: Duration) {
        if self.fenced {
            return;
        }
        // A write timeout ends: no other input can cause a fence.
        let end = self.fixture.time + wait;
        self.fenced = self.regions.iter().any(|state| state.deadline.is_some_and(|deadline| deadline <= end));
        self.fixture.wait(wait);
        self.check_actions();
    }

    fn start(&mut self, region: usize) {
        if !self.fenced && !self.regions[region].removed {
            self.fixture.write(&format!("cluster/c/heartbeat/{}/dev", REGIONS[region]), "3");
            self.check_actions();
        }
    }

    fn steady(&self, region: usize) -> bool {
        let status = self.fixture.engine.status();
        let mut regions = status.regions.iter().filter(|found| found.id == self.regions[region].disk);
        regions.next().and_then(|region| region.disk.as_ref()).is_some_and(|disk| disk.steady)
    }

    /// Removes a steady region; the rmdir of a starting one would wait for its start, and that of one that beats for the
    /// end of the beat.
    fn remove(&mut self, region: usize) {
        let disk = self.regions[region].disk;
        let of_region = |world: &Self| world.requests.iter().position(|of| disk_of(of) == Some(disk));
        while let (false, Some(at)) = (self.fenced, of_region(self)) {
            self.answer(at, End::Done);
        }
        if self.fenced || self.regions[region].removed || !self.steady(region) {
            return;
        }
        self.stop(region);
        self.regions[region].removed = true;
        let dir = self.fixture.dir("cluster/c/heartbeat");
        self.fixture.call(Op::Rmdir { dir, name: REGIONS[region].as_bytes() });
        self.check_actions();
    }

    /// A region stops: every live node leaves it.
    fn stop(&mut self, region: usize) {
        for num in 0..SLOTS {
            if self.regions[region].slots[num].live() {
                self.leave(num as u8);
            }
        }
        let Region { disk, removed, seq, .. } = self.regions[region];
        self.regions[region] = Region { removed, seq, ..Region::idle(disk) };
    }

    fn join(&mut self, num: u8) {
        let count = self.live_map.entry(num).or_default();
        *count += 1;
        if *count == 1 {
            self.expected.push((Edge::Up, num));
        }
    }

    fn leave(&mut self, num: u8) {
        let count = self.live_map.get_mut(&num).expect("live somewhere");
        *count -= 1;
        if *count == 0 {
            self.live_map.remove(&num);
            self.expected.push((Edge::Down, num));
        }
    }

    fn region_of(&self, disk: ItemId) -> usize {
        self.regions.iter().position(|state| state.disk == disk).expect("a region's disk")
    }

    /// Completes one of the requests.
    fn answer(&mut self, which: usize, end: End) {
        if self.requests.is_empty() || self.fenced {
            return;
        }
        match self.requests.remove(which % self.requests.len()) {
            Action::Disk(disk, DiskRequest::Open { .. }) => {
                let region = self.region_of(disk);
                self.opened += 1;
                self.regions[region].generation = self.opened;
                let result = match end {
                    End::Failed => Err(uo2cb_core::Refusal::NotABlockDevice),
                    End::Done | End::Wrong => Ok(info(self.opened)),
                };
                self.fixture.input(Input::Disk(disk, DiskResult::Opened(result)));
            }
            Action::Disk(disk, DiskRequest::Read { op, first, count }) => {
                let region = self.region_of(disk);
                let whole = self.bytes[region];
                let bytes = &whole[first as usize * SLOT..][..count as usize * SLOT];
                let bytes = if end == End::Wrong { &bytes[..bytes.len() - 1] } else { bytes };
                let result = if end == End::Failed { Err(Errno::EIO) } else { Ok(bytes) };
                if end == End::Done {
                    self.sampled(region, bytes);
                }
                self.fixture.input(Input::Disk(disk, DiskResult::Read(op, result)));
            }
            Action::Disk(disk, DiskRequest::Write { op, slot, block }) => {
                let region = self.region_of(disk);
                if end == End::Done {
                    block.encode(&mut self.bytes[region][slot as usize * SLOT..][..SLOT]);
                }
                self.written(disk, op, end);
            }
            other => panic!("a request in flight: {other:?}"),
        }
        self.check_actions();
    }

    /// What the node must conclude from a read that it is about to be given.
    fn sampled(&mut self, region: usize, bytes: &[u8]) {
        let seconds = self.fixture.seconds();
        let state = &mut self.regions[region];
        if state.removed {
            return;
        }
        let slots = bytes.chunks_exact(SLOT).map(decode);
        if !state.baseline {
            let own = decode(&bytes[..SLOT]);
            let counts_on = own.good && own.block.seq < 1 << 36;
            state.seq = if counts_on { own.block.seq } else { 0 };
            state.slots.iter_mut().zip(slots).for_each(|(slot, found)| slot.populate(&found));
            state.baseline = true;
            return;
        }
        let seq = seconds.max(state.seq + 1);
        let found: Vec<_> = slots.collect();
        let (last, own) = (state.slots[0].last, found[0].block);
        state.good = last.0 != 0 && (own.node, own.generation, own.seq) == (0, last.1, last.0);
        state.issued = self.fixture.time;
        self.own_lines[region] += usize::from(last.0 != 0 && !state.good);
        let mut changes = Vec::new();
        for (num, found) in found.iter().enumerate() {
            let mut found = *found;
            if num == 0 {
                found.good = true;
                (found.block.seq, found.block.generation) = (seq, state.generation);
            }
            let slot = &mut state.slots[num];
            let news = found.good && (found.block.seq, found.block.generation) != slot.last;
            if state.counts || news {
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
        self.fixture.input(Input::Disk(disk, DiskResult::Written(op, result)));
        let (steady, now) = (self.steady(region), self.fixture.time);
        let state = &mut self.regions[region];
        let deadline = state.issued + WRITE_TIMEOUT;
        // A write that took longer does not count: others may have declared this node dead meanwhile.
        if end != End::Failed && state.good && steady && now < deadline {
            state.deadline = Some(deadline);
        }
    }

    /// Takes the engine's actions; they must follow from the inputs so far.
    fn check_actions(&mut self) {
        let mut fence = false;
        let mut lines = [0; 2];
        while let Some(action) = self.fixture.actions.pop_front() {
            match action {
                Action::Deliver { event, .. } => self.deliver(&event),
                Action::Fence { .. } => fence = true,
                Action::Note(Note::Disk { region, note: DiskNote::OwnSlot { .. }, .. }) => {
                    lines[numbered(region.as_bytes())] += 1;
                }
                Action::Note(Note::Disk { region, note: DiskNote::AllHung, .. }) => {
                    // The lowest node gives time when all that live have asked: only itself here.
                    assert!(self.live_map.keys().eq([&0]), "gives time: {:?}", self.live_map);
                    let deadline = self.fixture.time + WRITE_TIMEOUT;
                    self.regions[numbered(region.as_bytes())].deadline = Some(deadline);
                }
                Action::Disk(disk, DiskRequest::Close) => {
                    self.requests.retain(|requests| disk_of(requests) != Some(disk));
                    let region = self.region_of(disk);
                    self.stop(region);
                }
                Action::Disk(..) => {
                    assert!(!fence, "{action:?} behind a fence");
                    self.check_request(&action);
                    self.requests.push(action);
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
        assert_eq!(self.delivered, self.expected, "events");
        self.delivered.clear();
        self.expected.clear();
        for found in &self.fixture.engine.status().regions {
            let state = &self.regions[self.region_of(found.id)];
            let up: Vec<_> = found.up.iter().map(|(node, _)| usize::from(node.num.get())).collect();
            let live: Vec<_> = (0..SLOTS).filter(|num| state.slots[*num].live()).collect();
            assert_eq!(up, live, "live in {}", found.name);
        }
    }

    fn deliver(&mut self, event: &Event) {
        assert!(self.next_event.is_none_or(|next| next == event.number), "events {event:?}");
        self.next_event = Some(event.number + 1);
        self.delivered.push((event.edge, event.node.num.get()));
        self.fixture.input(Input::Delivered { consumer: ConsumerId(1), event: event.number });
    }

    fn check_request(&mut self, action: &Action) {
        let disk = disk_of(action).expect("of a disk");
        assert!(
            self.requests.iter().all(|requests| disk_of(requests) != Some(disk)),
            "two requests to a disk"
        );
        let (now, seconds, region) = (self.fixture.time, self.fixture.seconds(), self.region_of(disk));
        let state = &mut self.regions[region];
        match *action {
            Action::Disk(_, DiskRequest::Read { first, count, .. }) if state.baseline => {
                assert_eq!((first, count), (0, u32::from(NODES)), "slots of a beat");
                state.counts = state.counted.is_none_or(|counted| now >= counted + PERIOD);
                if state.counts {
                    state.counted = Some(now);
                }
            }
            Action::Disk(_, DiskRequest::Read { first, count, .. }) => {
                assert_eq!((first, count), (0, SLOTS as u32), "baseline")
            }
            Action::Disk(_, DiskRequest::Write { slot, block, .. }) => {
                let generation = if state.removed { 0 } else { state.generation };
                // Never again a seq that was written before.
                state.seq = seconds.max(state.seq + 1);
                assert_eq!((slot, block.node, block.seq), (0, 0, state.seq), "the own block");
                assert_eq!((block.generation, block.dead_ms), (generation, 6000), "the own block");
            }
            _ => {}
        }
    }
}

fn numbered(name: &[u8]) -> usize {
    REGIONS.iter().position(|region| region.as_bytes() == name).expect("a region")
}

fn disk_of(action: &Action) -> Option<ItemId> {
    match action {
        Action::Disk(disk, _) => Some(*disk),
        _ => None,
    }
}
