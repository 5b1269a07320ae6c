//! What there is to say about connections, for the log; the words are the kernel's where it has some.

use core::fmt;
use core::time::Duration;

use super::link::Place;
use super::request::Closing;
use super::wire::{Mismatch, ProtocolError};
use crate::ids::NodeNum;
use crate::logmask::Subject;
use crate::nodeman::Address;
use crate::throttle::{Cause, Kind};

/// Something about connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NetNote {
    /// This node has connected, and the handshake was good.
    Connected(Place),
    /// The other node has, and it was.
    Accepted(Place),
    /// A good connection is gone.
    NotConnected(Place),
    /// How a connection ended by itself.
    Closed(Place, Closing),
    /// A handshake was refused.
    Mismatch(Place, Mismatch),
    /// What came is no message.
    Broken(Place, ProtocolError),
    /// Nothing was heard for half of the idle time.
    HalfIdle(Place, Duration),
    /// Nothing was heard for the idle time.
    Idle(Place, Duration),
    /// No connection within this time from the first attempt on.
    NotEstablished(NodeNum, Duration),
    /// Somebody has connected who may not.
    Stranger(Stranger),
    /// A time on which nodes agree cannot change any more: its name, and with how many it was agreed on.
    Agreed(&'static str, u32),
}

impl NetNote {
    pub(crate) fn subject(&self) -> Subject {
        // Happens whenever the other node sees this one first.
        let usual = matches!(self, Self::Stranger(Stranger::NotHeartbeating { .. }));
        if usual { Subject::Conn } else { Subject::Notice }
    }

    /// Of those that the other end can cause at will; the others keep to timers.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let (cause, node) = match self {
            Self::Connected(node) | Self::Accepted(node) => (Cause::Connect, node),
            Self::NotConnected(node) => (Cause::Lose, node),
            Self::Closed(node, _) => (Cause::Close, node),
            Self::Mismatch(node, _) => (Cause::Mismatch, node),
            Self::Broken(node, _) => (Cause::Break, node),
            Self::Stranger(Stranger::Unknown { .. }) => return Some((Cause::Stranger, None, None)),
            Self::Stranger(
                Stranger::Lower { node, .. }
                | Stranger::NotHeartbeating { node, .. }
                | Stranger::Second { node, .. },
            ) => (Cause::Stranger, node),
            Self::HalfIdle(..) | Self::Idle(..) | Self::NotEstablished(..) | Self::Agreed(..) => return None,
        };
        Some((cause, Some(node.num), None))
    }

    /// Does it say that something is wrong?
    pub(crate) fn is_warning(&self) -> bool {
        !matches!(self, Self::Connected(_) | Self::Accepted(_))
    }
}

/// Seconds and milliseconds as the kernel prints them: without zeros in front of the latter.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.as_secs(), self.0.subsec_millis())
    }
}

impl fmt::Display for NetNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected(node) => write!(f, "Connected to {node}"),
            Self::Accepted(node) => write!(f, "Accepted connection from {node}"),
            Self::NotConnected(node) => write!(f, "No longer connected to {node}"),
            Self::Closed(node, Closing::NotTried(errno)) => {
                write!(f, "Connect attempt to {node} failed with errno -{}", errno.0)
            }
            // The numbers of TCP's states: closed, and closed by the other end.
            Self::Closed(node, Closing::Reset(_)) => write!(f, "Connection to {node} shutdown, state 7"),
            Self::Closed(node, Closing::Ended) => write!(f, "Connection to {node} shutdown, state 8"),
            Self::Closed(node, Closing::Full) => {
                write!(f, "Connection to {node} closed: it does not read what is sent")
            }
            Self::Mismatch(node, mismatch) => write!(f, "{node} {mismatch}"),
            Self::Broken(node, error) => write!(f, "Connection to {node} closed: {error}"),
            Self::HalfIdle(node, silent) => {
                write!(
                    f,
                    "Connection to {node} has been silent for {} secs, half of its idle time",
                    Seconds(*silent)
                )
            }
            Self::Idle(node, silent) => {
                write!(f, "Connection to {node} has been idle for {} secs.", Seconds(*silent))
            }
            Self::NotEstablished(num, idle) => write!(
                f,
                "No connection established with node {num} after {} seconds, check network and cluster configuration.",
                Seconds(*idle)
            ),
            Self::Stranger(stranger) => stranger.fmt(f),
            Self::Agreed(what, peers) => write!(
                f,
                "cannot change {what} after the first peer has agreed to it.  {peers} connected peers"
            ),
        }
    }
}

/// Who connected and may not (`o2net_accept_one`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stranger {
    /// No configured node has this address.
    Unknown {
        /// The address.
        from: Address,
        /// Its port.
        port: u16,
    },
    /// It is this node that has to connect to that one.
    Lower {
        /// This node.
        own: Place,
        /// The other one.
        node: Place,
        /// The port that it came from.
        port: u16,
    },
    /// Heartbeat does not see it.
    NotHeartbeating {
        /// The other node.
        node: Place,
        /// The port that it came from.
        port: u16,
    },
    /// There is a connection already.
    Second {
        /// The other node.
        node: Place,
        /// The port that it came from.
        port: u16,
    },
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { from, port } => {
                write!(f, "Attempt to connect from unknown node at {from}:{port}")
            }
            Self::Lower { own, node, port } => write!(
                f,
                "Unexpected connect attempt seen at node '{}' ({}, {}:{}) from node '{}' ({}, {}:{port})",
                own.name, own.num, own.address, own.port, node.name, node.num, node.address
            ),
            Self::NotHeartbeating { node, port } => write!(
                f,
                "attempt to connect from node '{}' at {}:{port} but it isn't heartbeating",
                node.name, node.address
            ),
            Self::Second { node, port } => write!(
                f,
                "Attempt to connect from node '{}' at {}:{port} but it already has an open connection",
                node.name, node.address
            ),
        }
    }
}
