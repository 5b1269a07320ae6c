//! One other node that heartbeats: its connection, when it is tried, and when it is silent.

use core::time::Duration;

use super::handlers::Handlers;
use super::link::{Link, Phase, Place};
use super::note::NetNote;
use super::requests::{self, Requests, SendError};
use super::status::{Counters, PeerPhase, PeerStatus};
use super::wire::{HANDSHAKE_BYTES, Handshake, Kind, Message, ProtocolError, SystemStatus, Ticket};
use super::{Closing, ConnectionEdge, Context, Incoming, NetRequest, User};
use crate::effect::Effect;
use crate::ids::{ConnectionId, NodeNum};
use crate::time::Instant;
use crate::timers::Timers;

/// A timer of silence that ends later than this was held up with the whole process: what has been received meanwhile
/// may wait to be read, and is read first.
const LATE: Duration = Duration::from_secs(1);

/// What a peer waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Timer {
    /// To be connected to again.
    Connect,
    /// To be connected, until that is worth a line, and everything begins anew.
    Expiry,
    /// To be asked whether it is there.
    Keepalive,
    /// To say anything, until half of the idle time has passed.
    HalfIdle,
    /// To say anything.
    Idle,
    /// For the quorum delay to end.
    StillUp,
}

impl From<Timer> for usize {
    fn from(timer: Timer) -> Self {
        timer as Self
    }
}

/// A node that heartbeats, other than this one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Peer {
    num: NodeNum,
    link: Option<Link>,
    /// A good connection was lost, or a handshake refused: the next attempt waits for the expiry.
    failed: bool,
    /// The idle time has passed, and quorum knows.
    silent: bool,
    /// Timers of silence have been put off once because they came late.
    put_off: bool,
    last_attempt: Option<Instant>,
    timers: Timers<6>,
    requests: Requests,
    counters: Counters,
}

impl Peer {
    pub(super) fn new(num: NodeNum) -> Self {
        Self {
            num,
            link: None,
            failed: false,
            silent: false,
            put_off: false,
            last_attempt: None,
            timers: Timers::default(),
            requests: Requests::default(),
            counters: Counters::default(),
        }
    }

    pub(super) fn num(&self) -> NodeNum {
        self.num
    }

    pub(super) fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// A good handshake, and not lost. It may be silent.
    pub(super) fn established(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.phase == Phase::Good)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Heartbeat sees it.
    pub(super) fn heartbeat_up(&mut self, cx: &mut Context<'_>) {
        self.last_attempt = None;
        if self.link.is_none() {
            self.failed = false;
            self.retry(cx);
        }
    }

    /// It is to be forgotten.
    pub(super) fn disconnect(&mut self, cx: &mut Context<'_>) {
        self.drop_link(true, cx);
        self.requests.fail(self.num, cx.effects);
        self.timers.stop();
    }

    /// The next attempt: no sooner than the reconnect delay after the last one. And how long that may go on until it is
    /// worth a line: from the first attempt on (`o2net_set_nn_state`).
    fn retry(&mut self, cx: &Context<'_>) {
        let allowed = self.last_attempt.map_or(cx.now, |last| last.after(cx.timing.reconnect)).max(cx.now);
        if self.timers.get(Timer::Connect).is_none() {
            self.timers.set(Timer::Connect, Some(allowed));
        }
        if self.timers.get(Timer::Expiry).is_none() {
            self.timers.set(Timer::Expiry, Some(allowed.after(cx.timing.idle)));
        }
    }

    /// The time of an attempt has come.
    pub(super) fn wants_to_connect(&self, now: Instant) -> bool {
        self.timers.expired(Timer::Connect, now)
    }

    /// Tries to connect, if it is this node that has to, and there is something to be tried. False: there is not
    /// (`o2net_start_connect`).
    pub(super) fn connect(&mut self, id: ConnectionId, own: Option<&Place>, cx: &mut Context<'_>) -> bool {
        self.timers.set(Timer::Connect, None);
        let given_up = self.failed && !self.silent;
        let Some(own) = own else { return false };
        if own.num <= self.num || self.link.is_some() || given_up {
            return false;
        }
        let Some(node) = cx.nodes.node_by_num(self.num).and_then(Place::of) else { return false };
        self.last_attempt = Some(cx.now);
        let (from, to, port) = (own.address, node.address, node.port);
        cx.act(NetRequest::Connect { connection: id, from, to, port });
        self.attach(Link::made(id, node, cx.now), cx);
        true
    }

