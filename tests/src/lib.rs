//! What the tests of the whole have in common.
//!
//! Conformance with a real kernel: one list of operations is run by one program, the [`probe`], in two places: inside
//! a [`guest`] that boots a real kernel, and against a mount of ours, for regions on the same [`disks`]. What both
//! answered is compared line by line. Mixed clusters use the guest and the mount as well: there a daemon of ours and a
//! kernel heartbeat on one disk. Where networks are [`cut`], all are ports of one [`switch`].
//!
//! Without a kernel: the simulation of clusters in [`sim`], processes that [`stress`] a mount, a second subsystem
//! ([`nvmet`]) on the tree engine, and what models and fuzz targets share, such as [`rng`].

pub mod compare;
pub mod cut;
pub mod disks;
pub mod generate;
pub mod guest;
pub mod lines;
pub mod list;
pub mod mount;
pub mod nodes;
pub mod nvmet;
pub mod oracle;
pub mod probe;
pub mod program;
pub mod service;
pub mod sim;
pub mod stress;
pub mod subject;
pub mod switch;
pub mod words;
pub mod worker;

pub use uo2cb_test_support::{loops, not_run, poll, port, rng, shrink};
