//! Lines that other nodes can cause as often as they like, by connecting or by messages: only so many of a kind are said,
//! the others are counted. Who floods a node must not fill the disk with its log, nor push out of sight what others need to
//! read.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::ids::NodeNum;
use crate::name::Name;
use crate::note::Note;
use crate::time::Instant;

/// Lines of a kind that are said within a [`WINDOW`]. A kernel, which tries again after each reconnect delay, stays below.
const LINES: u32 = 20;
/// For how long lines are counted, and how often it is said how many were left out.
const WINDOW: Duration = Duration::from_secs(10);

/// What others do at will.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Cause {
    /// A connection that is refused at once.
    Stranger,
    /// A good connection, made or accepted.
    Connect,
    /// One that is refused for its handshake.
    Mismatch,
    /// The end of a connection.
    Close,
    /// The loss of a good one.
    Lose,
    /// A hold that comes with that.
    Hold,
    /// A hold that ends with a connection.
    Free,
    /// Bytes that are no message.
    Break,
    /// A question for more time.
    Ask,
    /// One by nobody.
    AskByNobody,
    /// An approval of more time.
    Give,
}

/// Lines are of one kind that have the same cause, and are about the same node and region.
pub(crate) type Kind = (Cause, Option<NodeNum>, Option<Name>);

/// How many lines of a kind there were.
#[derive(Debug)]
struct Count {
    until: Instant,
    said: u32,
    left_out: u64,
    /// The last of those.
    last: Option<Note>,
    /// It was too much in the window before: only the number is said.
    flooding: bool,
}

impl Count {
    fn new(now: Instant, flooding: bool) -> Self {
        Self { until: now.after(WINDOW), said: 0, left_out: 0, last: None, flooding }
    }
}

/// All kinds, of which there are a few for each node.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    counts: BTreeMap<Kind, Count>,
    next: Option<Instant>,
}

impl Throttle {
    /// A line, unless it is left out. What is due is to be taken first.
    pub(crate) fn pass(&mut self, now: Instant, note: Note) -> Option<Note> {
        let Some(kind) = note.kind() else { return Some(note) };
        if !self.counts.contains_key(&kind) {
            self.counts.retain(|_, count| count.until > now || count.left_out > 0);
        }
        let count = self.counts.entry(kind).or_insert_with(|| Count::new(now, false));
        if count.until <= now {
            *count = Count::new(now, false);
        }
        if !count.flooding && count.said < LINES {
            count.said += 1;
            return Some(note);
        }
        count.left_out += 1;
        count.last = Some(note);
        self.next = Some(self.next.map_or(count.until, |next| next.min(count.until)));
        None
    }

    /// When [`take_due`](Self::take_due) has something.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// How many lines were left out, for each kind whose window has ended.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Note> {
        let mut due = Vec::new();
        if self.next.is_none_or(|next| next > now) {
            return due;
        }
        for count in self.counts.values_mut().filter(|count| count.until <= now) {
            let Some(last) = count.last.take() else { continue };
            let left_out = count.left_out;
            *count = Count::new(now, left_out > u64::from(LINES));
            due.push(Note::LeftOut { count: left_out, within: WINDOW, last: Box::new(last) });
        }
        self.next = self.counts.values().filter(|count| count.left_out > 0).map(|count| count.until).min();
        due
    }
}

#[cfg(test)]
mod tests;
