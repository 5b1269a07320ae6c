//! TCP between the nodes: streams of bytes that arrive in order, in pieces, after a delay, and again and again if the way
//! is cut.
//!
//! - Each direction of a connection is a `Flow`. Its bytes arrive if the way there is open, and are done with if the way
//!   back is open too: it carries the acknowledgement. Otherwise they are sent again, after the times of Linux
//!   ([`stream`](super::stream)), and what is written meanwhile waits behind them. So a cut of one direction stops both: one of them
//!   arrives once and is not acknowledged, which nobody above TCP notices (`reference/o2net-observed.md`, section 4).
//! - A machine without power answers nothing. One that runs answers for a connection that it does not know with a reset.
//! - A process that ends leaves a system that closes its connections at once, by an end or a reset.
//! - An attempt succeeds if both ways are open. Nobody listens: refused. No answer: tried again after 1, 3, 7 s ...

use std::collections::VecDeque;

use uo2cb_core::net::{Closing, NetEvent, NetRequest};
use uo2cb_core::{ConnectionId, Errno, Input};

use super::faults::Filter;
use super::invariants::{Checked, broken, check};
use super::node::NodeEvent;
use super::world::{Completion, SimEvent, World};
use super::{MS, SEC, Us};

pub(super) const RESET: Errno = Errno(104);
const REFUSED: Errno = Errno(111);
const UNREACHABLE: Errno = Errno(113);
const NO_ROUTE: Errno = Errno(101);

/// The same of an attempt to connect.
const SYN_AGAIN: [Us; 6] = [SEC, 3 * SEC, 7 * SEC, 15 * SEC, 31 * SEC, 63 * SEC];
/// How long a system looks for a neighbour that does not answer (section 9, and `EHOSTUNREACH` seen after it).
const NO_NEIGHBOUR: Us = 3_070 * MS;

/// What a node is told of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// Somebody has connected.
    Accepted,
    /// It is established.
    Connected,
    /// Bytes.
    Bytes(Vec<u8>),
    /// Its end.
    Closed(Closing),
}

/// One end of a connection.
#[derive(Clone, Debug)]
pub struct End {
    /// Whose.
    pub node: usize,
    /// Which boot of it.
    pub(super) incarnation: u32,
    /// Its name in the engine; none: not accepted yet.
    pub id: Option<ConnectionId>,
    /// The process has it.
    pub(super) open: bool,
    /// Its output is full: the process will be told, and sends nothing more.
    pub(super) full: bool,
    /// What the process has not been told yet.
    pub(super) inbox: VecDeque<Told>,
}

/// One direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    /// Not acknowledged.
    pub(super) bytes: Vec<u8>,
    /// The end of the stream follows them.
    pub(super) fin: bool,
    /// As many of them have arrived, and their acknowledgement was lost.
    pub(super) arrived: usize,
    /// Since when something is lost, and how often it has been sent again.
    pub(super) lost: Option<(Us, usize)>,
    /// Nothing arrives before what was sent earlier.
    pub(super) arrival: Us,
}

/// A connection, or an attempt.
#[derive(Clone, Debug)]
pub struct Tcp {
    /// Who connects, then who is connected to.
    pub ends: [End; 2],
    pub(super) flows: [Flow; 2],
    pub(super) established: bool,
    /// Where it goes.
    to: [u8; 4],
    port: u16,
    /// The connecting end's.
    from: [u8; 4],
    /// The next message is cut off in the middle by a reset.
    pub breaks: bool,
}

/// What happens to a connection.
#[derive(Clone, Debug)]
pub enum Packet {
    /// An attempt, so often repeated.
    Syn(usize),
    /// Lost bytes of this end are sent again.
    Again(usize),
    /// Something arrives at this end.
    Arrives(usize, Told),
}

impl World {
    /// Carries out what an engine asks for.
    pub fn net_request(&mut self, n: usize, request: NetRequest) -> Checked {
        match request {
            NetRequest::Connect { connection, from, to, port } => {
                self.connect(n, connection, from.0, to.0, port)
            }
            NetRequest::Send { connection, .. } | NetRequest::Close(connection)
                if self.nodes[n].closing == Some(connection) =>
            {
                Ok(())
            }
            NetRequest::Send { connection, bytes } => {
                let (number, side) = self.socket(n, connection, "sends over")?;
                self.figures.messages += 1;
                self.send(number, side, bytes);
                Ok(())
            }
            NetRequest::Close(connection) => {
                let (number, side) = self.socket(n, connection, "closes")?;
                self.close(number, side);
                Ok(())
            }
        }
    }

