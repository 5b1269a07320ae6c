//! o2net: the messages between nodes (`spec/o2net.md`).
//!
//! `Net` keeps a `Peer` for each other node that heartbeats while this one listens. There is one connection to
//! each: the node with the higher number makes it, the lower one accepts. What a connection says about a node is an edge
//! for quorum; what comes over it goes to whoever handles messages of its kind.

mod handlers;
mod link;
pub(crate) mod note;
mod peer;
pub(crate) mod request;
mod requests;
mod status;
#[cfg(test)]
mod tests;
pub mod wire;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use self::handlers::Handlers;
pub use self::handlers::User;
use self::link::Link;
pub use self::link::Place;
pub use self::note::{NetNote, Stranger};
use self::peer::Peer;
pub use self::request::{Closing, NetEvent, NetRequest};
pub use self::requests::SendError;
pub use self::status::{Counters, Message, PeerPhase, PeerStatus};
use self::wire::{Handshake, Kind, SystemStatus, Ticket};
use crate::effect::Effects;
use crate::ids::{ConnectionId, NodeNum, NodeSet};
use crate::message::Action;
use crate::nodeman::{Address, Node, NodeManager};
use crate::note::Note;
use crate::time::Instant;

/// What a connection says about its node, to quorum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionEdge {
    /// It is there, or is heard of again after silence.
    Up,
    /// It was lost, or is silent.
    Error,
    /// The quorum delay after an error has ended, and heartbeat still sees the node.
    StillUp,
}

/// A request that a handler takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incoming {
    /// Who takes it.
    pub user: User,
    /// Which connection brought it, and gets the answer.
    pub connection: ConnectionId,
    /// Who sent it.
    pub from: NodeNum,
    /// What it is for.
    pub kind: Kind,
    /// Goes back with the answer.
    pub ticket: Ticket,
    /// At most as long as the handler said.
    pub payload: Vec<u8>,
}

/// A request to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// Who sends it.
    pub user: User,
    /// To which node.
    pub to: NodeNum,
    /// What it is for.
    pub kind: Kind,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// The times that connections go by: those of the cluster, and those of the heartbeat method.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Timing {
    pub(crate) idle: Duration,
    pub(crate) keepalive: Duration,
    pub(crate) reconnect: Duration,
    /// After which a node without a beat fences itself.
    pub(crate) heartbeat: Duration,
    /// From an error to the decision; none: no quorum, who is lost is for userspace to say.
    pub(crate) quorum_delay: Option<Duration>,
}

impl Timing {
    fn handshake(&self) -> Handshake {
        let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Handshake::new(ms(self.heartbeat), ms(self.idle), ms(self.keepalive), ms(self.reconnect))
    }
}

/// What the machine can reach in a call.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) nodes: &'a NodeManager,
    pub(crate) timing: Timing,
    pub(crate) effects: &'a mut Effects,
}

impl Context<'_> {
    fn act(&mut self, request: NetRequest) {
        self.effects.act(Action::Net(request));
    }

    fn note(&mut self, note: NetNote) {
        self.effects.note(Note::Net(note));
    }
}

/// All connections of this node.
#[derive(Debug, Default)]
pub(crate) struct Net {
    /// This node, while it listens.
    own: Option<NodeNum>,
    /// The nodes that heartbeat, but for this one.
    peers: BTreeMap<NodeNum, Peer>,
    /// Whose each connection is.
    connections: BTreeMap<ConnectionId, NodeNum>,
    handlers: Handlers,
    last_made: u64,
    /// When the first of the peers wants to be called.
    next: Option<Instant>,
}

impl Net {
    /// This node listens; these nodes heartbeat already (`o2net_start_listening`).
    pub(crate) fn start(&mut self, own: NodeNum, up: &NodeSet, mut cx: Context<'_>) {
        self.own = Some(own);
        for num in up.iter() {
            self.peer_up(num, &mut cx);
        }
        self.settle();
    }

    /// It does not listen any more (`o2net_stop_listening`).
    pub(crate) fn stop(&mut self, mut cx: Context<'_>) {
        self.own = None;
        for (_, mut peer) in core::mem::take(&mut self.peers) {
            peer.disconnect(&mut cx);
        }
        self.connections.clear();
        self.settle();
    }

    /// Heartbeat sees a node (`o2net_hb_node_up_cb`), or one that it sees is configured only now.
    pub(crate) fn heartbeat_up(&mut self, num: NodeNum, mut cx: Context<'_>) {
        self.peer_up(num, &mut cx);
        self.settle();
    }

    fn peer_up(&mut self, num: NodeNum, cx: &mut Context<'_>) {
        if self.own.is_some_and(|own| own != num) {
            self.peers.entry(num).or_insert_with(|| Peer::new(num)).heartbeat_up(cx);
        }
    }

    /// Heartbeat has lost a node (`o2net_hb_node_down_cb`), or it is not configured any more.
    pub(crate) fn disconnect(&mut self, num: NodeNum, mut cx: Context<'_>) {
        if let Some(mut peer) = self.peers.remove(&num) {
            if let Some(link) = peer.link() {
                self.connections.remove(&link.id);
            }
            peer.disconnect(&mut cx);
        }
        self.settle();
    }

