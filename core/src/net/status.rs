//! A snapshot of the peers.

use super::wire::Kind;
use crate::ids::NodeNum;
use crate::time::Instant;

/// How far the connection to a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerPhase {
    /// There is none yet.
    None,
    /// It is being tried.
    Connecting,
    /// It is established, the handshake has not come.
    Handshake,
    /// It is good.
    Connected,
    /// It was good, and nothing has been heard for the idle time.
    Silent,
    /// It was lost, or its handshake refused: tried again when the idle time has passed since.
    Lost,
}

/// Messages to and from a peer that somebody sent or handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that came and were handled.
    pub received: u64,
    /// The last of those.
    pub last: Option<Message>,
}

/// A request that was handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// What it was for.
    pub kind: Kind,
    /// When it came.
    pub at: Instant,
}

impl Counters {
    pub(super) fn sent(&mut self) {
        self.sent += 1;
    }

    pub(super) fn received(&mut self, kind: Kind, at: Instant) {
        self.received += 1;
        self.last = Some(Message { kind, at });
    }
}

/// A node that heartbeats, and the connection to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerStatus {
    /// Its number.
    pub num: NodeNum,
    /// How far its connection is.
    pub phase: PeerPhase,
    /// This node made the connection; false: it accepted it; none: there is none.
    pub made: Option<bool>,
    /// Since when the connection is in this phase.
    pub since: Option<Instant>,
    /// When the last message came.
    pub heard: Option<Instant>,
    /// When its idle time began anew.
    pub idle_since: Option<Instant>,
    /// The port that was chosen by chance: this node's if it made the connection, else the other one's.
    pub port: Option<u16>,
    /// Received bytes that are not yet a whole message.
    pub inbox: usize,
    /// When quorum will be asked to decide, unless something is heard.
    pub still_up: Option<Instant>,
    /// Requests that wait for an answer, or to be sent.
    pub requests: usize,
    /// What went to and fro.
    pub counters: Counters,
}
