//! The runs as data: what is done to a cluster, and what must be seen.

use crate::nodes::cluster::Call;
use crate::switch::Filter;

/// A run. Times are seconds since its first step, unless it says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// As in the collection of what kernels did.
    pub name: &'static str,
    /// In words.
    pub what: &'static str,
    /// The nodes are numbered from 1.
    pub nodes: u8,
    /// By the heartbeat of userspace, which only our nodes have, and which begins with everybody up.
    pub user: bool,
    /// Done before the regions start; time 0 is their start then, and nobody waits for connections.
    pub before: &'static [Step],
    /// What is done, when.
    pub steps: &'static [(f64, Step)],
    /// When it ends.
    pub until: f64,
    /// What must be seen.
    pub must: &'static [Must],
}

/// Something that is done to the cluster.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Drops what the first of each pair sends to the second.
    Cut(&'static [(u8, u8)]),
    /// Drops everything between the groups.
    Part(&'static [&'static [u8]]),
    /// Delivers everything again.
    Heal,
    /// Closes a node's port.
    Filter(u8, Filter),
    /// Opens it again.
    Open(u8),
    /// The disk writes of these nodes hang; reads go on.
    Hang(&'static [u8]),
    /// They go on.
    Release(&'static [u8]),
    /// The disk writes of these nodes fail from now on; only of ours.
    Fail(&'static [u8]),
    /// Ends a node at once.
    Kill(u8),
    /// Removes a node's region.
    Leave(u8),
    /// Makes and starts it again, and waits until it is steady.
    Start(u8),
    /// Begins to remove it.
    BeginToLeave(u8),
    /// Makes these calls on the trees of nodes.
    Call(&'static [u8], fn() -> Vec<Call>),
    /// Holds the regions of those of our nodes that are among these.
    Hold(&'static [u8]),
    /// Gives the card of a node the address of another number as well.
    Address(u8, u8),
}

/// What a time is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The first step.
    Begin,
    /// The last block of this node on the disk before the event.
    Block(u8),
}

/// Something that must be seen. `seen`: the earliest and the latest time at which kernels did it.
#[derive(Clone, Copy, Debug)]
pub enum Must {
    /// A node has this in a line of its log, for the first time then, and `times` times in all.
    Line {
        /// Whose log.
        node: u8,
        /// A part of the line.
        text: &'static str,
        /// What the time counts from.
        since: Since,
        /// When.
        seen: (f64, f64),
        /// How often.
        times: (usize, usize),
    },
    /// It fences itself, with this in its line that says why.
    Fence {
        /// Who.
        node: u8,
        /// A part of the line.
        why: &'static str,
        /// What the time counts from.
        since: Since,
        /// When.
        seen: (f64, f64),
    },
    /// It takes a peer for dead, and says once that it is no longer connected.
    Down {
        /// Who says it.
        node: u8,
        /// Of whom.
        of: u8,
        /// What the time counts from.
        since: Since,
        /// When.
        seen: (f64, f64),
    },
    /// No line of these nodes contains this.
    Never {
        /// Whose logs.
        nodes: &'static [u8],
        /// A part of a line.
        text: &'static str,
    },
    /// It still runs at the end, and lists these nodes as alive and as connected.
    Lists {
        /// Who.
        node: u8,
        /// `livenodes` of o2hb.
        live: &'static [u8],
        /// `connected_nodes` of o2net.
        connected: &'static [u8],
    },
    /// Nobody opens a TCP connection after time 0.
    NoSyn,
    /// Attempts to connect to the filtered port of `to` until it opens, each from a port of its own: how often TCP
    /// repeats its SYN is not the node's doing.
    Attempts {
        /// The node.
        to: u8,
        /// How many.
        times: (usize, usize),
    },
    /// Lines with these parts, in this order; others may be between them.
    Order {
        /// Whose log.
        node: u8,
        /// Parts of lines.
        texts: &'static [&'static str],
    },
    /// Who holds the region of a node is told this; of kernels it is not known.
    Told {
        /// Whose.
        node: u8,
        /// A part of what it is told.
        text: &'static str,
        /// What the time counts from.
        since: Since,
        /// When.
        seen: (f64, f64),
        /// How often.
        times: (usize, usize),
    },
    /// On the wire, but for handshakes and keepalives, there is nothing else than these messages, so many times over: from
    /// whom, to whom, and their bytes in hexadecimal numbers.
    Messages {
        /// One round.
        round: &'static [(u8, u8, &'static str)],
        /// How many.
        times: (usize, usize),
    },
}

/// A hang of the disk of our daemon, which must be known when it starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// Its writes fail, and do not hang.
    pub fails: bool,
    /// When it begins, in seconds after the disk was opened.
    pub begin: f64,
    /// How long it takes, if it ends.
    pub length: Option<f64>,
}

impl Fault {
    /// As the daemon takes it.
    pub fn spec(self) -> String {
        let begin = (self.begin * 1000.0) as u64;
        if self.fails {
            return format!("eio=write@{begin}ms..");
        }
        match self.length {
            None => format!("hang=write@{begin}ms.."),
            // The first write of the hang lasts as long: no other begins before its end.
            Some(length) => {
                format!("delay=write:{}ms@{begin}ms..{}ms", (length * 1000.0) as u64, begin + 2500)
            }
        }
    }
}

impl Run {
    /// Does a disk hang in it?
    pub fn hangs(&self) -> bool {
        self.steps.iter().any(|(_, step)| matches!(step, Step::Hang(_)))
    }

    /// Whether only our nodes can play it.
    pub fn is_ours(&self) -> bool {
        // The lowest kernel that leaves while all disks hang gives no more time, and the others fence 12 s later.
        let only = |step: &Step| matches!(step, Step::Fail(_) | Step::BeginToLeave(_));
        self.user || self.steps.iter().any(|(_, step)| only(step))
    }

    /// How the disk of `node` hangs, when time 0 is `zero` after it was opened.
    pub fn fault(&self, node: u8, zero: f64) -> Option<Fault> {
        let mut found: Option<Fault> = None;
        for (at, step) in self.steps {
            match step {
                Step::Hang(nodes) | Step::Fail(nodes) if nodes.contains(&node) => {
                    let fails = matches!(step, Step::Fail(_));
                    found = Some(Fault { fails, begin: zero + at, length: None });
                }
                Step::Release(nodes) if nodes.contains(&node) => {
                    found = found.map(|fault| Fault { length: Some(zero + at - fault.begin), ..fault });
                }
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_written_as_the_daemon_takes_it() {
        assert_eq!(Fault { fails: false, begin: 40.0, length: None }.spec(), "hang=write@40000ms..");
        assert_eq!(Fault { fails: true, begin: 40.0, length: None }.spec(), "eio=write@40000ms..");
        assert_eq!(
            Fault { fails: false, begin: 40.0, length: Some(17.0) }.spec(),
            "delay=write:17000ms@40000ms..42500ms"
        );
    }
}
