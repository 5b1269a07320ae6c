//! The runs as data: what is done to a cluster, and what must be seen.

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
    /// Ends a node at once.
    Kill(u8),
    /// Removes a node's region.
    Leave(u8),
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
    /// It takes a peer for dead: `No longer connected to node ...`.
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
    /// Segments with SYN to the filtered port of `to`, dropped until it opens.
    Syns {
        /// The node.
        to: u8,
        /// How many.
        times: (usize, usize),
    },
}

/// A hang of the disk of our daemon, which must be known when it starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// When it begins, in seconds after the disk was opened.
    pub begin: f64,
    /// How long it takes, if it ends.
    pub length: Option<f64>,
}

impl Fault {
    /// As the daemon takes it.
    pub fn spec(self) -> String {
        let begin = (self.begin * 1000.0) as u64;
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

    /// How the disk of `node` hangs, when time 0 is `zero` after it was opened.
    pub fn fault(&self, node: u8, zero: f64) -> Option<Fault> {
        let find = |hang: bool| {
            self.steps.iter().find_map(|(at, step)| match step {
                Step::Hang(nodes) if hang && nodes.contains(&node) => Some(*at),
                Step::Release(nodes) if !hang && nodes.contains(&node) => Some(*at),
                _ => None,
            })
        };
        let begin = find(true)?;
        Some(Fault { begin: zero + begin, length: find(false).map(|end| end - begin) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_written_as_the_daemon_takes_it() {
        assert_eq!(Fault { begin: 40.0, length: None }.spec(), "hang=write@40000ms..");
        assert_eq!(Fault { begin: 40.0, length: Some(17.0) }.spec(), "delay=write:17000ms@40000ms..42500ms");
    }
}
