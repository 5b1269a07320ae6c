//! Connections and quorum as they must be, by the specification alone: what follows from what a node has heard.
//!
//! A node says by its log, with the subject QUORUM shown, what quorum was told; that is judged here:
//!
//! - A connection is idle exactly the idle time after the last whole message on it, or after the last such line.
//! - "Still up" is said exactly the quorum delay after the first error that nothing has called off since, and nobody fences
//!   by quorum otherwise.
//! - Quorum's decisions, and that there are none, follow from what it was told, by the rules of `spec/quorum.md`.
//! - The nodes that it takes for alive are those that the disks say; those that it takes for connected have a connection
//!   that is not silent.
//!
//! A node that is paused or slow may be later, never earlier.

use std::collections::{BTreeMap, BTreeSet};

use uo2cb_core::net::NetNote;
use uo2cb_core::quorum::{Decision, QuorumNote, Verdict};
use uo2cb_core::{Action, ConnectionId, FenceReason, Note};

use super::faults::Fault;
use super::invariants::{Checked, Violation, broken, check};
use super::world::World;
use super::{MS, SEC, Us};

const RULE: &str = "quorum decides by its rule";
const IDLE: &str = "a silent connection is idle after its time";
const DELAY: &str = "a decision is asked for after the quorum delay";

/// Bytes of a connection, up to the last whole message.
#[derive(Clone, Debug, Default)]
struct Stream {
    peer: u8,
    rest: Vec<u8>,
    greeted: bool,
    /// When the last message was whole, or the last idle line.
    idle_since: Us,
}

/// What is known of one other node.
#[derive(Clone, Copy, Debug, Default)]
struct Contact {
    /// An idle line, and nothing since.
    silent: bool,
    /// When a decision will be asked for.
    due: Option<Us>,
    /// When a good connection was lost: no attempt before the idle time has passed since.
    lost: Option<Us>,
}

/// The state of quorum, and of the connections that it hears of.
#[derive(Clone, Debug, Default)]
pub struct Contacts {
    streams: BTreeMap<ConnectionId, Stream>,
    peers: BTreeMap<u8, Contact>,
    heartbeating: BTreeSet<u8>,
    connected: BTreeSet<u8>,
    held: BTreeSet<u8>,
    pending: bool,
    /// A decision must be the next line.
    decides: bool,
}

impl Contacts {
    /// No node is held, no decision asked for or about to be.
    pub fn quiet(&self) -> bool {
        self.held.is_empty() && !self.pending && self.peers.values().all(|peer| peer.due.is_none())
    }

    /// A message of every connection came after this.
    pub fn heard_since(&self, since: Us) -> bool {
        self.streams.values().all(|stream| stream.idle_since >= since)
    }

    /// Connected nodes, the own one included.
    pub fn connected(&self) -> &BTreeSet<u8> {
        &self.connected
    }

    fn drop_hold(&mut self, node: u8) {
        if self.held.remove(&node) && self.held.is_empty() && self.pending {
            (self.pending, self.decides) = (false, true);
        }
    }

    fn hold_unless(&mut self, node: u8, known: bool) {
        if known {
            self.drop_hold(node);
        } else {
            self.held.insert(node);
        }
    }

    /// Whether `own` must fence itself.
    fn fences(&self, own: u8) -> bool {
        let (all, connected) = (self.heartbeating.len(), self.connected.len());
        if all <= 1 || !self.heartbeating.contains(&own) {
            return false;
        }
        let reaches_lowest = self.heartbeating.first().is_some_and(|lowest| self.connected.contains(lowest));
        connected * 2 < all || (connected * 2 == all && !reaches_lowest)
    }

    fn check_decision(&self, own: u8, decision: &Decision) -> bool {
        let numbers = (decision.heartbeating as usize, decision.connected as usize);
        self.decides
            && numbers == (self.heartbeating.len(), self.connected.len())
            && self.fences(own) == (decision.verdict != Verdict::Stay)
    }
}

impl World {
    /// Do events and timers of a node come late at times?
    pub fn hindered(&self, n: usize) -> bool {
        self.plan.faults.iter().any(|fault| match *fault {
            Fault::Pause { node, .. } | Fault::Slow { node, .. } => usize::from(node) == n,
            _ => false,
        })
    }

