//! Every thread, clock and socket of a node. Builds on [`control`](crate::control), whose protocol its socket speaks, and
//! on [`mountpoint`]; neither of them knows of the daemon.

pub(crate) mod clock;
pub(crate) mod consumers;
pub(crate) mod crash;
pub(crate) mod deadline;
pub(crate) mod disk;
pub(crate) mod fault_point;
pub(crate) mod fence;
mod mailbox;
mod memory;
pub(crate) mod monitor;
mod net;
pub(crate) mod node;
pub(crate) mod notes;
mod realtime;
mod refusals;
mod signals;
mod socket;
pub(crate) mod status;
pub(crate) mod stopper;
pub(crate) mod threads;
pub(crate) mod tree;

pub(crate) use crate::{error, mountpoint};
