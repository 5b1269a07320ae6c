//! ocfs2's cluster stack as an ordinary process: the daemon as a library.
//!
//! A [`Node`] is one cluster stack: node manager, heartbeat, and the tree that the kernel shows under
//! /sys/kernel/config. It can be mounted, or be used in process only, which needs no rights at all.
//!
//! ```
//! use uo2cb::Node;
//!
//! let node = Node::builder().user_heartbeat().start()?;
//! node.mkdir("cluster/c")?;
//! node.mkdir("cluster/c/node/n1")?;
//! node.write("cluster/c/node/n1/ipv4_address", "127.0.0.1")?;
//! node.write("cluster/c/node/n1/ipv4_port", "7777")?;
//! node.write("cluster/c/node/n1/num", "1")?;
//! node.mkdir("cluster/c/heartbeat/R")?;
//!
//! let watch = node.on_event(None, 0, |event| println!("{event}"))?;
//! node.symlink("cluster/c/node/n1", "cluster/c/heartbeat/R/n1")?; // prints: node n1 (1) up in region R ...
//! assert_eq!(node.status().regions[0].up.len(), 1);
//! drop(watch);
//! # Ok::<(), uo2cb::Error>(())
//! ```
//!
//! Other processes reach a node through its mounts and through its [control] socket.

pub mod control;
mod daemon;
mod error;
pub mod mountpoint;

pub use daemon::clock::utc;
pub use daemon::consumers::Subscription;
pub use daemon::crash::dedicate_process;
pub use daemon::deadline::STATUS as CRASH_STATUS;
#[doc(hidden)]
pub use daemon::fault_point::panic_at;
pub use daemon::fence::FenceAction;
pub use daemon::monitor::UpIn;
pub use daemon::node::{Builder, Node};
pub use daemon::notes::{LogFormat, LogTarget};
pub use daemon::stopper::Stopper;
pub use daemon::tree::{Entry, Tree};
pub use error::Error;
pub use uo2cb_blockio::{Script as Faults, ScriptError as FaultsError};
pub use uo2cb_core as core;
pub use uo2cb_core::Refusal;
