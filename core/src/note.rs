//! Lines for the log: one variant for each, so that tests can match it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::error::Refusal;
use crate::fence::{FenceMethod, FenceReason};
use crate::heartbeat::disk::note::DiskNote;
use crate::heartbeat::event::Event;
use crate::ids::{Caller, ConsumerId, RequestId, View};
use crate::logmask::Subject;
use crate::name::{Name, printable};
use crate::net::NetNote;
use crate::nodeman::address::Address;
use crate::quorum::QuorumNote;
use crate::throttle::{Cause, Kind};

/// Severity of a line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Shown only if its subject is allowed in `logmask`.
    Debug,
    /// Normal operation.
    Info,
    /// A refusal, an error, or something that an administrator would not expect.
    Warning,
}

/// What a line is about that somebody who watches is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic {
    /// A connection.
    Connection,
    /// A node for whose fate decisions wait.
    Hold,
    /// A decision of quorum.
    Decision,
    /// Beats that fail or hang.
    Beat,
    /// The end of this node.
    Fence,
}

impl Topic {
    /// As one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Hold => "hold",
            Self::Decision => "decision",
            Self::Beat => "beat",
            Self::Fence => "fence",
        }
    }
}

/// A line for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// A call was refused: which, on what, with which value, by which rule.
    Refused {
        /// The tree.
        view: View,
        /// The call: `mkdir`, `store` ...
        call: &'static str,
        /// Path of the item, from the root.
        path: Vec<u8>,
        /// What was to be stored or linked.
        value: Option<Vec<u8>>,
        /// The rule that was broken.
        refusal: Refusal,
        /// The facts behind the refusal, as the present owner of a number or the missing attributes.
        detail: Option<String>,
        /// The caller.
        caller: Caller,
    },
    /// A store succeeded without any effect, as in the kernel.
    Ignored {
        /// The attribute, from the root.
        path: Vec<u8>,
        /// What was stored.
        value: Vec<u8>,
        /// The rule that was broken.
        rule: &'static str,
        /// The caller.
        caller: Caller,
    },
    /// A consumer could not be registered.
    NotSubscribed {
        /// The region it wanted.
        region: Option<Vec<u8>>,
        /// The rule that was broken.
        refusal: Refusal,
    },
    /// `ocfs2: Changing fence method to ...`
    FenceMethod(FenceMethod),
    /// `o2hb: Heartbeat mode set to ...`: local or global, of the disk method.
    DiskMode(&'static str),
    /// Another heartbeat method is active.
    Method(&'static str),
    /// The stack listens for other nodes on this address and port.
    Listening(Address, u16),
    /// An event was queued.
    Event(Event),
    /// Something about a region and its device.
    Disk {
        /// The region's name.
        region: Name,
        /// The device's name.
        device: String,
        /// What.
        note: DiskNote,
    },
    /// Something about connections.
    Net(NetNote),
    /// Something about quorum.
    Quorum(QuorumNote),
    /// This node fences itself.
    Fence(FenceReason),
    /// A consumer took too long and was expelled.
    Expelled(ConsumerId, Event),
    /// The driver answered a request that was not waiting: ignored.
    Stale(RequestId),
    /// Others caused too many lines of a kind.
    LeftOut {
        /// How many were not said.
        count: u64,
        /// In how much time.
        within: Duration,
        /// The last one.
        last: Box<Self>,
    },
}

impl Note {
    /// Its subject in `logmask`.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Event(_) => Subject::Heartbeat,
            Self::Expelled(..) | Self::Stale(_) | Self::Fence(_) => Subject::Error,
            Self::Disk { note, .. } if note.is_error() => Subject::Error,
            Self::Net(note) => note.subject(),
            Self::Quorum(note) => note.subject(),
            Self::LeftOut { last, .. } => last.subject(),
            Self::Refused { .. }
            | Self::Ignored { .. }
            | Self::NotSubscribed { .. }
            | Self::FenceMethod(_)
            | Self::DiskMode(_)
            | Self::Method(_)
            | Self::Disk { .. }
            | Self::Listening(..) => Subject::Notice,
        }
    }

    /// What somebody who watches is told beside events: of connections, holds, decisions, and of what may end in a fence.
    pub fn topic(&self) -> Option<Topic> {
        match self {
            Self::Net(NetNote::Stranger(_)) => None,
            Self::Net(_) => Some(Topic::Connection),
            Self::Quorum(QuorumNote::Decided(_)) => Some(Topic::Decision),
            Self::Quorum(QuorumNote::Held { .. } | QuorumNote::Free { .. } | QuorumNote::Standing { .. }) => {
                Some(Topic::Hold)
            }
            Self::Disk { note, .. } if note.is_about_beats() => Some(Topic::Beat),
            Self::Fence(_) => Some(Topic::Fence),
            Self::LeftOut { last, .. } => last.topic(),
            Self::Refused { .. }
            | Self::Ignored { .. }
            | Self::NotSubscribed { .. }
            | Self::FenceMethod(_)
            | Self::DiskMode(_)
            | Self::Method(_)
            | Self::Listening(..)
            | Self::Event(_)
            | Self::Disk { .. }
            | Self::Quorum(QuorumNote::Moved(..))
            | Self::Expelled(..)
            | Self::Stale(_) => None,
        }
    }

    /// Its severity.
    pub fn level(&self) -> Level {
        match self {
            Self::Event(_) => Level::Debug,
            Self::Disk { note, .. } if !note.is_error() => Level::Info,
            Self::Net(note) if !note.is_warning() => Level::Info,
            Self::Quorum(QuorumNote::Moved(..) | QuorumNote::Held { .. } | QuorumNote::Free { .. }) => {
                Level::Debug
            }
            Self::Quorum(QuorumNote::Decided(decision)) if !decision.fences() => Level::Info,
            Self::FenceMethod(_) | Self::DiskMode(_) | Self::Method(_) | Self::Listening(..) => Level::Info,
            Self::Refused { .. }
            | Self::Ignored { .. }
            | Self::NotSubscribed { .. }
            | Self::Expelled(..)
            | Self::Stale(_)
            | Self::Disk { .. }
            | Self::Net(_)
            | Self::Quorum(_)
            | Self::Fence(_) => Level::Warning,
            Self::LeftOut { last, .. } => last.level(),
        }
    }

    /// Of lines that others can cause at will: their kind, of which not too many are said.
    pub(crate) fn kind(&self) -> Option<Kind> {
        if let Self::Net(note) = self {
            return note.kind();
        }
        if let Self::Quorum(QuorumNote::Held { node, .. }) = self {
            return Some((Cause::Hold, Some(*node), None));
        }
        if let Self::Quorum(QuorumNote::Free { node, .. }) = self {
            return Some((Cause::Free, Some(*node), None));
        }
        let Self::Disk { region, note, .. } = self else { return None };
        // Each node may ask for all regions at once.
        let (cause, node) = if let DiskNote::TimeAsked { from, .. } = note {
            (Cause::Ask, Some(*from))
        } else if matches!(note, DiskNote::TimeAskedByNobody) {
            (Cause::AskByNobody, None)
        } else if matches!(note, DiskNote::TimeGiven) {
            (Cause::Give, None)
        } else {
            return None;
        };
        Some((cause, node, Some(region.clone())))
    }
}