    /// A node has received bytes.
    pub fn hears(&mut self, n: usize, connection: ConnectionId, peer: u8, bytes: &[u8]) {
        let now = self.now;
        let stream = self.nodes[n].contacts.streams.entry(connection).or_default();
        stream.peer = peer;
        stream.rest.extend_from_slice(bytes);
        loop {
            let length = match stream.rest.get(2..4) {
                _ if !stream.greeted => 32,
                Some(length) if stream.rest.len() >= 24 => {
                    24 + usize::from(u16::from_be_bytes([length[0], length[1]]))
                }
                _ => break,
            };
            if stream.rest.len() < length {
                break;
            }
            stream.rest.drain(..length);
            (stream.greeted, stream.idle_since) = (true, now);
        }
    }

    /// A node connects to another one: not before its time.
    pub fn check_attempt(&self, n: usize, peer: u8) -> Checked {
        let (node, idle) = (&self.nodes[n], Us::from(self.plan.times[0]) * MS);
        let lost = node.contacts.peers.get(&peer).and_then(|contact| contact.lost);
        let early = lost.is_some_and(|lost| self.now < lost + idle);
        check(
            !early || node.own_times_differ || self.plan.user,
            "a lost connection waits for its time",
            || format!("node {n} connects to {peer}, lost at {lost:?}"),
        )
    }

    /// A connection is gone.
    pub fn deaf(&mut self, n: usize, connection: ConnectionId) {
        self.nodes[n].contacts.streams.remove(&connection);
    }

    /// Judges what a node says about connections and quorum.
    pub fn check_contacts(&mut self, n: usize, actions: &[Action]) -> Checked {
        let mut fenced = None;
        for action in actions {
            match action {
                Action::Note(Note::Listening(..)) => {
                    let streams = core::mem::take(&mut self.nodes[n].contacts.streams);
                    self.nodes[n].contacts = Contacts { streams, ..Contacts::default() };
                }
                Action::Note(Note::Net(note)) => self.net_line(n, note)?,
                Action::Note(Note::Quorum(QuorumNote::Moved(what, node, _))) => {
                    self.moved(n, what, node.get())?
                }
                Action::Note(Note::Quorum(QuorumNote::Decided(decision))) => {
                    self.figures.decisions += 1;
                    let node = &mut self.nodes[n];
                    check(node.contacts.check_decision(node.own, decision), RULE, || {
                        format!("node {n}: {decision}, with {:?}", node.contacts)
                    })?;
                    node.contacts.decides = false;
                    fenced = Some(decision.fences());
                }
                Action::Fence { reason: FenceReason::Quorum(_), .. } => {
                    check(fenced == Some(true), RULE, || format!("node {n} fences without a decision"))?;
                    self.quorum_fences.push((self.now, n));
                }
                _ => {}
            }
        }
        let contacts = &self.nodes[n].contacts;
        check(!contacts.decides, RULE, || format!("node {n} does not decide, with {contacts:?}"))
    }

