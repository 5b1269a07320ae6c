//! The trees as file systems: three views over one [`Service`], through FUSE.

mod cache;
#[doc(hidden)]
pub mod caller;
mod convert;
mod front;
mod handle;
mod inode;
mod listing;
mod mount;
pub mod mounts;
mod offload;
mod service;
mod state;
mod target;

pub use mount::{End, Mounted, Options, fusermount, has_lost_its_server, mount, mount_on, unmount};
pub use mounts::SOURCE;
pub use service::{Respond, Service};
