//! Every thread, clock and socket of a node.

pub(crate) mod clock;
pub(crate) mod consumers;
pub(crate) mod crash;
pub(crate) mod deadline;
pub(crate) mod disk;
pub(crate) mod error;
pub(crate) mod fence;
mod mailbox;
mod memory;
pub(crate) mod monitor;
pub mod mountpoint;
mod net;
pub(crate) mod node;
pub(crate) mod notes;
mod realtime;
mod signals;
pub(crate) mod threads;
pub(crate) mod tree;
