//! Fencing: the machine that finds that this node must leave calls it with a reason (`spec/quorum.md`).
//!
//! What it does is the driver's configuration; here is why it is called.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::name::Name;
use crate::quorum::Decision;
use crate::time::Instant;

/// What a fence does to the machine (`fence_method`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FenceMethod {
    /// `reset`: restart at once.
    #[default]
    Reset,
    /// `panic`.
    Panic,
}

impl FenceMethod {
    /// The word in `fence_method`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Panic => "panic",
        }
    }
}

/// Why this node fences itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FenceReason {
    /// No good beat for the write timeout: others may declare this node dead.
    WriteTimeout {
        /// The region.
        region: Name,
        /// Its device.
        device: String,
        /// For how long.
        silent: Duration,
    },
    /// o2net cannot go on, so others cannot reach this node, whatever it writes to the disks: a kernel beside us whose
    /// file system is mounted would give up its life for that (`spec/kernel-drive.md`).
    Network {
        /// What has failed, and how.
        what: String,
    },
    /// Lost contact with too many nodes that are alive.
    Quorum(Decision),
}

impl fmt::Display for FenceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteTimeout { region, device, silent } => {
                write!(
                    f,
                    "no good beat of region {region} ({device}) for {} milliseconds",
                    silent.as_millis()
                )
            }
            Self::Network { what } => write!(f, "o2net cannot go on: {what}"),
            Self::Quorum(decision) => decision.fmt(f),
        }
    }
}

/// Whether others count on this node, and for how long: what a watchdog must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beats {
    /// They do not: no region is steady yet, or none is any more, or userspace says who is up.
    Unwatched,
    /// They do.
    Good(Good),
    /// This node is fenced.
    Fenced,
}

/// Until when beats are good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Good {
    /// Then this node fences itself, unless a good beat comes before.
    pub until: Instant,
    /// Others count it as dead then, and no sooner. Until then it must have stopped.
    pub dead: Instant,
    /// From the beginning of a good beat to `until`.
    pub timeout: Duration,
}
