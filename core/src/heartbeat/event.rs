//! A node goes up or down: what is carried inside the stack, and what a consumer is told.

use core::fmt;
use core::time::Duration;

use crate::ids::{ItemId, NodeNum};
use crate::name::Name;

/// Which way a node went.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Edge {
    /// It is alive, or joined the group of the region.
    Up,
    /// It is dead, or left the group.
    Down,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// What made an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Userspace made a symlink; the caller's thread id.
    Linked(u32),
    /// Userspace removed a symlink; the caller's thread id.
    Unlinked(u32),
    /// Its block on the disk changed twice.
    Beats,
    /// Its block stayed the same for the dead threshold.
    Silent,
    /// Its block has another generation: it restarted.
    Restarted,
    /// It, or we, stopped cleanly.
    Stopped,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linked(pid) => write!(f, "linked by pid {pid}"),
            Self::Unlinked(pid) => write!(f, "unlinked by pid {pid}"),
            Self::Beats => f.write_str("its heartbeat was seen"),
            Self::Silent => f.write_str("its heartbeat was missed too often"),
            Self::Restarted => f.write_str("it restarted"),
            Self::Stopped => f.write_str("its heartbeat was stopped"),
        }
    }
}

/// A region as events and answers name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegionName {
    /// Its directory.
    pub id: ItemId,
    /// Its name.
    pub name: Name,
}

/// A node as events name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeName {
    /// Its number.
    pub num: NodeNum,
    /// Its name.
    pub name: Name,
}

/// A node came into the group of a region, or left it: carried to all who listen, in the order that the engine shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeEdge {
    /// Which way.
    pub edge: Edge,
    /// Which node.
    pub node: NodeName,
    /// In which region.
    pub region: RegionName,
    /// Whether that was the first region to see it, or the last one to lose it: the node itself went up or down.
    pub whole: bool,
    /// What consumers of the region's method are told of.
    pub telling: Telling,
    /// Why.
    pub cause: Cause,
    /// When, wall clock since 1970.
    pub at: Duration,
}

/// Of which edges a method's consumers are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Telling {
    /// Of each, with its region.
    Regions,
    /// Of those of whole nodes only, without a region.
    Nodes,
}

/// A node went up or down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Rises by one with each event of this engine.
    pub number: u64,
    /// Which way.
    pub edge: Edge,
    /// Which node.
    pub node: NodeName,
    /// In which region; none: for the whole node, as the disk method says it.
    pub region: Option<RegionName>,
    /// Why.
    pub cause: Cause,
    /// When it was queued, wall clock since 1970.
    pub at: Duration,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} ({}) {}", self.node.name, self.node.num, self.edge)?;
        if let Some(region) = &self.region {
            write!(f, " in region {}", region.name)?;
        }
        write!(f, ", {}", self.cause)
    }
}
