//! Every thread, clock and socket of a node.

pub(crate) mod clock;
pub(crate) mod consumers;
pub(crate) mod crash;
pub(crate) mod disk;
pub(crate) mod error;
mod fence;
pub(crate) mod monitor;
pub mod mountpoint;
mod net;
pub(crate) mod node;
pub(crate) mod notes;
mod realtime;
mod signals;
pub(crate) mod tree;
