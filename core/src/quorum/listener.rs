//! Quorum as a listener of edges: of nodes that heartbeat and of connections. It says what it finds to the log, and calls
//! the fence.

use alloc::collections::BTreeMap;
use core::fmt;
use core::time::Duration;

use super::{Decision, Quorum};
use crate::effect::{Effect, Effects};
use crate::fence::FenceReason;
use crate::ids::{NodeNum, NodeSet};
use crate::logmask::Subject;
use crate::net::ConnectionEdge;
use crate::note::Note;
use crate::time::Instant;

/// What happened to a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NodeChange {
    /// Heartbeat sees it.
    Up,
    /// Heartbeat has lost it.
    Down,
    /// Its connection.
    Connection(ConnectionEdge),
}

/// Why a node is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// It heartbeats and has not connected.
    NotConnected,
    /// It is connected and does not heartbeat.
    NotHeartbeating,
    /// Its connection was lost, or is silent.
    Lost,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "it heartbeats and has never connected",
            Self::NotHeartbeating => "it is connected and does not heartbeat",
            Self::Lost => "it heartbeats and its connection was lost or is silent",
        })
    }
}

/// A node whose fate is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Which.
    pub node: NodeNum,
    /// Since when.
    pub since: Instant,
    /// Why.
    pub why: Held,
}

/// Something about quorum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QuorumNote {
    /// A decision.
    Decided(Decision),
    /// A node has been held for longer than any transition takes: no decision can be taken while it is.
    Standing {
        /// Which.
        node: NodeNum,
        /// For how long.
        held: Duration,
        /// Why.
        why: Held,
        /// A decision is asked for, and waits.
        pending: bool,
    },
    /// A node is held from now on.
    Held {
        /// Which.
        node: NodeNum,
        /// Why.
        why: Held,
        /// How many are.
        total: usize,
    },
    /// A node is not held any more.
    Free {
        /// Which.
        node: NodeNum,
        /// How many still are.
        total: usize,
    },
    /// What moved, for who looks closely: what of, which node, how many there are now.
    Moved(&'static str, NodeNum, usize),
}

impl QuorumNote {
    pub(crate) fn subject(&self) -> Subject {
        match self {
            Self::Decided(decision) if decision.fences() => Subject::Error,
            Self::Decided(_) | Self::Standing { .. } => Subject::Notice,
            Self::Held { .. } | Self::Free { .. } | Self::Moved(..) => Subject::Quorum,
        }
    }
}

impl fmt::Display for QuorumNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decided(decision) => decision.fmt(f),
            Self::Standing { node, held, why, pending } => {
                let waits = if *pending { "a decision waits" } else { "no decision can be taken" };
                write!(f, "{waits} while node {node} is held: for {} s now, as {why}", held.as_secs())
            }
            Self::Held { node, why, total } => write!(f, "node {node} is held, {total} in all: {why}"),
            Self::Free { node, total } => write!(f, "node {node} is not held any more, {total} in all"),
            Self::Moved(what, node, total) => write!(f, "{what} node {node}, {total} total"),
        }
    }
}

/// Quorum, while this node listens and its heartbeat method wants it.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    quorum: Option<Quorum>,
    holds: BTreeMap<NodeNum, Entry>,
    decided: Option<(Instant, Decision)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    since: Instant,
    why: Held,
    /// When it is worth a line; none: it has been said, or is never.
    report: Option<Instant>,
}

impl Listener {
    /// This node listens (`o2net_start_listening`).
    pub(crate) fn start(&mut self, own: NodeNum, now: Instant, patience: Duration, effects: &mut Effects) {
        *self = Self { quorum: Some(Quorum::new(own)), ..Self::default() };
        self.change(own, NodeChange::Connection(ConnectionEdge::Up), now, patience, effects);
    }

    /// It does not any more.
    pub(crate) fn stop(&mut self) {
        *self = Self::default();
    }