    fn socket(
        &self,
        n: usize,
        connection: ConnectionId,
        what: &str,
    ) -> Result<(u64, usize), super::invariants::Violation> {
        self.nodes[n].sockets.get(&connection).copied().ok_or_else(|| {
            broken("only open connections are used", format!("node {n} {what} {connection:?}"))
        })
    }

    fn connect(&mut self, n: usize, id: ConnectionId, from: [u8; 4], to: [u8; 4], port: u16) -> Checked {
        self.check_attempt(n, to[3])?;
        let node = &mut self.nodes[n];
        self.last_tcp += 1;
        let number = self.last_tcp;
        check(node.sockets.insert(id, (number, 0)).is_none(), "a connection has a name of its own", || {
            format!("node {n}: {id:?}")
        })?;
        let end = |node, incarnation, id, open| {
            let inbox = VecDeque::new();
            End { node, incarnation, id, open, full: false, inbox }
        };
        let ends = [end(n, node.incarnation, Some(id), true), end(n, 0, None, false)];
        let flows = Default::default();
        let tcp = Tcp { ends, flows, established: false, to, port, from, breaks: false };
        self.tcps.insert(number, tcp);
        if self.filter(n, to).is_some_and(|filter| filter == Filter::NoRoute) {
            return self.told(number, 0, Told::Closed(Closing::NotTried(NO_ROUTE)), self.now);
        }
        self.schedule(self.now, n, SimEvent::Packet(number, Packet::Syn(0)));
        Ok(())
    }

    /// What happens to a connection, now.
    pub fn packet(&mut self, number: u64, packet: Packet) -> Checked {
        match packet {
            Packet::Syn(times) => self.syn(number, times),
            Packet::Again(side) => {
                self.transmit(number, side);
                Ok(())
            }
            Packet::Arrives(side, told) => self.arrives(number, side, told),
        }
    }

    fn syn(&mut self, number: u64, times: usize) -> Checked {
        let Some(tcp) = self.tcps.get(&number).filter(|tcp| tcp.ends[0].open && !tcp.established) else {
            return Ok(());
        };
        let (n, to, port) = (tcp.ends[0].node, tcp.to, tcp.port);
        // Mostly the node of this number; with a wrong configuration another one may have taken the address.
        let listens = |node: &super::node::Node| node.listens == Some((to, port));
        let usual =
            self.nodes.get(usize::from(to[3])).filter(|node| listens(node)).map(|_| usize::from(to[3]));
        let target = usual.or_else(|| self.nodes.iter().position(listens));
        let machine = target.or(Some(usize::from(to[3])).filter(|n| *n < self.nodes.len() && to[2] == 0));
        let reached = machine
            .filter(|other| self.nodes[*other].powered && self.passes(n, *other) && self.passes(*other, n));
        let filter = self.filter(n, to);
        let Some(other) = reached.filter(|_| filter != Some(Filter::Drop)) else {
            if times == 0 && filter.is_none() && self.nodes[n].rng.chance(30) {
                let told = Told::Closed(Closing::Reset(UNREACHABLE));
                self.schedule(self.now + NO_NEIGHBOUR, n, SimEvent::Packet(number, Packet::Arrives(0, told)));
            } else if let Some(later) = SYN_AGAIN.get(times) {
                let before = times.checked_sub(1).map_or(0, |before| SYN_AGAIN[before]);
                let packet = Packet::Syn(times + 1);
                self.schedule(self.now + later - before, n, SimEvent::Packet(number, packet));
            }
            return Ok(());
        };
        let (there, back) = (self.latency(n, other), self.latency(other, n));
        if target != Some(other) || filter.is_some() {
            return self.told(number, 0, Told::Closed(Closing::Reset(REFUSED)), self.now + there + back);
        }
        let incarnation = self.nodes[other].incarnation;
        let (known, accepted) = (self.now + there + back, self.now + there + back + there);
        if let Some(tcp) = self.tcps.get_mut(&number) {
            tcp.established = true;
            (tcp.ends[1].node, tcp.ends[1].incarnation, tcp.ends[1].open) = (other, incarnation, true);
            (tcp.flows[0].arrival, tcp.flows[1].arrival) = (accepted, known);
        }
        self.told(number, 0, Told::Connected, known)?;
        self.told(number, 1, Told::Accepted, accepted)
    }

