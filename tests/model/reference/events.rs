//! Events and who is told of them.

use std::time::Duration;

use uo2cb_core::Errno;
use uo2cb_core::heartbeat::Edge;

use super::{Consumer, Event, Kind, Reference, leaf};
use crate::call::{Delivered, Output, Replied, Subscription, WALL};

impl Reference {
    pub(super) fn event(&mut self, now: Duration, request: u64, edge: Edge, node: &str, region: &str) {
        let number = self.next_event;
        self.next_event += 1;
        let (num, node, region) = (self.number(node, "num"), leaf(node).to_owned(), region.to_owned());
        self.queue.push(Event { number, edge, num, node, region, pid: request as u32, at: now + WALL });
    }

    pub(super) fn subscribe(&mut self, request: u64, consumer: u64, subscription: &Subscription) {
        let (mut pins, mut region) = (Vec::new(), None);
        if self.stopped {
            return self.reply(request, Err(Errno::EIO));
        }
        if let Some(name) = &subscription.region {
            let regions = self.all(&[Kind::DiskRegion, Kind::UserRegion]);
            let Some(path) = regions.into_iter().find(|path| leaf(path) == name) else {
                return self.reply(request, Err(Errno::ENOENT));
            };
            let Some(local) = self.local.clone() else { return self.reply(request, Err(Errno::EINVAL)) };
            if self.dropping(&path) || self.dropping(&local) {
                return self.reply(request, Err(Errno::ENOENT));
            }
            region = Some(path.clone());
            if self.global(&path) {
                self.users += 1;
                self.pin_all();
                pins = vec![local];
            } else {
                pins = vec![path, local];
            }
        }
        let up =
            self.up().into_iter().filter(|(in_region, ..)| region.as_ref().is_none_or(|r| r == in_region));
        let up = up.map(|(region, num, node, since)| (leaf(&region).to_owned(), num, node, since)).collect();
        let (order, from) = (self.next_order, self.next_event);
        self.next_order += 1;
        self.consumers.push(Consumer { id: consumer, order, subscription: subscription.clone(), from, pins });
        self.reply(request, Ok(Replied::Subscribed(up)));
    }

    /// A consumer of this region is one of all regions.
    fn global(&self, region: &str) -> bool {
        self.kind(region) == Some(Kind::DiskRegion) && self.disk_mode == "global"
    }

    fn release(&mut self, consumer: &Consumer) {
        // In global mode only the local node is among the pins.
        if consumer.pins.len() == 1 {
            self.users -= 1;
            if self.users == 0 {
                self.pinned.clear();
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, consumer: u64) {
        let going = self.consumers.iter().find(|other| other.id == consumer).cloned();
        going.iter().for_each(|going| self.release(going));
        self.consumers.retain(|other| other.id != consumer);
        if self.running.is_some_and(|(running, _)| running == consumer) {
            self.running = None;
        }
    }

    pub(super) fn pump(&mut self, now: Duration) {
        while let Some(event) = self.queue.first().cloned() {
            if let Some((consumer, deadline)) = self.running {
                if deadline.is_none_or(|deadline| now < deadline) {
                    break;
                }
                self.unsubscribe(consumer);
                self.out.push(Output::Expelled(consumer));
                continue;
            }
            let wants = |consumer: &&Consumer| {
                let Subscription { region, edge, .. } = &consumer.subscription;
                consumer.from <= event.number
                    && edge.is_none_or(|edge| edge == event.edge)
                    && region.as_ref().is_none_or(|region| region == leaf(&event.region))
                    && !self.told.contains(&consumer.id)
            };
            let next = self
                .consumers
                .iter()
                .filter(wants)
                .min_by_key(|consumer| (consumer.subscription.priority, consumer.order));
            let Some(next) = next else {
                self.queue.remove(0);
                self.told.clear();
                continue;
            };
            let consumer = next.id;
            self.running = Some((consumer, next.subscription.patience.map(|patience| now + patience)));
            self.told.push(consumer);
            let Event { number, edge, num, node, region, pid, at } = event;
            let delivered = Delivered { number, edge, num, node, region: leaf(&region).to_owned(), pid, at };
            self.out.push(Output::Deliver(consumer, delivered));
        }
        let delivered = self.queue.first().map_or(self.next_event, |event| event.number);
        while self.held.first().is_some_and(|(until, ..)| *until <= delivered) {
            let (_, request, answer) = self.held.remove(0);
            self.reply(request, answer);
        }
    }

    pub(super) fn shut_down(&mut self) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        self.consumers.clear();
        (self.users, self.running) = (0, None);
        self.pinned.clear();
        for (_, request, answer) in std::mem::take(&mut self.held) {
            self.reply(request, answer);
        }
        self.stop_regions();
        let mut requests: Vec<_> = self.pending.iter().map(|pending| pending.request).collect();
        requests.sort_unstable();
        for request in requests {
            self.finish(request, Some(Errno::EIO));
        }
        self.out.push(Output::Stopped);
    }
}
