//! Heartbeat: the generic layer and the methods that register with it (`spec/heartbeat.md`).
//!
//! Who is alive, and who is in the group of a region, are two questions. A [`Method`] answers them; the
//! [`Layer`] keeps the regions of all methods and tells consumers; nobody else needs to know which method is
//! active.

mod delivery;
pub mod disk;
mod event;
mod layer;
mod method;
#[cfg(test)]
mod tests;
mod user;

use alloc::boxed::Box;
use alloc::vec::Vec;

pub use self::delivery::{Callback, Delivery, Scope, Step};
pub use self::disk::Disk;
pub use self::event::{Cause, Edge, Event, NodeName, RegionName};
pub use self::layer::{Layer, Region};
pub use self::method::{Method, Surroundings, Want};
pub use self::user::User;
use crate::error::Refusal;
use crate::ids::ItemId;
use crate::name::Name;
use crate::text::chomp;
use crate::time::Instant;

/// Longest name of a region, in bytes (`O2HB_MAX_REGION_NAME_LEN`).
pub(crate) const REGION_NAME_MAX: usize = 32;

/// The registry of methods, and what they share.
#[derive(Debug, Default)]
pub struct Heartbeat {
    methods: Vec<Box<dyn Method>>,
    active: Option<usize>,
    /// The generic layer.
    pub layer: Layer,
}

impl Heartbeat {
    /// Registers a method; the first one becomes active.
    pub fn register(&mut self, method: Box<dyn Method>) {
        self.methods.push(method);
        self.active = self.active.or(Some(0));
    }

    /// Takes a method off. If it was the active one there is none then, and no cluster can be made.
    pub fn unregister(&mut self, name: &str) {
        let active = self.active_name();
        self.methods.retain(|method| method.name() != name);
        self.active = active.and_then(|active| self.position(active.as_bytes()));
    }

    /// Names of all methods, in order of registration.
    pub fn available(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.methods.iter().map(|method| method.name())
    }

    /// Name of the active method.
    pub fn active_name(&self) -> Option<&'static str> {
        self.active().map(|method| method.name())
    }

    /// The active method.
    pub fn active(&self) -> Option<&dyn Method> {
        Some(self.methods.get(self.active?)?.as_ref())
    }

    /// The active method with the layer beside it.
    pub fn active_mut(&mut self) -> Option<(&mut dyn Method, &mut Layer)> {
        Some((self.methods.get_mut(self.active?)?.as_mut(), &mut self.layer))
    }

    /// A write to `heartbeat_mode`: the whole name of a method, a newline may follow.
    pub fn select(&mut self, word: &[u8], cluster_exists: bool) -> Result<&'static str, Refusal> {
        if cluster_exists {
            return Err(Refusal::ModeInUse);
        }
        let index = self.position(chomp(word)).ok_or(Refusal::UnknownMode)?;
        self.active = Some(index);
        Ok(self.methods[index].name())
    }

    /// When the active method wants to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.active()?.next_timeout()
    }

    /// A region of the active method has been made.
    pub fn region_made(&mut self, id: ItemId, name: &Name) {
        if let Some(method) = self.active_name() {
            self.layer.insert(Region { id, name: name.clone(), method });
        }
    }

    /// A region has gone.
    pub fn region_dropped(&mut self, id: ItemId) {
        self.layer.remove(id);
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        self.methods.iter().position(|method| method.name().as_bytes() == name)
    }
}
