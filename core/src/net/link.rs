//! One connection to a peer, from the attempt on.

use alloc::vec::Vec;

use super::endpoint;
use crate::ids::{ConnectionId, ItemId, NodeNum};
use crate::name::Name;
use crate::nodeman::{Address, Node};
use crate::time::Instant;

/// A node as lines name it. Shown as the kernel does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its directory.
    pub(crate) id: ItemId,
    /// Its name.
    pub name: Name,
    /// Its number.
    pub num: NodeNum,
    /// Its configured address.
    pub address: Address,
    /// Its configured port.
    pub port: u16,
}

impl Place {
    /// None: it is not configured completely.
    pub(crate) fn of(node: &Node) -> Option<Self> {
        let (address, port) = endpoint(node)?;
        Some(Self { id: node.id, name: node.name.clone(), num: node.num?, address, port })
    }
}

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { name, num, address, port, .. } = self;
        write!(f, "node {name} (num {num}) at {address}:{port}")
    }
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The attempt goes on.
    Connecting,
    /// It is established; the other end's handshake has not come.
    Handshake,
    /// The handshake was good.
    Good,
}

/// A connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Link {
    pub(super) id: ConnectionId,
    /// The other end, whose directory is pinned meanwhile.
    pub(super) node: Place,
    pub(super) phase: Phase,
    /// The port that was chosen by chance: this node's if it made the connection, else the other one's.
    pub(super) port: u16,
    /// Received, and no whole handshake or message yet.
    pub(super) inbox: Vec<u8>,
    /// Since when it is in this phase.
    pub(super) since: Instant,
    /// When the idle time began anew: the last message, or the last expiry.
    pub(super) idle_since: Instant,
    /// When the last message came.
    pub(super) heard: Instant,
}

impl Link {
    /// An attempt.
    pub(super) fn made(id: ConnectionId, node: Place, now: Instant) -> Self {
        let (phase, inbox) = (Phase::Connecting, Vec::new());
        Self { id, node, phase, port: 0, inbox, since: now, idle_since: now, heard: now }
    }

    /// The other end has connected.
    pub(super) fn accepted(id: ConnectionId, node: Place, port: u16, now: Instant) -> Self {
        Self { phase: Phase::Handshake, port, ..Self::made(id, node, now) }
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Instant) {
        (self.phase, self.since) = (phase, now);
    }
}