/// A value as one short word of a log line.
fn quoted(value: &[u8]) -> String {
    const SHOWN: usize = 80;
    match value.get(..SHOWN) {
        Some(head) if value.len() > SHOWN => {
            alloc::format!("\"{}...\" ({} bytes)", printable(head), value.len())
        }
        _ => alloc::format!("\"{}\"", printable(value)),
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { view, call, path, value, refusal, detail, caller } => {
                write!(f, "{call} {}", printable(path))?;
                if let Some(value) = value {
                    write!(f, " {}", quoted(value))?;
                }
                f.write_str(": ")?;
                match (refusal, detail) {
                    // The system's rule is unknown; the detail says what was asked of it.
                    (Refusal::System(errno), Some(detail)) => write!(f, "{detail} ({errno})")?,
                    (refusal, Some(detail)) => {
                        write!(f, "{}: {detail} ({})", refusal.rule(), refusal.errno())?
                    }
                    (refusal, None) => write!(f, "{refusal}")?,
                }
                write!(f, ", for pid {} uid {}", caller.pid, caller.uid)?;
                match view {
                    View::Config => Ok(()),
                    View::Sysfs => f.write_str(", in sysfs"),
                    View::Debugfs => f.write_str(", in debugfs"),
                }
            }
            Self::Ignored { path, value, rule, caller } => {
                let (path, value) = (printable(path), quoted(value));
                write!(
                    f,
                    "store {path} {value}: ignored, as by the kernel: {rule}, for pid {} uid {}",
                    caller.pid, caller.uid
                )
            }
            Self::NotSubscribed { region: Some(region), refusal } => {
                write!(f, "hold of region {}: {refusal}", quoted(region))
            }
            Self::NotSubscribed { region: None, refusal } => write!(f, "watch: {refusal}"),
            Self::FenceMethod(method) => write!(f, "ocfs2: Changing fence method to {}", method.word()),
            Self::DiskMode(word) => write!(f, "o2hb: Heartbeat mode set to {word}"),
            Self::Method(name) => write!(f, "o2hb: heartbeat method {name} is active"),
            Self::Listening(address, port) => write!(f, "o2net: listening on {address}:{port}"),
            Self::Event(event) => write!(f, "o2hb: {event}"),
            Self::Disk { region, device, note } => {
                f.write_str("o2hb: ")?;
                note.line(region, device, f)
            }
            Self::Net(note) => write!(f, "o2net: {note}"),
            Self::Quorum(note @ QuorumNote::Moved(..)) => note.fmt(f),
            Self::Quorum(note) => write!(f, "o2quo: {note}"),
            Self::Fence(reason) => {
                write!(f, "*** ocfs2 is very sorry to be fencing this system: {reason} ***")
            }
            Self::Expelled(consumer, event) => {
                write!(
                    f,
                    "o2hb: consumer {} took too long with event {} ({event}): expelled",
                    consumer.0, event.number
                )
            }
            Self::LeftOut { count, within, last } => {
                let within = within.as_secs();
                write!(f, "left out {count} more lines within {within} s, the last of them: {last}")
            }
            Self::Stale(request) => write!(f, "an answer to request {} came too late: ignored", request.0),
        }
    }
}
