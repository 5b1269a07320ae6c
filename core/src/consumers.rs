//! External consumers of heartbeat events: who they are, what each of them pins, and how they are told.

mod delivery;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, btree_map::Entry};
use alloc::vec::Vec;

pub(crate) use self::delivery::{Delivery, Scope, Step};
use crate::call::Call;
use crate::effect::{Effect, Effects};
use crate::error::Refusal;
use crate::ids::{ConsumerId, ItemId};
use crate::machines::Machines;
use crate::message::{Subscribe, Up};
use crate::time::Now;
use crate::tree::Tree;

/// Who is registered.
#[derive(Debug, Default)]
pub(crate) struct Consumers {
    pub(crate) delivery: Delivery,
    /// The region that each consumer holds, and the local node that it pins.
    pins: BTreeMap<ConsumerId, (ItemId, ItemId)>,
    /// How many consumers hold each region.
    held: BTreeMap<ItemId, u32>,
}

impl Consumers {
    /// Registers a consumer, and pins what it holds. Who is up at this moment: every later change comes as an event.
    pub(crate) fn subscribe(
        &mut self,
        subscribe: &Subscribe<'_>,
        tree: &mut Tree,
        machines: &mut Machines,
        effects: &mut Effects,
        now: Now,
    ) -> Result<Vec<Up>, Refusal> {
        let region = match subscribe.region {
            Some(name) => Some(self.hold(subscribe.consumer, name, tree, machines, effects, now)?),
            None => None,
        };
        let Subscribe { consumer, edge, priority, patience, .. } = *subscribe;
        let scope = region.map_or(Scope::Everything, Scope::Region);
        self.delivery.register(consumer, scope, edge, priority, patience);
        Ok(machines.heartbeat.layer.map(region))
    }

    /// A consumer of one region pins what the region's method says, and the local node.
    fn hold(
        &mut self,
        consumer: ConsumerId,
        name: &[u8],
        tree: &mut Tree,
        machines: &mut Machines,
        effects: &mut Effects,
        now: Now,
    ) -> Result<ItemId, Refusal> {
        let region = machines.heartbeat.layer.by_name(name).ok_or(Refusal::NoSuchRegion)?.id;
        let cluster = machines.nodes.cluster();
        let local = cluster.and_then(|cluster| cluster.local()).ok_or(Refusal::NoLocalNode)?.id;
        // Asked of both before either is pinned for good.
        tree.depend(region)?;
        let pinned = tree.depend(local);
        tree.undepend(region);
        pinned?;
        machines.owner(region, Call::nobody(now), effects, |method, at| method.hold(at, region));
        self.pins.insert(consumer, (region, local));
        *self.held.entry(region).or_default() += 1;
        Ok(region)
    }

    /// A consumer goes, and its pins with it.
    pub(crate) fn unsubscribe(
        &mut self,
        consumer: ConsumerId,
        machines: &mut Machines,
        effects: &mut Effects,
        now: Now,
    ) {
        self.delivery.unregister(consumer);
        if let Some((region, local)) = self.pins.remove(&consumer) {
            effects.push(Effect::Unpin(local));
            if let Entry::Occupied(mut held) = self.held.entry(region) {
                *held.get_mut() -= 1;
                if *held.get() == 0 {
                    held.remove();
                }
            }
            machines.owner(region, Call::nobody(now), effects, |method, at| method.release(at, region));
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<ConsumerId> {
        self.delivery.callbacks().iter().map(|callback| callback.consumer).collect()
    }

    /// Does a consumer hold this region?
    pub(crate) fn holds(&self, region: ItemId) -> bool {
        self.held.contains_key(&region)
    }

    /// How many consumers hold this region, whatever its method pins for them.
    pub(crate) fn holders_of(&self, region: ItemId) -> u32 {
        self.held.get(&region).copied().unwrap_or(0)
    }

    /// Does a consumer hold any region?
    pub(crate) fn holds_any(&self) -> bool {
        !self.pins.is_empty()
    }

    /// How many consumers hold a region, all together.
    pub(crate) fn holding(&self) -> usize {
        self.pins.len()
    }

    /// How many consumers pin an item: a region that they hold, or the local node.
    pub(crate) fn holders(&self, item: ItemId) -> usize {
        self.pins.values().filter(|(region, local)| [region, local].contains(&&item)).count()
    }
}
