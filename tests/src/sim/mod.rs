//! Clusters in virtual time: a discrete-event simulation of engines over shared disks, with faults.
//!
//! All of a run follows from its [`Plan`](faults::Plan), and a plan from one seed: there is no clock, no thread and no
//! random order in here. Running a plan returns figures, or the first [`Violation`](invariants::Violation).

pub mod actions;
pub mod clock;
pub mod cuts;
pub mod disk;
pub mod dispatch;
pub mod ending;
pub mod faults;
pub mod holder;
pub mod invariants;
pub mod io;
pub mod links;
pub mod negotiation;
pub mod network_faults;
pub mod node;
pub mod quorum;
pub mod reference;
pub mod safety;
pub mod setup;
pub mod shrink;
pub mod stream;
pub mod tcp;
pub mod timing;
pub mod trace;
pub mod user;
pub mod world;

/// Virtual time in microseconds since the start of the run.
pub type Us = u64;
/// One millisecond.
pub const MS: Us = 1000;
/// One second.
pub const SEC: Us = 1_000_000;
/// Time between two beats of a region.
pub const PERIOD: Us = 2 * SEC;
