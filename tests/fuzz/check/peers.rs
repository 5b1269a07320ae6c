//! A node among others whose sockets do anything at any time: what it asks of its driver, and the books that it keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uo2cb_core::heartbeat::disk::{Block, DiskRequest, DiskResult};
use uo2cb_core::net::wire::{Handshake, Kind, Message, PAYLOAD_MAX, SystemStatus};
use uo2cb_core::net::{Closing, NetEvent, NetRequest, PeerPhase};
use uo2cb_core::nodeman::Address;
use uo2cb_core::tree::Op;
use uo2cb_core::{Action, ConnectionId, Errno, Input, ItemId, NodeSet, View};

use super::bytes::{Bytes, SLOT};
use super::fixture::{Fixture, info};

const OWN: u8 = 2;
const NODES: u8 = 5;
const DEAD_THRESHOLD: u32 = 3;
/// Idle timeout, keepalive delay, reconnect delay.
const TIMES: [u32; 3] = [5000, 1000, 1000];

/// An open connection, as the driver knows it.
#[derive(Default)]
struct Socket {
    peer: u8,
    /// It may carry bytes.
    established: bool,
    /// Bytes that were handed in, and what of them is whole.
    received: Vec<u8>,
    /// Requests and keepalive requests that were whole after a good handshake, and how many answers came.
    asked: usize,
    answered: usize,
}

struct World {
    fixture: Fixture,
    disk: ItemId,
    bytes: Vec<u8>,
    seq: u64,
    beating: BTreeSet<u8>,
    sockets: BTreeMap<ConnectionId, Socket>,
    /// Names that were given.
    named: BTreeSet<ConnectionId>,
    accepted: u64,
    /// It is being told that this one is closed: its timers come first, and may still send.
    closing: Option<ConnectionId>,
    fenced: bool,
}

/// Runs one input: a sequence of operations on a node's disk and sockets.
pub fn peers(input: &[u8]) {
    World::played(input);
}

/// The same, and then up to three connections have something to say at one instant: in every order the outcome is one.
pub fn orders(input: &[u8]) {
    let (now, before) = input.split_at(input.len().min(3));
    let outcome = |order: [usize; 3]| {
        let mut world = World::played(before);
        let sockets: Vec<_> = world.sockets.keys().copied().collect();
        let heads: Vec<_> = order.iter().filter_map(|at| Some((sockets.get(*at)?, *now.get(*at)?))).collect();
        for (connection, byte) in heads {
            world.says(*connection, byte);
        }
        world.outcome()
    };
    let first = outcome([0, 1, 2]);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(outcome(order), first, "{order:?}");
    }
}

/// Of region A in local mode: `crc32_le` over its name, begun with 32.
const KEY: u32 = key(b'A');

const fn key(name: u8) -> u32 {
    let (mut rest, mut bit) = (32 ^ name as u32, 0);
    while bit < 8 {
        rest = if rest & 1 == 1 { rest >> 1 ^ 0xEDB8_8320 } else { rest >> 1 };
        bit += 1;
    }
    rest
}

impl World {
    /// A node whose region is steady, with nodes beside it that beat.
    fn new() -> Self {
        let mut fixture = Fixture::of_node(OWN, NODES, &["A"], NODES.into(), DEAD_THRESHOLD);
        let files = ["idle_timeout_ms", "keepalive_delay_ms", "reconnect_delay_ms"];
        for (file, ms) in files.iter().zip(TIMES).rev() {
            fixture.write(&format!("cluster/c/{file}"), &ms.to_string());
        }
        fixture.actions.clear();
        let disk = fixture.dir("cluster/c/heartbeat/A");
        let mut world = Self {
            fixture,
            disk,
            bytes: vec![0; SLOT * usize::from(NODES)],
            seq: 0,
            beating: (0..NODES).filter(|num| *num != OWN).collect(),
            sockets: BTreeMap::new(),
            named: BTreeSet::new(),
            accepted: 0,
            closing: None,
            fenced: false,
        };
        world.fixture.write("cluster/c/heartbeat/A/dev", "5");
        world.perform();
        (0..6).for_each(|_| world.wait(2000));
        world
    }