    fn attach(&mut self, link: Link, cx: &mut Context<'_>) {
        cx.effects.push(Effect::Pin(link.node.id));
        self.link = Some(link);
        if self.timers.get(Timer::Expiry).is_none() {
            self.timers.set(Timer::Expiry, Some(cx.now.after(cx.timing.idle)));
        }
    }

    /// It has connected, and may.
    pub(super) fn accepted(&mut self, link: Link, cx: &mut Context<'_>) {
        self.silent = false;
        self.attach(link, cx);
        self.greet(cx);
    }

    /// An attempt has succeeded.
    pub(super) fn connected(&mut self, port: u16, cx: &mut Context<'_>) {
        let Some(link) = self.link.as_mut().filter(|link| link.phase == Phase::Connecting) else { return };
        link.port = port;
        link.enter(Phase::Handshake, cx.now);
        self.greet(cx);
    }

    fn greet(&mut self, cx: &mut Context<'_>) {
        if let Some(link) = &self.link {
            let (connection, bytes) = (link.id, cx.timing.handshake().encode().into());
            cx.act(NetRequest::Send { connection, bytes });
        }
    }

    /// Bytes of the connection. Whatever is whole is dealt with; the rest waits.
    pub(super) fn received(&mut self, bytes: &[u8], handlers: &Handlers, cx: &mut Context<'_>) {
        let Some(link) = &mut self.link else { return };
        let (id, mut inbox, mut at) = (link.id, core::mem::take(&mut link.inbox), 0);
        inbox.extend_from_slice(bytes);
        while let Some(phase) = self.link.as_ref().filter(|link| link.id == id).map(|link| link.phase) {
            let rest = inbox.get(at..).unwrap_or_default();
            match phase {
                Phase::Connecting => break,
                Phase::Handshake => {
                    let Some(theirs) = rest.first_chunk::<HANDSHAKE_BYTES>() else { break };
                    at += HANDSHAKE_BYTES;
                    self.greeted(&Handshake::decode(theirs), cx);
                }
                Phase::Good => match Message::decode(rest) {
                    Ok(None) => break,
                    Ok(Some((message, length))) => {
                        at += length;
                        self.message(id, message, handlers, cx);
                    }
                    Err(error) => self.broken(error, cx),
                },
            }
        }
        if let Some(link) = self.link.as_mut().filter(|link| link.id == id) {
            inbox.drain(..at);
            link.inbox = inbox;
        }
    }

    /// The other end's handshake (`o2net_check_handshake`).
    fn greeted(&mut self, theirs: &Handshake, cx: &mut Context<'_>) {
        let Some(link) = &mut self.link else { return };
        if let Err(mismatch) = cx.timing.handshake().check(theirs) {
            let node = link.node.clone();
            cx.note(NetNote::Mismatch(node, mismatch));
            self.drop_link(true, cx);
            self.failed = true;
            self.requests.fail_waiting(self.num, cx.effects);
            return self.retry(cx);
        }
        link.enter(Phase::Good, cx.now);
        link.heard = cx.now;
        let (id, node) = (link.id, link.node.clone());
        (self.failed, self.silent, self.put_off) = (false, false, false);
        self.timers.set(Timer::Expiry, None);
        // A quorum delay goes on, as in the kernel: at its end nothing is held that it could let go.
        self.edge(ConnectionEdge::Up, cx);
        cx.note(match id {
            ConnectionId::Made(_) => NetNote::Connected(node),
            ConnectionId::Accepted(_) => NetNote::Accepted(node),
        });
        self.restart_idle(cx);
        while let Some((kind, user, payload)) = self.requests.next_waiting() {
            self.send(kind, &payload, user, cx);
        }
    }

