//! The registry of methods: which there are, which one is active, and which one a region belongs to.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::layer::{Layer, Region};
use super::method::Method;
use crate::error::Refusal;
use crate::fence::Good;
use crate::ids::ItemId;
use crate::name::Name;
use crate::text::chomp;
use crate::time::Instant;

/// The methods, and what they share.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    methods: Vec<Box<dyn Method>>,
    active: Option<usize>,
    pub(crate) layer: Layer,
}

impl Heartbeat {
    /// Registers a method; the first one becomes active.
    pub(crate) fn register(&mut self, method: Box<dyn Method>) {
        self.methods.push(method);
        self.active = self.active.or(Some(0));
    }

    /// Takes a method off. If it was the active one there is none then, and no cluster can be made.
    #[cfg(test)]
    pub(crate) fn unregister(&mut self, name: &str) {
        let active = self.active_name();
        self.methods.retain(|method| method.name() != name);
        self.active = active.and_then(|active| self.position(active.as_bytes()));
    }

    /// Names of all methods, in order of registration.
    pub(crate) fn available(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.methods.iter().map(|method| method.name())
    }

    /// The active method.
    pub(crate) fn active(&self) -> Option<&dyn Method> {
        Some(self.methods.get(self.active?)?.as_ref())
    }

    /// Name of the active method.
    pub(crate) fn active_name(&self) -> Option<&'static str> {
        self.active().map(Method::name)
    }

    /// The active method, with the layer beside it.
    pub(crate) fn active_mut(&mut self) -> Option<(&mut dyn Method, &mut Layer)> {
        Some((self.methods.get_mut(self.active?)?.as_mut(), &mut self.layer))
    }

    /// The method that made a region, whichever is active.
    pub(crate) fn owner(&self, region: ItemId) -> Option<&dyn Method> {
        let name = self.layer.by_id(region)?.method;
        Some(self.methods.get(self.position(name.as_bytes())?)?.as_ref())
    }

    /// The same, with the layer beside it.
    pub(crate) fn owner_mut(&mut self, region: ItemId) -> Option<(&mut dyn Method, &mut Layer)> {
        let name = self.layer.by_id(region)?.method;
        let index = self.position(name.as_bytes())?;
        Some((self.methods.get_mut(index)?.as_mut(), &mut self.layer))
    }

    /// Every method in turn, with the layer beside it.
    pub(crate) fn each(&mut self, mut call: impl FnMut(&mut dyn Method, &mut Layer)) {
        let Self { methods, layer, .. } = self;
        methods.iter_mut().for_each(|method| call(method.as_mut(), layer));
    }

    /// The method of this type.
    pub(crate) fn get<M: Method + 'static>(&self) -> Option<&M> {
        self.methods.iter().find_map(|method| method.as_ref().as_any().downcast_ref())
    }

    /// The same, with the layer beside it.
    pub(crate) fn get_mut<M: Method + 'static>(&mut self) -> Option<(&mut M, &mut Layer)> {
        let Self { methods, layer, .. } = self;
        let method = methods.iter_mut().find_map(|method| method.as_mut().as_any_mut().downcast_mut())?;
        Some((method, layer))
    }

    /// A write to `heartbeat_mode`: the whole name of a method, a newline may follow.
    pub(crate) fn select(&mut self, word: &[u8], cluster_exists: bool) -> Result<&'static str, Refusal> {
        if cluster_exists {
            return Err(Refusal::ModeInUse);
        }
        let index = self.position(chomp(word)).ok_or(Refusal::UnknownMode)?;
        self.active = Some(index);
        Ok(self.methods[index].name())
    }

    /// When a method wants to be called.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.methods.iter().filter_map(|method| method.next_timeout()).min()
    }

    /// Is a region of any method still about to stop?
    pub(crate) fn stopping(&self) -> bool {
        self.methods.iter().any(|method| method.stopping())
    }

    /// Until when this node proves that it lives, by the first method for which it will not any more.
    pub(crate) fn good(&self) -> Option<Good> {
        self.methods.iter().filter_map(|method| method.good()).min_by_key(|good| good.until)
    }

    /// A region of the active method has been made.
    pub(crate) fn region_made(&mut self, id: ItemId, name: &Name) {
        let Some(method) = self.active() else { return };
        let region = Region::new(id, name.clone(), method.name(), method.telling());
        self.layer.insert(region);
    }

    /// A region has gone.
    pub(crate) fn region_dropped(&mut self, id: ItemId) {
        self.layer.remove(id);
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        self.methods.iter().position(|method| method.name().as_bytes() == name)
    }
}