    /// Something happened to a connection. What is said of connections that are gone is ignored.
    pub(crate) fn handle(&mut self, event: NetEvent<'_>, mut cx: Context<'_>) {
        let connection = event.connection();
        if let NetEvent::Accepted { connection, from, port } = event {
            if let Err(stranger) = self.accept(connection, from, port, &mut cx) {
                cx.act(NetRequest::Close(connection));
                cx.note(NetNote::Stranger(stranger));
            }
        } else if let Some(peer) = self.connections.get(&connection).and_then(|num| self.peers.get_mut(num)) {
            match event {
                NetEvent::Accepted { .. } => {}
                NetEvent::Connected { port, .. } => peer.connected(port, &mut cx),
                NetEvent::Received(_, bytes) => peer.received(bytes, &self.handlers, &mut cx),
                NetEvent::Closed(_, closing) => peer.closed(closing, &mut cx),
            }
            if peer.link().is_none_or(|link| link.id != connection) {
                self.connections.remove(&connection);
            }
        }
        self.settle();
    }

    /// Who may connect (`o2net_accept_one`).
    fn accept(
        &mut self,
        connection: ConnectionId,
        from: Address,
        port: u16,
        cx: &mut Context<'_>,
    ) -> Result<(), Stranger> {
        let cluster = cx.nodes.cluster();
        let node = cluster.and_then(|cluster| Place::of(cluster.node_by_address(from)?));
        let own = self.own.and_then(|own| cluster?.node_by_num(own)).and_then(Place::of);
        let (node, own) = node.zip(own).ok_or(Stranger::Unknown { from, port })?;
        if own.num >= node.num {
            return Err(Stranger::Lower { own, node, port });
        }
        let Some(peer) = self.peers.get_mut(&node.num) else {
            return Err(Stranger::NotHeartbeating { node, port });
        };
        if peer.link().is_some() {
            return Err(Stranger::Second { node, port });
        }
        let num = node.num;
        peer.accepted(Link::accepted(connection, node, port, cx.now), cx);
        self.connections.insert(connection, num);
        Ok(())
    }

    /// Time has passed.
    pub(crate) fn timeout(&mut self, mut cx: Context<'_>) {
        let own = self.own.and_then(|own| Place::of(cx.nodes.node_by_num(own)?));
        for peer in self.peers.values_mut() {
            if peer.next_timeout().is_none_or(|due| due > cx.now) {
                continue;
            }
            let before = peer.link().map(|link| link.id);
            peer.timeout(&mut cx);
            if let Some(gone) = before.filter(|id| peer.link().is_none_or(|link| link.id != *id)) {
                self.connections.remove(&gone);
            }
            if peer.wants_to_connect(cx.now) {
                let connection = ConnectionId::Made(self.last_made + 1);
                if peer.connect(connection, own.as_ref(), &mut cx) {
                    self.last_made += 1;
                    self.connections.insert(connection, peer.num());
                }
            }
        }
        self.settle();
    }

    /// When [`timeout`](Self::timeout) is wanted next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Keeps what is derived from the peers.
    fn settle(&mut self) {
        self.next = self.peers.values().filter_map(Peer::next_timeout).min();
    }

    /// Sends a request. Its answer, or that there will be none, comes as
    /// [`Effect::Answered`](crate::effect::Effect::Answered), which may be at once.
    pub(crate) fn send(&mut self, request: &Outgoing, mut cx: Context<'_>) {
        let Outgoing { user, to, kind, ref payload } = *request;
        match self.peers.get_mut(&to) {
            Some(peer) => peer.send(kind, payload, user, &mut cx),
            None => requests::failed(to, kind, user, SendError::NotConnected, cx.effects),
        }
    }

    /// The answer of a handler to the request that this connection brought.
    pub(crate) fn answer(
        &mut self,
        request: &Incoming,
        result: Result<i32, SystemStatus>,
        mut cx: Context<'_>,
    ) {
        let peer = self.connections.get(&request.connection).and_then(|num| self.peers.get(num));
        if let Some(peer) = peer {
            peer.answer(request.kind, request.ticket, result, &mut cx);
        }
    }

    /// Messages of this kind with at most `limit` bytes go to a user from now on. False: another one has them.
    pub(crate) fn register(&mut self, kind: Kind, limit: usize, user: User) -> bool {
        self.handlers.register(kind, limit, user)
    }

    /// A user takes no more messages.
    pub(crate) fn unregister(&mut self, user: User) {
        self.handlers.unregister(user);
    }

    /// Nodes to which there is a socket.
    pub(crate) fn sockets(&self) -> usize {
        self.peers.values().filter(|peer| peer.link().is_some()).count()
    }

    /// Peers whose handshake was good and whose connection is not lost.
    pub(crate) fn connected(&self) -> NodeSet {
        self.peers.values().filter(|peer| peer.established()).map(Peer::num).collect()
    }

    /// Every peer, in ascending order of their numbers.
    pub(crate) fn status(&self) -> impl Iterator<Item = PeerStatus> + '_ {
        self.peers.values().map(Peer::status)
    }

    /// Whether this node listens.
    pub(crate) fn listens(&self) -> bool {
        self.own.is_some()
    }
}

/// The address and port of a node.
fn endpoint(node: &Node) -> Option<(Address, u16)> {
    Some((node.address?, node.port?))
}
