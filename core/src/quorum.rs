//! Quorum: must this node stop, because it has lost contact with nodes that are alive (`spec/quorum.md`)?
//!
//! It hears of whole nodes that heartbeat and of connections, and knows neither disks nor sockets. With the method `user`
//! it is not asked: userspace has decided already.

mod listener;

use core::fmt;

pub use self::listener::{Held, Hold, QuorumNote, QuorumStatus};
pub(crate) use self::listener::{Listener, NodeChange};
use crate::ids::{NodeNum, NodeSet};

/// What is known of the other nodes.
///
/// A node whose fate is not known yet is held: one that heartbeats and is not connected, or is connected and does not
/// heartbeat. A decision waits until none is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quorum {
    own: NodeNum,
    heartbeating: NodeSet,
    connected: NodeSet,
    held: NodeSet,
    /// A decision has been asked for.
    pending: bool,
}

impl Quorum {
    /// Nobody heartbeats and nobody is connected. `own` is this node.
    pub fn new(own: NodeNum) -> Self {
        let empty = NodeSet::EMPTY;
        Self { own, heartbeating: empty, connected: empty, held: empty, pending: false }
    }

    /// This node.
    pub fn own(&self) -> NodeNum {
        self.own
    }

    /// Nodes that heartbeat, this one included.
    pub fn heartbeating(&self) -> &NodeSet {
        &self.heartbeating
    }

    /// Nodes that are connected, this one included while it listens.
    pub fn connected(&self) -> &NodeSet {
        &self.connected
    }

    /// Nodes for whose fate every decision waits.
    pub fn held(&self) -> &NodeSet {
        &self.held
    }

    /// A decision waits until no node is held.
    pub fn pending(&self) -> bool {
        self.pending
    }

    /// Heartbeat sees a node (`o2quo_hb_up`).
    #[must_use]
    pub fn heartbeat_up(&mut self, node: NodeNum) -> Option<Decision> {
        self.heartbeating.insert(node);
        self.hold_unless(node, self.connected.contains(node))
    }

    /// Heartbeat has lost a node (`o2quo_hb_down`).
    #[must_use]
    pub fn heartbeat_down(&mut self, node: NodeNum) -> Option<Decision> {
        self.heartbeating.remove(node);
        self.drop_hold(node)
    }

    /// A node is connected, or heard again after silence; this node: it listens (`o2quo_conn_up`).
    #[must_use]
    pub fn connection_up(&mut self, node: NodeNum) -> Option<Decision> {
        self.connected.insert(node);
        self.hold_unless(node, self.heartbeating.contains(node))
    }

    /// The connection to a node was lost or is silent; does nothing if there was none (`o2quo_conn_err`).
    pub fn connection_error(&mut self, node: NodeNum) {
        if self.connected.remove(node) && self.heartbeating.contains(node) {
            self.held.insert(node);
        }
    }

    /// The quorum delay after an error has ended, and heartbeat still sees the node (`o2quo_hb_still_up`).
    #[must_use]
    pub fn still_up(&mut self, node: NodeNum) -> Option<Decision> {
        self.pending = true;
        self.drop_hold(node)
    }

    fn hold_unless(&mut self, node: NodeNum, known: bool) -> Option<Decision> {
        if known {
            return self.drop_hold(node);
        }
        self.held.insert(node);
        None
    }

    /// Decides if this was the last hold and a decision is pending. A node that was not held decides nothing: one that
    /// stays silent says "still up" again and again.
    fn drop_hold(&mut self, node: NodeNum) -> Option<Decision> {
        if !self.held.remove(node) || !self.held.is_empty() || !core::mem::take(&mut self.pending) {
            return None;
        }
        Some(self.decide())
    }

    /// The rule (`o2quo_make_decision`).
    fn decide(&self) -> Decision {
        let heartbeating = self.heartbeating.len() as u32;
        let connected = self.connected.len() as u32;
        let lowest = self.heartbeating.iter().next();
        let reachable = lowest.is_some_and(|lowest| self.connected.contains(lowest));
        let alone = !self.heartbeating.contains(self.own) || heartbeating == 1;
        let needed = heartbeating.div_ceil(2);
        let verdict = if alone || connected > needed {
            Verdict::Stay
        } else if connected < needed {
            Verdict::FewerThanNeeded { needed }
        } else if heartbeating % 2 == 0 && !reachable {
            Verdict::HalfWithoutLowest
        } else {
            Verdict::Stay
        };
        Decision { verdict, heartbeating, connected, lowest, reachable }
    }
}

/// What was decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Go on.
    Stay,
    /// Fence: too few nodes are connected.
    FewerThanNeeded {
        /// As many are needed.
        needed: u32,
    },
    /// Fence: one half of the nodes, and the other one has the lowest number.
    HalfWithoutLowest,
}

/// A decision, and the numbers that it came from. Shown as the kernel's line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// What was decided.
    pub verdict: Verdict,
    /// How many nodes heartbeat, this one included.
    pub heartbeating: u32,
    /// How many are connected, this one included.
    pub connected: u32,
    /// The lowest node that heartbeats.
    pub lowest: Option<NodeNum>,
    /// That one is connected.
    pub reachable: bool,
}

impl Decision {
    /// Must this node fence itself?
    pub fn fences(&self) -> bool {
        self.verdict != Verdict::Stay
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, heartbeating, connected, lowest, reachable } = *self;
        // As the kernel says that there is none.
        let lowest = lowest.map_or(NodeNum::LIMIT, |lowest| lowest.get().into());
        match verdict {
            Verdict::Stay => {
                let reachable = if reachable { "reachable" } else { "unreachable" };
                write!(
                    f,
                    "not fencing this node, heartbeating: {heartbeating}, connected: {connected}, lowest: {lowest} \
                     ({reachable})"
                )
            }
            Verdict::FewerThanNeeded { needed } => write!(
                f,
                "fencing this node because it is only connected to {connected} nodes and {needed} is needed to make a \
                 quorum out of {heartbeating} heartbeating nodes"
            ),
            Verdict::HalfWithoutLowest => write!(
                f,
                "fencing this node because it is connected to a half-quorum of {connected} out of {heartbeating} nodes \
                 which doesn't include the lowest active node {lowest}"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
