//! The cluster stack of ocfs2 (node manager, heartbeat and group manager) without any I/O: data in, data
//! out, time as an argument.
//!
//! The whole stack is one value, [`Engine`]. A driver hands in [`Input`]s, performs the [`Action`]s in the order in
//! which they come, and calls [`Engine::handle_timeout`] at [`Engine::poll_timeout`]. The same code runs in real time
//! (crate `uo2cb`) and in virtual time (crate `uo2cb-tests`). As it is `no_std`, it can reach no clock, thread, file,
//! socket or source of random numbers.
//!
//! - [`tree`]: configfs itself, which knows nothing of o2cb.
//! - [`nodeman`]: the cluster and its nodes.
//! - [`heartbeat`]: the generic layer (regions, events, callbacks) and the methods `disk` and `user`.
//! - `o2cb`, `sysfs`, `debugfs`: the files and directories of the three trees, and how they act on the above.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

extern crate alloc;

mod call;
mod consumers;
mod detail;
mod effect;
mod engine;
mod errno;
mod error;
mod fence;
pub mod heartbeat;
mod ids;
mod logmask;
mod machines;
mod message;
mod name;
pub mod nodeman;
mod note;
mod number;
mod pending;
mod status;
#[cfg(test)]
mod testing;
mod text;
mod time;
mod timers;
pub mod tree;
mod views;

pub use call::Call;
pub use effect::{Effect, Effects};
pub use engine::{Config, Engine};
pub use error::{Errno, Refusal};
pub use fence::FenceReason;
pub use ids::{Caller, ConsumerId, ItemId, NodeNum, NodeSet, OpId, RequestId, View};
pub use logmask::Subject;
pub use message::{Action, Input, Reply, Subscribe, Up};
pub use name::{Name, printable};
pub use note::{Level, Note};
pub use status::{ClusterStatus, DiskStatus, NodeStatus, RegionStatus, Status};
pub use time::{Instant, Now, Stamp};
