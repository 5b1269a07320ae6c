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
mod offload;
mod service;
mod state;
mod target;

pub use mount::{End, Mounted, Options, SOURCE, mount};
pub use service::{Respond, Service};
