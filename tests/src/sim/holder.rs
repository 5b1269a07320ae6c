//! A second consumer of each node, which holds one region for a while, then another: its map at registration, with the
//! events that it is told from then on, is the live map of the node.

use std::collections::BTreeSet;

use uo2cb_core::heartbeat::{Edge, Event};
use uo2cb_core::{ConsumerId, Input, Reply, Subscribe};

use super::invariants::{Checked, check};
use super::node::{NodeEvent, Purpose};
use super::world::{Completion, World};
use super::{MS, SEC};

/// The second consumer.
pub const HOLDER: ConsumerId = ConsumerId(2);
const SAME: &str = "a consumer's map and its events are the live map";

/// What the second consumer of a node knows.
#[derive(Debug, Default)]
pub struct Holder {
    /// The region that it holds.
    pub region: Option<usize>,
    /// Who is up, by the map at registration and the events since.
    pub up: BTreeSet<u8>,
    /// It has not answered the last event yet.
    pub delivering: bool,
}

impl World {
    /// Takes hold of a region at some later time.
    pub fn schedule_hold(&mut self, n: usize) {
        let regions = u64::from(self.plan.regions);
        let node = &mut self.nodes[n];
        let (wait, region) = (node.rng.below(40 * SEC), node.rng.below(regions) as usize);
        let incarnation = node.incarnation;
        self.schedule_after(wait, n, incarnation, NodeEvent::Hold(region));
    }

    /// Takes hold of a region, started or not, unless it is not there.
    pub fn hold(&mut self, n: usize, region: usize) -> Checked {
        let node = &mut self.nodes[n];
        let there = node.regions.iter().all(|region| !region.removing)
            && node.regions.get(region).is_some_and(|region| region.item.is_some());
        if !there || node.ending || node.holder.region.is_some() {
            self.schedule_hold(n);
            return Ok(());
        }
        let name = format!("R{region}");
        let request = node.request(Purpose::Call);
        let subscribe = Subscribe {
            request,
            consumer: HOLDER,
            region: Some(name.as_bytes()),
            edge: None,
            priority: if node.rng.chance(50) { 1 } else { -1 },
            patience: None,
        };
        self.input(n, Input::Subscribe(subscribe), Completion::None)?;
        let node = &mut self.nodes[n];
        if node.engine.is_none() {
            return Ok(());
        }
        let up = match node.answer.take() {
            Some(Ok(Reply::Subscribed(up))) => up.iter().map(|up| up.node.num.get()).collect(),
            other => return check(false, "a region can be held", || format!("node {n}: {other:?}")),
        };
        node.holder = Holder { region: Some(region), up, delivering: false };
        let same = node.holder.up.iter().copied().eq(node.live.all());
        check(same, SAME, || {
            format!(
                "node {n} holds {region}: {:?}, not {:?}",
                node.holder.up,
                node.live.all().collect::<Vec<_>>()
            )
        })?;
        let (wait, incarnation) = (node.rng.below(60 * SEC), node.incarnation);
        self.schedule_after(wait, n, incarnation, NodeEvent::Release);
        Ok(())
    }

    /// Lets go of the region, if it holds one.
    pub fn release(&mut self, n: usize) -> Checked {
        if self.nodes[n].holder.region.is_none() {
            return Ok(());
        }
        self.nodes[n].holder = Holder::default();
        self.input(n, Input::Unsubscribe(HOLDER), Completion::None)?;
        self.schedule_hold(n);
        Ok(())
    }

    /// The holder is told of an event.
    pub fn deliver_to_holder(&mut self, n: usize, event: &Event) -> Checked {
        let node = &mut self.nodes[n];
        let num = event.node.num.get();
        let changes = match event.edge {
            Edge::Up => node.holder.up.insert(num),
            Edge::Down => node.holder.up.remove(&num),
        };
        let fits = changes && !node.holder.delivering && node.holder.region.is_some();
        check(fits, "each event once and in order", || format!("node {n}, holder: {event:?}"))?;
        node.holder.delivering = true;
        let (wait, incarnation) = (MS / 10 + node.rng.below(20 * MS), node.incarnation);
        self.schedule_after(wait, n, incarnation, NodeEvent::DeliveredToHolder(event.number));
        Ok(())
    }

    /// The holder is done with an event.
    pub fn delivered_to_holder(&mut self, n: usize, event: u64) -> Checked {
        self.nodes[n].holder.delivering = false;
        self.input(n, Input::Delivered { consumer: HOLDER, event }, Completion::None)
    }

    /// While nothing is being delivered.
    pub fn check_holder(&self, n: usize) -> Checked {
        let node = &self.nodes[n];
        let same = node.holder.region.is_none() || node.holder.up.iter().copied().eq(node.live.all());
        check(same, SAME, || {
            format!("node {n}: {:?}, not {:?}", node.holder.up, node.live.all().collect::<Vec<_>>())
        })
    }
}