    /// After these operations.
    fn played(input: &[u8]) -> Self {
        let (mut input, mut world) = (Bytes::new(input), Self::new());
        while let (false, Some(op)) = (world.fenced, input.op()) {
            world.step(op, &mut input);
            world.check();
        }
        world
    }

    fn step(&mut self, op: u8, input: &mut Bytes<'_>) {
        match op % 16 {
            0 | 1 => self.wait(10 * u64::from(input.byte())),
            2 => self.wait(5000),
            3 => {
                let num = input.byte() % NODES;
                if !self.beating.remove(&num) {
                    self.beating.insert(num);
                }
            }
            4 | 5 => self.accept(input.byte() % (NODES + 1)),
            6 => self.connected(input.byte()),
            7 => self.greet(input.byte(), None),
            8 => self.greet(input.byte(), Some((input.below(32), input.byte()))),
            9 => self.message(input.byte(), Message::KeepaliveRequest),
            10 => {
                let socket = input.byte();
                let payload = vec![input.byte(); [0, 1, 2, PAYLOAD_MAX][input.below(4)]];
                let (message, ticket) = (1 + u16::from(input.byte() % 3), u32::from(input.byte()).into());
                let kind = Kind { message, key: KEY };
                self.message(socket, Message::Request { kind, ticket, payload: &payload });
            }
            11 => {
                let (kind, ticket) = (Kind { message: 1, key: KEY }, u32::from(input.byte() % 3).into());
                let system = SystemStatus::Ok;
                self.message(input.byte(), Message::Status { kind, ticket, system, status: 0 });
            }
            12 => {
                let socket = input.byte();
                let bytes: Vec<u8> = (0..input.byte() % 40).map(|_| input.byte()).collect();
                self.receive(socket, &bytes);
            }
            13 | 14 => {
                let how = [
                    Closing::Ended,
                    Closing::Reset(Errno(104)),
                    Closing::Full,
                    Closing::NotTried(Errno(101)),
                ];
                let socket = input.byte();
                self.close(socket, how[input.below(4)]);
            }
            _ => self.remove_node(input.byte() % NODES),
        }
    }

    /// Something of this connection, if it is still there.
    fn says(&mut self, connection: ConnectionId, byte: u8) {
        let Some(place) = self.sockets.keys().position(|other| *other == connection) else { return };
        let place = place as u8;
        match byte % 5 {
            0 => self.close(place, Closing::Ended),
            1 => self.connected(place),
            2 => self.greet(place, None),
            _ => self.message(place, Message::KeepaliveRequest),
        }
    }

    /// What has become of it all after some time without another word.
    fn outcome(mut self) -> impl PartialEq + std::fmt::Debug {
        self.wait(15_000);
        let status = self.fixture.engine.overview();
        let peers: Vec<_> = status.peers.iter().map(|peer| (peer.num, peer.phase)).collect();
        let quorum = status.quorum.map(|quorum| (quorum.connected, quorum.heartbeating, quorum.pending));
        (self.fenced, peers, quorum)
    }

    /// Time passes, timer by timer.
    fn wait(&mut self, ms: u64) {
        let end = self.fixture.time + Duration::from_millis(ms);
        while let Some(due) = self.fixture.engine.poll_timeout().map(|due| due.since_start()) {
            if due > end || self.fenced {
                break;
            }
            let wait = due.saturating_sub(self.fixture.time);
            self.fixture.wait(wait);
            self.perform();
        }
        self.fixture.time = end.max(self.fixture.time);
        self.fixture.wait(Duration::ZERO);
        self.perform();
    }

    fn input(&mut self, event: NetEvent<'_>) {
        self.fixture.input(Input::Net(event));
        self.perform();
    }

