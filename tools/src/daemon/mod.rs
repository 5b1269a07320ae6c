//! Every thread, clock and socket of a node.

pub(crate) mod clock;
pub(crate) mod consumers;
pub(crate) mod crash;
mod device;
pub(crate) mod error;
pub(crate) mod monitor;
pub mod mountpoint;
mod net;
pub(crate) mod node;
pub(crate) mod notes;
pub(crate) mod tree;