    fn message(&mut self, id: ConnectionId, message: Message<'_>, handlers: &Handlers, cx: &mut Context<'_>) {
        self.heard(cx);
        match message {
            Message::Request { kind, ticket, payload } => match handlers.find(kind, payload.len()) {
                Ok(user) => {
                    self.counters.received(kind, cx.now);
                    let (from, payload) = (self.num, payload.to_vec());
                    cx.effects.push(Effect::Message(Incoming {
                        connection: id,
                        from,
                        kind,
                        ticket,
                        user,
                        payload,
                    }));
                }
                Err(system) => self.answer(kind, ticket, Err(system), cx),
            },
            Message::Status { ticket, system, status, .. } => {
                if let Some((kind, user)) = self.requests.answered(ticket.number) {
                    let handled = system == SystemStatus::Ok;
                    let result = if handled { Ok(status) } else { Err(SendError::System(system)) };
                    cx.effects.push(Effect::Answered { node: self.num, kind, user, result });
                }
            }
            Message::KeepaliveRequest => self.transmit(Message::KeepaliveAnswer, cx),
            Message::KeepaliveAnswer => {}
        }
    }

    /// Any message says that it is there (`o2net_sc_postpone_idle`).
    fn heard(&mut self, cx: &mut Context<'_>) {
        if core::mem::take(&mut self.silent) {
            self.timers.set(Timer::StillUp, None);
            self.edge(ConnectionEdge::Up, cx);
        }
        self.put_off = false;
        if let Some(link) = &mut self.link {
            link.heard = cx.now;
        }
        self.restart_idle(cx);
    }

    fn restart_idle(&mut self, cx: &Context<'_>) {
        let Some(link) = &mut self.link else { return };
        link.idle_since = cx.now;
        self.timers.set(Timer::Keepalive, Some(cx.now.after(cx.timing.keepalive)));
        self.timers.set(Timer::HalfIdle, Some(cx.now.after(cx.timing.idle / 2)));
        self.timers.set(Timer::Idle, Some(cx.now.after(cx.timing.idle)));
    }

    fn broken(&mut self, error: ProtocolError, cx: &mut Context<'_>) {
        if let Some(link) = &self.link {
            cx.note(NetNote::Broken(link.node.clone(), error));
        }
        self.lose(true, cx);
    }

    /// The connection has ended by itself.
    pub(super) fn closed(&mut self, closing: Closing, cx: &mut Context<'_>) {
        if let Some(link) = &self.link {
            cx.note(NetNote::Closed(link.node.clone(), closing));
        }
        self.lose(false, cx);
    }

    /// The connection goes, and is tried again.
    fn lose(&mut self, close: bool, cx: &mut Context<'_>) {
        // Without quorum the node is still there until userspace says otherwise, and so is what was asked of it.
        if self.drop_link(close, cx) && cx.timing.quorum_delay.is_some() {
            self.requests.fail(self.num, cx.effects);
        }
        self.retry(cx);
    }

    /// The connection goes. True if it was a good one. `close`: the driver still has it.
    fn drop_link(&mut self, close: bool, cx: &mut Context<'_>) -> bool {
        let Some(link) = self.link.take() else { return false };
        for timer in [Timer::Keepalive, Timer::HalfIdle, Timer::Idle] {
            self.timers.set(timer, None);
        }
        if close {
            cx.act(NetRequest::Close(link.id));
        }
        cx.effects.push(Effect::Unpin(link.node.id));
        let good = link.phase == Phase::Good;
        if good {
            self.failed = true;
            self.report_error(cx);
            cx.note(NetNote::NotConnected(link.node));
        }
        good
    }

    /// Quorum is told, and asked to decide if nothing is heard until the end of its delay.
    fn report_error(&mut self, cx: &mut Context<'_>) {
        self.edge(ConnectionEdge::Error, cx);
        if let Some(delay) = cx.timing.quorum_delay {
            if self.timers.get(Timer::StillUp).is_none() {
                self.timers.set(Timer::StillUp, Some(cx.now.after(delay)));
            }
        }
    }

    fn edge(&self, edge: ConnectionEdge, cx: &mut Context<'_>) {
        cx.effects.push(Effect::Connection(self.num, edge));
    }

    /// Time has passed. Attempts are the caller's, who has the ids.
    pub(super) fn timeout(&mut self, cx: &mut Context<'_>) {
        if self.take_expired(Timer::Expiry, cx) && !self.established() {
            cx.note(NetNote::NotEstablished(self.num, cx.timing.idle));
            self.drop_link(true, cx);
            self.failed = false;
            if cx.timing.quorum_delay.is_some() {
                self.requests.fail_waiting(self.num, cx.effects);
            }
            self.retry(cx);
        }
        if self.take_expired(Timer::Keepalive, cx) {
            self.transmit(Message::KeepaliveRequest, cx);
        }
        if self.take_expired(Timer::HalfIdle, cx) && !self.silent {
            self.note_silence(NetNote::HalfIdle, |link| link.heard, cx);
        }
        if self.put_off(cx) {
            return;
        }
        if self.take_expired(Timer::Idle, cx) {
            self.note_silence(NetNote::Idle, |link| link.idle_since, cx);
            self.silent = true;
            self.report_error(cx);
            self.restart_idle(cx);
        }
        if self.take_expired(Timer::StillUp, cx) {
            self.edge(ConnectionEdge::StillUp, cx);
        }
    }