    /// Something happened to a node. `patience`: how long a hold may last until that is worth a line.
    pub(crate) fn change(
        &mut self,
        node: NodeNum,
        change: NodeChange,
        now: Instant,
        patience: Duration,
        effects: &mut Effects,
    ) {
        let Some(quorum) = &mut self.quorum else { return };
        let before = *quorum.held();
        let (decision, what, why) = match change {
            NodeChange::Up => (quorum.heartbeat_up(node), "o2quo_hb_up", Held::NotConnected),
            NodeChange::Down => (quorum.heartbeat_down(node), "o2quo_hb_down", Held::Lost),
            NodeChange::Connection(ConnectionEdge::Up) => {
                (quorum.connection_up(node), "o2quo_conn_up", Held::NotHeartbeating)
            }
            NodeChange::Connection(ConnectionEdge::Error) => {
                quorum.connection_error(node);
                (None, "o2quo_conn_err", Held::Lost)
            }
            NodeChange::Connection(ConnectionEdge::StillUp) => {
                (quorum.still_up(node), "o2quo_hb_still_up", Held::Lost)
            }
        };
        let total = match change {
            NodeChange::Up | NodeChange::Down => quorum.heartbeating().len(),
            NodeChange::Connection(_) => quorum.connected().len(),
        };
        let moved = |what, total| Note::Quorum(QuorumNote::Moved(what, node, total));
        effects.note(moved(what, total));
        match (before.contains(node), quorum.held().contains(node)) {
            (false, true) => {
                // This node without a region is nothing that anybody has to look at.
                let own = node == quorum.own();
                let report = (!own).then(|| now.after(patience));
                self.holds.insert(node, Entry { since: now, why, report });
                let total = quorum.held().len();
                let held = Note::Quorum(QuorumNote::Held { node, why, total });
                effects.note(if own { moved("o2quo_set_hold", total) } else { held });
            }
            (true, false) => {
                self.holds.remove(&node);
                let total = quorum.held().len();
                let free = Note::Quorum(QuorumNote::Free { node, total });
                effects.note(if node == quorum.own() { moved("o2quo_clear_hold", total) } else { free });
            }
            (false, false) | (true, true) => {}
        }
        if let Some(decision) = decision {
            self.decided = Some((now, decision));
            effects.note(Note::Quorum(QuorumNote::Decided(decision)));
            if decision.fences() {
                effects.push(Effect::Fence(FenceReason::Quorum(decision)));
            }
        }
    }

    /// Time has passed: holds that stand are said.
    pub(crate) fn timeout(&mut self, now: Instant, effects: &mut Effects) {
        let pending = self.pending();
        for (node, entry) in &mut self.holds {
            if entry.report.take_if(|report| *report <= now).is_some() {
                let (node, held, why) = (*node, now.since(entry.since), entry.why);
                effects.note(Note::Quorum(QuorumNote::Standing { node, held, why, pending }));
            }
        }
    }

    /// When [`timeout`](Self::timeout) is wanted next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.holds.values().filter_map(|entry| entry.report).min()
    }

    fn pending(&self) -> bool {
        self.quorum.is_some_and(|quorum| quorum.pending())
    }

    /// What is known; none: there is no quorum now.
    pub(crate) fn status(&self) -> Option<QuorumStatus> {
        let quorum = self.quorum?;
        let holds = self.holds.iter();
        Some(QuorumStatus {
            heartbeating: *quorum.heartbeating(),
            connected: *quorum.connected(),
            holds: holds
                .map(|(node, entry)| Hold { node: *node, since: entry.since, why: entry.why })
                .collect(),
            pending: quorum.pending(),
            decided: self.decided,
        })
    }
}

/// A snapshot of quorum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuorumStatus {
    /// Nodes that heartbeat, this one included.
    pub heartbeating: NodeSet,
    /// Nodes that are connected, this one included.
    pub connected: NodeSet,
    /// Nodes for whose fate every decision waits.
    pub holds: alloc::vec::Vec<Hold>,
    /// A decision is asked for, and waits for them.
    pub pending: bool,
    /// The last decision.
    pub decided: Option<(Instant, Decision)>,
}