    /// Does what the engine asks for. Its disk is quick and without faults.
    fn perform(&mut self) {
        while let Some(action) = self.fixture.actions.pop_front() {
            match action {
                Action::Disk(disk, request) if disk == self.disk => self.disk_request(&request),
                Action::Net(request) => self.net_request(request),
                Action::Fence { .. } => self.fenced = true,
                Action::Deliver { consumer, event } => {
                    self.fixture.input(Input::Delivered { consumer, event: event.number });
                }
                _ => {}
            }
        }
    }

    fn disk_request(&mut self, request: &DiskRequest) {
        let result = match *request {
            DiskRequest::Open { .. } => DiskResult::Opened(Ok(info(7))),
            DiskRequest::Read { op, first, count } => {
                self.seq += 1;
                for num in self.beating.iter().filter(|num| **num != OWN) {
                    let dead_ms = DEAD_THRESHOLD * 2000;
                    let block = Block { seq: self.seq, node: *num, generation: 9, dead_ms };
                    block.encode(&mut self.bytes[usize::from(*num) * SLOT..][..SLOT]);
                }
                let bytes = self.bytes[first as usize * SLOT..][..count as usize * SLOT].to_vec();
                return self.fixture.input(Input::Disk(self.disk, DiskResult::Read(op, Ok(&bytes))));
            }
            DiskRequest::Write { op, slot, block } => {
                assert!(!self.fenced, "a write after the fence");
                block.encode(&mut self.bytes[slot as usize * SLOT..][..SLOT]);
                DiskResult::Written(op, Ok(()))
            }
            DiskRequest::Close => return,
        };
        self.fixture.input(Input::Disk(self.disk, result));
    }

    fn net_request(&mut self, request: NetRequest) {
        match request {
            NetRequest::Connect { connection, from, to, port } => {
                let peer = to.0[3];
                assert_eq!((from, port), (Address([10, 0, 0, OWN]), 7777));
                assert!(peer < OWN, "{OWN} connects to {peer}");
                assert!(matches!(connection, ConnectionId::Made(_)) && self.named.insert(connection));
                self.open(connection, peer);
            }
            NetRequest::Send { connection, .. } | NetRequest::Close(connection)
                if self.closing == Some(connection) => {}
            NetRequest::Send { connection, bytes } => {
                let socket = self.sockets.get_mut(&connection).expect("sends over an open connection");
                assert!(socket.established, "sends before it is established");
                let answers = matches!(bytes[..2], [0xfa, 0x56 | 0x58]);
                socket.answered += usize::from(answers);
            }
            NetRequest::Close(connection) => {
                assert!(self.sockets.remove(&connection).is_some(), "closes an open connection");
            }
        }
    }

    fn open(&mut self, connection: ConnectionId, peer: u8) {
        assert!(self.sockets.values().all(|socket| socket.peer != peer), "two connections to {peer}");
        self.sockets.insert(connection, Socket { peer, ..Socket::default() });
    }

    /// Nodes that it sees live.
    fn live(&self) -> NodeSet {
        self.fixture.engine.overview().cluster.map(|cluster| cluster.up).unwrap_or_default()
    }

    fn accept(&mut self, from: u8) {
        self.accepted += 1;
        let connection = ConnectionId::Accepted(self.accepted);
        let live = self.live().iter().any(|num| num.get() == from);
        let address = Address([10, 0, 0, from]);
        let configured = self
            .fixture
            .engine
            .overview()
            .cluster
            .is_some_and(|cluster| cluster.nodes.iter().any(|node| node.address == Some(address)));
        let taken = self.sockets.values().any(|socket| socket.peer == from);
        let may = from > OWN && live && configured && !taken;
        // Who may not connect has no part in the books.
        let peer = if may { from } else { u8::MAX };
        self.sockets.insert(connection, Socket { peer, established: true, ..Socket::default() });
        self.input(NetEvent::Accepted { connection, from: address, port: 4000 });
        // The call may have been the one that found out about a silent or lost node.
        assert!(may || !self.sockets.contains_key(&connection) || self.fenced, "accepts {from}");
        assert!(!may || self.sockets.contains_key(&connection) || self.fenced, "does not accept {from}");
    }

