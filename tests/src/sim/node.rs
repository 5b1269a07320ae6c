//! One node of the simulation: its engine, its clocks, and what is expected of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use uo2cb_core::heartbeat::Edge;
use uo2cb_core::{ConnectionId, Engine, Instant, ItemId, Refusal, Reply, RequestId};

use super::Us;
use super::holder::Holder;
use super::io::Io;
use super::quorum::Contacts;
use super::reference::{ActiveRegion, LiveMap};
use crate::rng::Rng;

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Answered at once, and reads_quorum at there.
    Call,
    /// The write to a region's `dev`.
    Dev(usize),
    /// A link that is made or removed.
    Link,
    /// The removal of a region, which is made again this much later.
    Rmdir(usize, Us),
}

/// An event for a running node.
#[derive(Clone, Debug)]
pub enum NodeEvent {
    /// A request to a disk has completed.
    IoDone(Io),
    /// The consumer is done with the event of this number.
    Delivered(u64),
    /// An administrator writes to a region's `dev`.
    Start(usize),
    /// An administrator makes a region, and writes to its `dev`.
    Make(usize),
    /// An administrator removes a region, and makes it again this much later.
    Remove(usize, Us),
    /// The second consumer takes hold of a region.
    Hold(usize),
    /// It lets go.
    Release,
    /// It is done with the event of this number.
    DeliveredToHolder(u64),
    /// Userspace says that this node is there, or is gone.
    Link(u8, bool),
    /// There is word of this end of this connection.
    Net(u64, usize),
    /// Shut down, and boot again not before this time.
    Shutdown(Us),
}

/// A region of a node.
#[derive(Debug, Default)]
pub struct Region {
    /// Its directory.
    pub item: Option<ItemId>,
    /// Set while it heartbeats.
    pub run: Option<ActiveRegion>,
    /// The write to `dev` that has not returned.
    pub dev: Option<RequestId>,
    /// How many writes to `dev` have failed in a row.
    pub failures: u32,
    /// A rmdir has been requested.
    pub removing: bool,
    /// Global heartbeat: it is a quorum region, by the engine's `quorum_regions`.
    pub quorum: bool,
    /// Its number in global heartbeat.
    pub num: u32,
    /// The last seq that the node wrote in it; before that what it found in its slot.
    pub seq: u64,
}

/// State of the last block, with generation 0, of a region that stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastBlock {
    /// It must still be written.
    Due,
    /// It has been handed to the disk.
    Submitted,
    /// The write has completed.
    Done,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// None if it does not run.
    pub engine: Option<Engine>,
    /// Number of its boots.
    pub incarnation: u32,
    /// When it booted: zero of its monotonic clock.
    pub started_at: Us,
    /// How far its wall clock is ahead of the others', in seconds.
    pub wall_offset: i64,
    /// Its node number, as configured on itself.
    pub own: u8,
    /// Its dead threshold.
    pub dead_threshold: u32,
    /// Its number of slots in each region.
    pub blocks: u32,
    /// Its process is stopped until then.
    pub paused: Us,
    /// When its engine's earliest timer is due.
    pub wake: Option<Us>,
    /// Events that came while it was paused.
    pub queued: VecDeque<NodeEvent>,
    /// Source of everything random about it.
    pub rng: Rng,
    next_request: u64,
    /// Requests that have no reply yet.
    pub requests: BTreeMap<RequestId, Purpose>,
    /// The reply to the last call.
    pub answer: Option<Result<Reply, Refusal>>,
    /// One for each disk.
    pub regions: Vec<Region>,
    /// Open disks, and the id of each opening.
    pub open: BTreeMap<ItemId, u64>,
    /// Openings with a request in flight.
    pub busy: BTreeSet<u64>,
    /// Last blocks of regions that stopped, by their directory, with the region's number.
    pub last_blocks: BTreeMap<ItemId, (usize, LastBlock)>,
    /// Who is live, by what it has read.
    pub live: LiveMap,
    /// Edges that the consumer must be told, in this order.
    pub expected: VecDeque<(Edge, u8)>,
    /// Live nodes, by the events that the consumer was told.
    pub delivered: BTreeSet<u8>,
    /// Number of the next event.
    pub next_event: u64,
    /// The consumer has not answered the last event yet.
    pub delivering: bool,
    /// Its second consumer, which holds one region after the other.
    pub holder: Holder,
    /// It is shutting down in order.
    pub ending: bool,
    /// Its machine has power, whether or not the process runs.
    pub powered: bool,
    /// The address and port where it listens.
    pub listens: Option<([u8; 4], u16)>,
    /// Its connections: which, and which end is its own.
    pub sockets: BTreeMap<ConnectionId, (u64, usize)>,
    /// It is being told that this one is closed. Its timers come first: they may still send over it.
    pub closing: Option<ConnectionId>,
    /// Name of the last connection that it accepted.
    pub last_accepted: u64,
    /// Its idle timeout is not the cluster's.
    pub own_times_differ: bool,
    /// The directories of nodes, by number.
    pub directories: Vec<(u8, ItemId)>,
    /// What follows from its connections.
    pub contacts: Contacts,
}

