//! The cluster stack of ocfs2 (node manager, heartbeat and group manager) without any I/O: data in, data
//! out, time as an argument.
//!
//! The whole stack is one value, [`Engine`]. A driver hands in [`Input`]s, performs the [`Action`]s in the order in
//! which they come, and calls [`Engine::handle_timeout`] at [`Engine::poll_timeout`]. The same code runs in real time
//! (crate `uo2cb`) and in virtual time (crate `uo2cb-tests`). As it is `no_std`, it can reach no clock, thread, file,
//! socket or source of random numbers.
//!
//! # The way of an edge
//!
//! A link is made in a region of the method `user`; of `disk` the first four steps are a beat:
//!
//! 1. The driver hands in [`Input::Tree`] with the symlink; `engine.rs` passes it to the view, the view to [`tree`].
//! 2. `tree` looks at name and target, and asks the view: `views/config.rs`, `allow_link`.
//! 3. The view asks the method that made the region: `heartbeat/user.rs`, `allow_link`, which says `joined`.
//! 4. The layer (`heartbeat/layer.rs`, `join`) puts the node into the region's group, and finds out whether the node is
//!    up in a region for the first time.
//! 5. The edge is pushed as [`Effect::Edge`] (`heartbeat/method.rs`).
//! 6. Back in the engine, `carry` (`engine/carry.rs`) takes it before anything else, and hands it to `edge`:
//! 7. quorum and net, before all others, if it is an edge of the whole node: `quorum/listener.rs`, `net/mod.rs`;
//! 8. then external consumers: `consumers/delivery.rs` makes an [`Event`](heartbeat::Event) of it and queues that.
//! 9. `finish` tells the first consumer ([`Action::Deliver`]); the answer to the link waits in `pending.rs`.
//! 10. When the last consumer has said [`Input::Delivered`], the link is answered ([`Action::Reply`]).
//!
//! # Modules
//!
//! - [`tree`]: configfs itself, which knows nothing of o2cb.
//! - [`nodeman`]: the cluster and its nodes.
//! - [`heartbeat`]: the generic layer (regions, who is up in them, edges) and the methods `disk` and `user`.
//! - [`quorum`]: whether this node must stop, as it has lost contact with others that live.
//! - [`net`]: connections to other nodes, and their messages.
//! - `consumers`: who is told of events outside the stack, and what each of them pins.
//! - `pending`: who waits for an answer. `effect`: what machines ask of one another. `timers`: when they want to be called.
//! - `views`: the files and directories of the three trees, and how they act on the above.
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
pub mod net;
pub mod nodeman;
mod note;
mod number;
mod pending;
pub mod quorum;
mod status;
#[cfg(test)]
mod testing;
mod text;
mod throttle;
mod time;
mod timers;
pub mod tree;
mod views;

pub use call::Call;
pub use effect::{Effect, Effects};
pub use engine::{Config, Engine};
pub use error::{Errno, Refusal};
pub use fence::{Beats, FenceMethod, FenceReason, Good};
pub use heartbeat::disk::{DiskPhase, DiskStatus, StoppingStatus};
pub use ids::{Caller, ConnectionId, ConsumerId, ItemId, NodeNum, NodeSet, OpId, RequestId, View};
pub use logmask::Subject;
pub use message::{Action, Input, Reply, Subscribe, Up};
pub use name::{Name, printable};
pub use note::{Level, Note, Topic};
pub use status::{ClusterStatus, NodeStatus, OwnNode, RegionStatus, Status};
pub use time::{Instant, Now, Stamp};