    fn some(&self, choice: u8) -> Option<ConnectionId> {
        self.sockets.keys().nth(usize::from(choice) % self.sockets.len().max(1)).copied()
    }

    fn connected(&mut self, choice: u8) {
        let Some(connection) = self.some(choice) else { return };
        let Some(socket) = self.sockets.get_mut(&connection) else { return };
        if !core::mem::replace(&mut socket.established, true) {
            self.input(NetEvent::Connected { connection, port: 4000 });
        }
    }

    fn greet(&mut self, choice: u8, wrong: Option<(usize, u8)>) {
        let [idle, keepalive, reconnect] = TIMES;
        let mut bytes = Handshake::new((DEAD_THRESHOLD - 1) * 2000, idle, keepalive, reconnect).encode();
        if let Some((at, byte)) = wrong {
            bytes[at] ^= byte;
        }
        self.receive(choice, &bytes);
    }

    fn message(&mut self, choice: u8, message: Message<'_>) {
        let mut bytes = message.header().expect("a payload that fits").to_vec();
        bytes.extend_from_slice(message.payload());
        self.receive(choice, &bytes);
    }

    fn receive(&mut self, choice: u8, bytes: &[u8]) {
        let Some(connection) = self.some(choice) else { return };
        let Some(socket) = self.sockets.get_mut(&connection).filter(|socket| socket.established) else {
            return;
        };
        socket.received.extend_from_slice(bytes);
        // What must be answered: whole requests behind the handshake, up to what is no message.
        let (mut at, mut asked) = (32, 0);
        while let Some(Ok(Some((message, length)))) = socket.received.get(at..).map(Message::decode) {
            asked += usize::from(matches!(message, Message::Request { .. } | Message::KeepaliveRequest));
            at += length;
        }
        socket.asked = asked;
        self.input(NetEvent::Received(connection, bytes));
        if let Some(socket) = self.sockets.get(&connection).filter(|_| !self.fenced) {
            assert_eq!(socket.answered, socket.asked, "answers");
        }
    }

    fn close(&mut self, choice: u8, how: Closing) {
        let Some(connection) = self.some(choice) else { return };
        self.sockets.remove(&connection);
        self.closing = Some(connection);
        self.input(NetEvent::Closed(connection, how));
        self.closing = None;
    }

    fn remove_node(&mut self, num: u8) {
        let dir = self.fixture.dir("cluster/c/node");
        self.fixture.call(Op::Rmdir { dir, name: format!("n{num}").as_bytes() });
        self.perform();
        let tree = self.fixture.engine.tree(View::Config).items();
        let there = tree.child(dir, format!("n{num}").as_bytes()).is_some();
        let connected = self.sockets.values().any(|socket| socket.peer == num);
        assert!(there || !connected || self.fenced, "{num} is removed while it is connected");
    }

    /// What must hold between any two calls.
    fn check(&self) {
        if self.fenced {
            return;
        }
        let status = self.fixture.engine.overview();
        let live = self.live();
        let sockets = status.peers.iter().filter(|peer| peer.made.is_some());
        assert!(
            sockets.map(|peer| peer.num.get()).eq(self.peers_with_sockets()),
            "a socket of each peer at most"
        );
        assert!(
            status.peers.iter().all(|peer| peer.inbox < 32.max(24 + PAYLOAD_MAX) && live.contains(peer.num))
        );
        let Some(quorum) = status.quorum else { return };
        assert_eq!(quorum.heartbeating, live);
        for peer in &status.peers {
            let good = peer.phase == PeerPhase::Connected;
            assert_eq!(quorum.connected.contains(peer.num), good, "{peer:?}");
        }
        let unclear = |num| quorum.heartbeating.contains(num) != quorum.connected.contains(num);
        assert!(quorum.holds.iter().all(|hold| unclear(hold.node)), "{:?}", quorum.holds);
    }

    fn peers_with_sockets(&self) -> impl Iterator<Item = u8> {
        let peers: BTreeSet<u8> = self.sockets.values().map(|socket| socket.peer).collect();
        peers.into_iter()
    }
}
