//! Conformance of the tree with a real kernel's configfs.
//!
//! One list of operations is run by one program, the [`probe`], in two places: inside a [`guest`] that boots a real
//! kernel, and against a mount of ours. What both answered is compared line by line.

pub mod compare;
pub mod disks;
pub mod generate;
pub mod guest;
pub mod hammer;
pub mod judge;
pub mod list;
pub mod loops;
pub mod mount;
pub mod not_run;
pub mod nvmet;
pub mod probe;
pub mod program;
pub mod rng;
pub mod service;
pub mod sim;
pub mod subject;
pub mod words;
