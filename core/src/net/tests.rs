//! Connections as one node sees them: who connects and when, who is accepted, silence, loss, messages. Times and lines
//! are those of `reference/o2net-observed.md`, without the slack of the kernel's timers.

mod connecting;
mod messages;
mod random;
mod silence;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::wire::{HANDSHAKE_BYTES, Message as Wire};
use super::*;
use crate::call::Call;
use crate::effect::Effect;
use crate::ids::ItemId;
use crate::nodeman::NodeFile;

/// Idle 5 s, keepalive 1 s, reconnect 1 s, dead threshold 7.
pub(super) const TIMING: Timing = Timing {
    idle: Duration::from_millis(5000),
    keepalive: Duration::from_millis(1000),
    reconnect: Duration::from_millis(1000),
    heartbeat: Duration::from_secs(12),
    quorum_delay: Some(Duration::from_secs(18)),
};

fn node(num: u8) -> NodeNum {
    NodeNum::new(num.into()).unwrap()
}

/// One node of a cluster of n1 to n5 at 10.9.0.1 to 10.9.0.5, which listens.
struct Fixture {
    nodes: NodeManager,
    net: Net,
    timing: Timing,
    now: u64,
    /// Everything that was asked for, with when in milliseconds.
    done: Vec<(u64, Effect)>,
}

impl Fixture {
    fn new(own: u8) -> Self {
        let mut nodes = NodeManager::default();
        let name = |text: &str| crate::Name::new(text.as_bytes()).unwrap();
        nodes.make_cluster(ItemId(100), &name("c")).unwrap();
        let call = Call::nobody(crate::Now::default());
        for num in 1..=5 {
            let id = ItemId(num);
            nodes.make_node(id, &name(&format!("n{num}"))).unwrap();
            let mut effects = Effects::default();
            for (file, value) in [
                (NodeFile::Port, String::from("7777")),
                (NodeFile::Address, format!("10.9.0.{num}")),
                (NodeFile::Num, num.to_string()),
            ] {
                nodes.store_node(call, id, file, value.as_bytes(), &mut effects).unwrap();
            }
        }
        let mut fixture = Self { nodes, net: Net::default(), timing: TIMING, now: 0, done: Vec::new() };
        fixture.tell(|net, cx| net.start(node(own), &NodeSet::EMPTY, cx));
        fixture
    }

    fn tell(&mut self, tell: impl FnOnce(&mut Net, Context<'_>)) {
        let mut effects = Effects::default();
        let now = Instant::at(Duration::from_millis(self.now));
        let cx = Context { now, nodes: &self.nodes, timing: self.timing, effects: &mut effects };
        tell(&mut self.net, cx);
        let now = self.now;
        self.done.extend(effects.take().into_iter().map(|effect| (now, effect)));
    }

    fn up(&mut self, num: u8) {
        self.tell(|net, cx| net.heartbeat_up(node(num), cx));
    }

    fn down(&mut self, num: u8) {
        self.tell(|net, cx| net.disconnect(node(num), cx));
    }

    fn event(&mut self, event: NetEvent<'_>) {
        self.tell(|net, cx| net.handle(event, cx));
    }

    fn accept(&mut self, id: u64, from: u8) -> ConnectionId {
        let connection = ConnectionId::Accepted(id);
        let from = Address([10, 9, 0, from]);
        self.event(NetEvent::Accepted { connection, from, port: 40_000 });
        connection
    }

    fn receive(&mut self, connection: ConnectionId, bytes: &[u8]) {
        self.event(NetEvent::Received(connection, bytes));
    }

    fn greet(&mut self, connection: ConnectionId) {
        self.receive(connection, &TIMING.handshake().encode());
    }

    fn message(&mut self, connection: ConnectionId, message: Wire<'_>) {
        let mut bytes = Vec::from(message.header().unwrap());
        bytes.extend_from_slice(message.payload());
        self.receive(connection, &bytes);
    }

    /// A good connection, accepted from a node with a higher number.
    fn connected(own: u8, other: u8) -> (Self, ConnectionId) {
        let mut fixture = Self::new(own);
        fixture.up(other);
        let connection = fixture.accept(1, other);
        fixture.greet(connection);
        assert_eq!(fixture.net.connected().iter().collect::<Vec<_>>(), [node(other)]);
        fixture.done.clear();
        (fixture, connection)
    }

    /// Time passes, to the millisecond.
    fn wait(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) =
            self.net.next_timeout().filter(|due| due.since_start().as_millis() <= end.into())
        {
            self.now = self.now.max(u64::try_from(due.since_start().as_millis()).unwrap());
            self.tell(|net, cx| net.timeout(cx));
        }
        self.now = end;
    }

    /// The last attempt to connect.
    fn attempt(&self) -> ConnectionId {
        self.attempts().last().unwrap().1
    }

    fn attempts(&self) -> Vec<(u64, ConnectionId)> {
        let attempts = self.done.iter().filter_map(|(at, effect)| match effect {
            Effect::Do(Action::Net(NetRequest::Connect { connection, .. })) => Some((*at, *connection)),
            _ => None,
        });
        attempts.collect()
    }

    fn closed(&self) -> Vec<(u64, ConnectionId)> {
        let closed = self.done.iter().filter_map(|(at, effect)| match effect {
            Effect::Do(Action::Net(NetRequest::Close(connection))) => Some((*at, *connection)),
            _ => None,
        });
        closed.collect()
    }

    /// Everything that was sent over a connection.
    fn sent(&self, over: ConnectionId) -> Vec<u8> {
        let sent = self.done.iter().filter_map(|(_, effect)| match effect {
            Effect::Do(Action::Net(NetRequest::Send { connection, bytes })) if *connection == over => {
                Some(bytes)
            }
            _ => None,
        });
        sent.flatten().copied().collect()
    }

    fn edges(&self) -> Vec<(u64, u8, ConnectionEdge)> {
        let edges = self.done.iter().filter_map(|(at, effect)| match effect {
            Effect::Connection(node, edge) => Some((*at, node.get(), *edge)),
            _ => None,
        });
        edges.collect()
    }

    fn lines(&self) -> Vec<(u64, String)> {
        let lines = self.done.iter().filter_map(|(at, effect)| match effect {
            Effect::Note(note @ Note::Net(_)) => Some((*at, note.to_string())),
            _ => None,
        });
        lines.collect()
    }

    fn said(&self) -> Vec<String> {
        self.lines().into_iter().map(|(_, line)| line).collect()
    }

    /// Nodes that are pinned.
    fn pins(&self) -> Vec<(u64, i32)> {
        let mut pins: BTreeMap<u64, i32> = BTreeMap::new();
        for (_, effect) in &self.done {
            match effect {
                Effect::Pin(item) => *pins.entry(item.0).or_default() += 1,
                Effect::Unpin(item) => *pins.entry(item.0).or_default() -= 1,
                _ => {}
            }
        }
        pins.into_iter().filter(|(_, pins)| *pins != 0).collect()
    }
}