    fn net_line(&mut self, n: usize, note: &NetNote) -> Checked {
        let (now, idle, hindered) = (self.now, Us::from(self.plan.times[0]) * MS, self.hindered(n));
        let node = &mut self.nodes[n];
        match note {
            NetNote::Idle(place, _) => {
                let peer = place.num.get();
                let stream =
                    node.contacts.streams.values_mut().find(|stream| stream.peer == peer && stream.greeted);
                let since = stream.map(|stream| core::mem::replace(&mut stream.idle_since, now));
                node.contacts.peers.entry(peer).or_default().silent = true;
                let right =
                    since.is_some_and(|since| now == since + idle || (hindered && now > since + idle));
                check(right || node.own_times_differ, IDLE, || {
                    format!("node {n} says that {peer} is idle since {since:?}")
                })
            }
            NetNote::NotConnected(place) => {
                let peer = place.num.get();
                let contact = node.contacts.peers.entry(peer).or_default();
                // One that was silent is tried again at once, as in the kernel (`nn_timeout`).
                contact.lost = (!contact.silent).then_some(now);
                contact.silent = false;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn moved(&mut self, n: usize, what: &str, peer: u8) -> Checked {
        let (now, hindered) = (self.now, self.hindered(n));
        let times = |n: usize| (self.nodes[n].dead_threshold, self.nodes[n].own_times_differ);
        let mut others = (0..self.nodes.len()).filter(|other| self.nodes[*other].own == peer && *other != n);
        let alike = peer == self.nodes[n].own
            || others.next().is_none_or(|other| times(other) == times(n))
            || others.next().is_some();
        let node = &mut self.nodes[n];
        let delay = (Us::from(node.dead_threshold) + 2) * 2 * SEC;
        let contacts = &mut node.contacts;
        // Of this node itself.
        if matches!(what, "o2quo_set_hold" | "o2quo_clear_hold") {
            return Ok(());
        }
        if contacts.decides {
            return Err(broken(RULE, format!("node {n} does not decide: {contacts:?}")));
        }
        match what {
            "o2quo_hb_up" => {
                contacts.heartbeating.insert(peer);
                contacts.peers.remove(&peer);
                contacts.hold_unless(peer, contacts.connected.contains(&peer));
            }
            "o2quo_hb_down" => {
                contacts.heartbeating.remove(&peer);
                contacts.drop_hold(peer);
                contacts.peers.remove(&peer);
            }
            "o2quo_conn_up" => {
                contacts.connected.insert(peer);
                check(alike, "who has other times is refused", || format!("node {n} connects to {peer}"))?;
                contacts.hold_unless(peer, contacts.heartbeating.contains(&peer));
                let contact = contacts.peers.entry(peer).or_default();
                // A new connection does not call the decision off; who is heard again does.
                if core::mem::take(&mut contact.silent) {
                    contact.due = None;
                }
            }
            "o2quo_conn_err" => {
                if contacts.connected.remove(&peer) && contacts.heartbeating.contains(&peer) {
                    contacts.held.insert(peer);
                }
                if contacts.heartbeating.contains(&peer) {
                    contacts.peers.entry(peer).or_default().due.get_or_insert(now + delay);
                }
            }
            "o2quo_hb_still_up" => {
                let due = contacts.peers.entry(peer).or_default().due.take();
                let right = due.is_some_and(|due| now == due || (hindered && now > due));
                check(right, DELAY, || format!("node {n} says that {peer} is still up, not at {due:?}"))?;
                contacts.pending = true;
                contacts.drop_hold(peer);
            }
            _ => {}
        }
        Ok(())
    }

    /// What takes a look at each peer is not done after every call in a very large cluster.
    pub fn looks_closely(&self) -> bool {
        self.nodes.len() <= 32 || self.figures.steps % 16 == 0
    }

    /// Nothing is overdue after the timers of a node have been called.
    pub fn check_overdue(&self, n: usize) -> Checked {
        let node = &self.nodes[n];
        if node.ending || self.hindered(n) || node.own_times_differ {
            return Ok(());
        }
        let idle = Us::from(self.plan.times[0]) * MS;
        let silent = node
            .contacts
            .streams
            .values()
            .find(|stream| stream.greeted && stream.idle_since + idle <= self.now);
        check(silent.is_none(), IDLE, || format!("node {n}: {silent:?}"))?;
        let contacts = &node.contacts;
        let heard = |peer: &u8| {
            let stream = contacts.streams.values().find(|stream| stream.peer == *peer && stream.greeted);
            let silent = contacts.peers.get(peer).is_some_and(|contact| contact.silent);
            *peer == node.own || (stream.is_some() && !silent)
        };
        check(contacts.connected.iter().all(heard), "quorum knows who is connected", || {
            format!("node {n}: {contacts:?}")
        })?;
        let undecided =
            node.contacts.peers.iter().find(|(_, peer)| peer.due.is_some_and(|due| due <= self.now));
        check(undecided.is_none(), DELAY, || format!("node {n}: {undecided:?}"))
    }

    /// What quorum takes for alive is what the disks say.
    pub fn check_heartbeating(&self, n: usize) -> Checked {
        let node = &self.nodes[n];
        let same = node.ending
            || self.plan.user
            || node.listens.is_none()
            || node.contacts.heartbeating.iter().copied().eq(node.live.all());
        check(same, "quorum knows who heartbeats", || format!("node {n}: {:?}", node.contacts.heartbeating))
    }

    /// A directory of another node is pinned as long as there is a connection to it, and only then.
    pub fn check_pins(&self, n: usize) -> Result<(), Violation> {
        let node = &self.nodes[n];
        let Some(engine) = &node.engine else { return Ok(()) };
        let tree = engine.tree(uo2cb_core::View::Config);
        let pins: u32 = node
            .directories
            .iter()
            .filter(|(num, _)| *num != node.own)
            .map(|(_, item)| tree.dependents(*item))
            .sum();
        check(pins as usize == node.sockets.len(), "each connection pins its node", || {
            format!("node {n}: {pins} pins, {} connections", node.sockets.len())
        })
    }
}