    /// Something will have arrived at an end.
    pub(super) fn told(&mut self, number: u64, side: usize, told: Told, at: Us) -> Checked {
        if let Some(n) = self.tcps.get(&number).map(|tcp| tcp.ends[side].node) {
            self.schedule(at, n, SimEvent::Packet(number, Packet::Arrives(side, told)));
        }
        Ok(())
    }

    fn arrives(&mut self, number: u64, side: usize, told: Told) -> Checked {
        let Some(tcp) = self.tcps.get_mut(&number) else { return Ok(()) };
        let (end, other) = (&tcp.ends[side], &tcp.ends[1 - side]);
        let (n, from) = (end.node, other.node);
        if tcp.established && !self.nodes[n].powered {
            return Ok(());
        }
        if !end.open {
            // Nobody knows of it here.
            if other.open && matches!(told, Told::Bytes(_)) && self.passes(n, from) {
                let at = self.now + self.latency(n, from);
                return self.told(number, 1 - side, Told::Closed(Closing::Reset(RESET)), at);
            }
            self.forget(number);
            return Ok(());
        }
        let pieces = match told {
            Told::Bytes(bytes) if bytes.len() > 1 && self.nodes[n].rng.chance(20) => {
                let at = 1 + self.nodes[n].rng.below(bytes.len() as u64 - 1) as usize;
                let (first, second) = bytes.split_at(at);
                vec![Told::Bytes(first.into()), Told::Bytes(second.into())]
            }
            told => vec![told],
        };
        for told in pieces {
            let Some(end) = self.tcps.get_mut(&number).map(|tcp| &mut tcp.ends[side]) else { break };
            end.inbox.push_back(told);
            let incarnation = end.incarnation;
            self.dispatch(n, incarnation, NodeEvent::Net(number, side))?;
        }
        Ok(())
    }

    /// A node takes the next word of one of its connections.
    pub fn net_happened(&mut self, n: usize, number: u64, side: usize) -> Checked {
        let Some(tcp) = self.tcps.get_mut(&number) else { return Ok(()) };
        let from = tcp.from;
        let peer = self.nodes[tcp.ends[1 - side].node].own;
        let end = &mut tcp.ends[side];
        let Some(told) = end.inbox.pop_front().filter(|_| end.open) else { return Ok(()) };
        let event = match &told {
            Told::Accepted => {
                self.nodes[n].last_accepted += 1;
                let id = ConnectionId::Accepted(self.nodes[n].last_accepted);
                end.id = Some(id);
                self.nodes[n].sockets.insert(id, (number, side));
                let port = 32_768 + (number % 28_000) as u16;
                NetEvent::Accepted { connection: id, from: uo2cb_core::nodeman::Address(from), port }
            }
            told => {
                let Some(connection) = end.id else { return Ok(()) };
                match told {
                    Told::Bytes(bytes) => NetEvent::Received(connection, bytes),
                    Told::Closed(closing) => {
                        let closing = *closing;
                        self.nodes[n].sockets.remove(&connection);
                        end.open = false;
                        self.deaf(n, connection);
                        self.nodes[n].closing = Some(connection);
                        if matches!(closing, Closing::Ended | Closing::Full) {
                            self.send_end(number, side);
                        }
                        NetEvent::Closed(connection, closing)
                    }
                    Told::Accepted | Told::Connected => {
                        NetEvent::Connected { connection, port: 32_768 + (number % 28_000) as u16 }
                    }
                }
            }
        };
        self.input(n, Input::Net(event), Completion::None)?;
        self.nodes[n].closing = None;
        // Its timers came first, as in the engine.
        if let NetEvent::Received(connection, bytes) = event {
            if self.nodes[n].sockets.contains_key(&connection) {
                self.hears(n, connection, peer, bytes);
            }
        }
        Ok(())
    }
}
