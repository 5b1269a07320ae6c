//! Heartbeat: the generic layer and the methods that register with it (`spec/heartbeat.md`).
//!
//! Who is alive, and who is in the group of a region, are two questions. A [`Method`] answers them; the
//! [`Layer`] keeps the regions of all methods and who is up in them; nobody else needs to know which method is
//! active.

pub mod disk;
pub(crate) mod event;
pub(crate) mod layer;
mod method;
mod registry;
#[cfg(test)]
mod tests;
mod user;

use alloc::boxed::Box;
use alloc::vec::Vec;

pub use self::disk::Disk;
pub use self::event::{Cause, Edge, Event, NodeEdge, NodeName, RegionName, Telling};
pub use self::layer::{Layer, Region};
pub use self::method::{AsAny, Context, Method};
pub(crate) use self::registry::Heartbeat;
pub use self::user::User;

/// Longest name of a region, in bytes (`O2HB_MAX_REGION_NAME_LEN`).
pub(crate) const REGION_NAME_MAX: usize = 32;

/// The methods of a stack, in the order of their registration: the first one is active until another is chosen.
pub fn methods() -> Vec<Box<dyn Method>> {
    Vec::from([Box::new(Disk::default()) as Box<dyn Method>, Box::new(User)])
}

/// What kernel 6.1 has.
pub fn mainline_methods() -> Vec<Box<dyn Method>> {
    Vec::from([Box::new(Disk::default()) as Box<dyn Method>])
}
