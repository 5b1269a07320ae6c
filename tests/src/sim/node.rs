//! One node of a world: its engine, its clocks, and what the world expects of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use uo2cb_core::heartbeat::Edge;
use uo2cb_core::{Engine, Instant, ItemId, Now, Refusal, Reply, RequestId};

use super::flight::Flight;
use super::reference::{Members, Run};
use super::{SEC, Us};
use crate::rng::Rng;

/// Wall clock when the world begins, in seconds since 1970.
const EPOCH: i64 = 1_800_000_000;

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Answered at once, and looked at there.
    Call,
    /// The start of a region.
    Dev(usize),
    /// The end of a region; to be made again so much later.
    Rmdir(usize, Us),
}

/// What reaches a node, when it runs.
#[derive(Clone, Debug)]
pub enum Mail {
    /// A request to a disk has ended.
    Disk(Flight),
    /// The consumer has dealt with an event.
    Told(u64),
    /// Start a region.
    Start(usize),
    /// Make a region, and start it.
    Make(usize),
    /// Remove a region, and make it again so much later.
    Remove(usize, Us),
    /// End, to run again not before this time.
    Shutdown(Us),
}

/// A region of a node.
#[derive(Debug, Default)]
pub struct Region {
    /// Its directory.
    pub item: Option<ItemId>,
    /// It beats.
    pub run: Option<Run>,
    /// The write to `dev` that waits.
    pub dev: Option<RequestId>,
    /// How many of them failed since the last that did not.
    pub failures: u32,
    /// Its removal has been asked for.
    pub removing: bool,
    /// Global heartbeat: the engine says that it is a quorum region.
    pub quorum: bool,
    /// Its number in global heartbeat.
    pub num: u32,
}

/// A region's last block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Farewell {
    /// It must be written.
    Due,
    /// It has been handed to the disk.
    Written,
    /// The disk has answered.
    Answered,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// None: not running.
    pub engine: Option<Engine>,
    /// Counts its starts.
    pub incarnation: u32,
    /// When it started: its monotonic clock begins there.
    pub born: Us,
    /// How far its wall clock is off, in seconds.
    pub wall: i64,
    /// When that last changed.
    pub jumped: Option<Us>,
    /// Its number, as it sees it.
    pub own: u8,
    /// As it is configured.
    pub dead_threshold: u32,
    /// As it is configured.
    pub blocks: u32,
    /// It does not run before this.
    pub paused: Us,
    /// It wants to be called then.
    pub wake: Option<Us>,
    /// What came while it was paused.
    pub inbox: VecDeque<Mail>,
    /// For everything random about it.
    pub rng: Rng,
    next_request: u64,
    /// Requests without an answer.
    pub requests: BTreeMap<RequestId, Purpose>,
    /// The answer to the last call.
    pub answer: Option<Result<Reply, Refusal>>,
    /// One for each disk.
    pub regions: Vec<Region>,
    /// Open disks, and the name of each opening.
    pub open: BTreeMap<ItemId, u64>,
    /// Disks with a request on its way.
    pub busy: BTreeSet<u64>,
    /// Last blocks, by directory.
    pub farewells: BTreeMap<ItemId, (usize, Farewell)>,
    /// Who is live, by what the world let it read.
    pub members: Members,
    /// Events that must come, in this order.
    pub expected: VecDeque<(Edge, u8)>,
    /// What the consumer has been told.
    pub told: BTreeSet<u8>,
    /// Number of the next event.
    pub next_event: u64,
    /// The consumer is busy with an event.
    pub telling: bool,
    /// It is ending in order.
    pub ending: bool,
}

impl Node {
    /// Not running yet.
    pub fn new(number: u8, seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ (u64::from(number) + 1).wrapping_mul(0x9e6c_63d0_876a_68ee));
        let wall = rng.below(7) as i64 - 3;
        Self {
            engine: None,
            incarnation: 0,
            born: 0,
            wall,
            jumped: None,
            own: number,
            dead_threshold: 0,
            blocks: 0,
            paused: 0,
            wake: None,
            inbox: VecDeque::new(),
            rng,
            next_request: 0,
            requests: BTreeMap::new(),
            answer: None,
            regions: Vec::new(),
            open: BTreeMap::new(),
            busy: BTreeSet::new(),
            farewells: BTreeMap::new(),
            members: Members::default(),
            expected: VecDeque::new(),
            told: BTreeSet::new(),
            next_event: 0,
            telling: false,
            ending: false,
        }
    }

    /// Gone, as by a loss of power. Its wall clock goes on.
    pub fn die(&mut self) {
        self.engine = None;
        self.wake = None;
        self.inbox.clear();
        self.requests.clear();
        self.regions.clear();
        self.open.clear();
        self.busy.clear();
        self.farewells.clear();
        self.members = Members::default();
        self.expected.clear();
        self.told.clear();
        (self.telling, self.ending) = (false, false);
    }

    /// Its clocks.
    pub fn now(&self, now: Us) -> Now {
        let unix = (EPOCH + self.wall).unsigned_abs();
        Now {
            mono: Instant::at(Duration::from_micros(now - self.born)),
            unix: Duration::from_secs(unix) + Duration::from_micros(now),
        }
    }

    /// A moment of its monotonic clock in time of the world.
    pub fn world(&self, at: Instant) -> Us {
        self.born + at.since_start().as_micros() as Us
    }

    /// What the next block must have as seq.
    pub fn seq(&self, now: Us) -> u64 {
        (EPOCH + self.wall).unsigned_abs() + now / SEC
    }

    /// A new request.
    pub fn request(&mut self, purpose: Purpose) -> RequestId {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.requests.insert(request, purpose);
        request
    }

    /// Which region has this directory.
    pub fn region_of(&self, item: ItemId) -> Option<usize> {
        self.regions.iter().position(|region| region.item == Some(item))
    }

    /// A region beats no more: who was live there leaves.
    pub fn leave_all(&mut self, region: usize) {
        let Some(run) = self.regions[region].run.take() else { return };
        for (num, slot) in run.slots.iter().enumerate() {
            if slot.live {
                self.expected.extend(self.members.leave(num as u8));
            }
        }
    }
}