impl Node {
    /// Not running yet.
    pub fn new(number: u8, seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ (u64::from(number) + 1).wrapping_mul(0x9e6c_63d0_876a_68ee));
        let wall_offset = rng.below(7) as i64 - 3;
        Self {
            engine: None,
            incarnation: 0,
            started_at: 0,
            wall_offset,
            own: number,
            dead_threshold: 0,
            blocks: 0,
            paused: 0,
            wake: None,
            queued: VecDeque::new(),
            rng,
            next_request: 0,
            requests: BTreeMap::new(),
            answer: None,
            regions: Vec::new(),
            open: BTreeMap::new(),
            busy: BTreeSet::new(),
            last_blocks: BTreeMap::new(),
            live: LiveMap::default(),
            expected: VecDeque::new(),
            delivered: BTreeSet::new(),
            next_event: 0,
            delivering: false,
            holder: Holder::default(),
            ending: false,
            powered: false,
            listens: None,
            sockets: BTreeMap::new(),
            closing: None,
            last_accepted: 0,
            own_times_differ: false,
            directories: Vec::new(),
            contacts: Contacts::default(),
        }
    }

    /// Stops it at once, as a loss of power does. Its wall clock goes on.
    pub fn halt(&mut self) {
        self.engine = None;
        self.wake = None;
        self.queued.clear();
        self.requests.clear();
        self.regions.clear();
        self.open.clear();
        self.busy.clear();
        self.last_blocks.clear();
        self.live = LiveMap::default();
        self.expected.clear();
        self.delivered.clear();
        self.holder = Holder::default();
        self.sockets.clear();
        self.contacts = Contacts::default();
        (self.delivering, self.ending) = (false, false);
    }

    /// A moment of its monotonic clock in virtual time.
    pub fn virtual_time(&self, at: Instant) -> Us {
        // Not before it.
        self.started_at + at.since_start().as_nanos().div_ceil(1000) as Us
    }

    /// Ids and remembers a new request.
    pub fn request(&mut self, purpose: Purpose) -> RequestId {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.requests.insert(request, purpose);
        request
    }

    /// The region that has this directory.
    pub fn region_of(&self, item: ItemId) -> Option<usize> {
        self.regions.iter().position(|region| region.item == Some(item))
    }

    /// A region stops to heartbeat: every node that was live in it leaves.
    pub fn stop_region(&mut self, region: usize) {
        let Some(run) = self.regions[region].run.take() else { return };
        for (num, slot) in run.slots.iter().enumerate() {
            if slot.live {
                self.expected.extend(self.live.leave(num as u8));
            }
        }
    }
}
