//! What the tests of several crates share. It depends on no other crate of the workspace, so that the tests of each of
//! them can use it.

pub mod beside;
pub mod loops;
mod not_run;
pub mod poll;
pub mod port;
pub mod rng;
pub mod shrink;

pub use not_run::not_run;
