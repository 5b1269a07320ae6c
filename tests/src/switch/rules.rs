//! What becomes of a frame.

use std::collections::{BTreeMap, BTreeSet};

use super::frame;

/// The port of o2net on all nodes, which filters are for.
pub const PORT: u16 = 7777;

/// How a node's port is closed for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Without an answer.
    Drop,
    /// With a TCP reset.
    Reset,
    /// With the ICMP message "port unreachable".
    Unreachable,
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Ordered pairs between which everything is dropped.
    pub(super) cut: BTreeSet<(u8, u8)>,
    pub(super) filters: BTreeMap<u8, Filter>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Deliver,
    Drop,
    /// Dropped, and this goes back.
    Answer(Vec<u8>),
}

impl Rules {
    pub(super) fn verdict(&self, from: u8, to: u8, frame: &[u8]) -> Verdict {
        if self.cut.contains(&(from, to)) {
            return Verdict::Drop;
        }
        let filter = self.filters.get(&to);
        let Some(filter) = filter.filter(|_| frame::segment(frame).is_some_and(|of| of.to.1 == PORT)) else {
            return Verdict::Deliver;
        };
        let answer = match filter {
            Filter::Drop => None,
            Filter::Reset => frame::reset(frame),
            Filter::Unreachable => frame::unreachable(frame),
        };
        answer.map_or(Verdict::Drop, Verdict::Answer)
    }
}