    fn note_silence(
        &self,
        note: fn(Place, Duration) -> NetNote,
        since: fn(&Link) -> Instant,
        cx: &mut Context<'_>,
    ) {
        if let Some(link) = &self.link {
            cx.note(note(link.node.clone(), cx.now.since(since(link))));
        }
    }

    fn take_expired(&mut self, timer: Timer, cx: &Context<'_>) -> bool {
        let expired = self.timers.expired(timer, cx.now);
        if expired {
            self.timers.set(timer, None);
        }
        expired
    }

    /// Puts timers of silence off, once, that come so late that the whole process must have stood still.
    fn put_off(&mut self, cx: &Context<'_>) -> bool {
        let late = |peer: &Self, timer| peer.timers.get(timer).is_some_and(|due| due.after(LATE) < cx.now);
        let timers = [Timer::Idle, Timer::StillUp];
        if self.put_off || !timers.into_iter().any(|timer| late(self, timer)) {
            return false;
        }
        self.put_off = true;
        for timer in timers {
            if self.timers.expired(timer, cx.now) {
                self.timers.set(timer, Some(cx.now.after(LATE)));
            }
        }
        true
    }

    /// Sends a request, or keeps it until there is a connection.
    pub(super) fn send(&mut self, kind: Kind, payload: &[u8], user: User, cx: &mut Context<'_>) {
        let connection = self.link.as_ref().filter(|_| self.established()).map(|link| link.id);
        let error = match connection {
            Some(connection) => match self.requests.number(kind, payload, user) {
                Some(bytes) => {
                    self.counters.sent();
                    return cx.act(NetRequest::Send { connection, bytes });
                }
                None => SendError::TooMuch,
            },
            None if self.failed && cx.timing.quorum_delay.is_some() => SendError::NotConnected,
            None if self.requests.wait(kind, payload, user) => return,
            None => SendError::TooMuch,
        };
        requests::failed(self.num, kind, user, error, cx.effects);
    }

    /// Answers a request.
    pub(super) fn answer(
        &self,
        kind: Kind,
        ticket: Ticket,
        result: Result<i32, SystemStatus>,
        cx: &mut Context<'_>,
    ) {
        let (system, status) = match result {
            Ok(status) => (SystemStatus::Ok, status),
            Err(system) => (system, 0),
        };
        self.transmit(Message::Status { kind, ticket, system, status }, cx);
    }

    fn transmit(&self, message: Message<'_>, cx: &mut Context<'_>) {
        if let Some((link, header)) = self.link.as_ref().filter(|_| self.established()).zip(message.header())
        {
            cx.act(NetRequest::Send { connection: link.id, bytes: header.into() });
        }
    }

    pub(super) fn status(&self) -> PeerStatus {
        let phase = match &self.link {
            None if self.failed => PeerPhase::Lost,
            None => PeerPhase::None,
            Some(link) => match link.phase {
                Phase::Connecting => PeerPhase::Connecting,
                Phase::Handshake => PeerPhase::Handshake,
                Phase::Good if self.silent => PeerPhase::Silent,
                Phase::Good => PeerPhase::Connected,
            },
        };
        PeerStatus {
            num: self.num,
            phase,
            made: self.link.as_ref().map(|link| matches!(link.id, ConnectionId::Made(_))),
            since: self.link.as_ref().map(|link| link.since),
            heard: self.link.as_ref().filter(|_| self.established()).map(|link| link.heard),
            idle_since: self.link.as_ref().filter(|_| self.established()).map(|link| link.idle_since),
            port: self.link.as_ref().map(|link| link.port),
            inbox: self.link.as_ref().map_or(0, |link| link.inbox.len()),
            still_up: self.timers.get(Timer::StillUp),
            requests: self.requests.len(),
            counters: self.counters,
        }
    }
}
