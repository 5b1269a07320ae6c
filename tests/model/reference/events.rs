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
        self.told(consumer);
    }

    /// A consumer is not waited for any longer.
    pub(super) fn told(&mut self, consumer: u64) {
        self.running.retain(|running| running.0 != consumer);
        if self.running.is_empty() {
            self.slow = None;
        }
    }

    /// Who is told next of the first event.
    fn next_consumer(&self) -> Option<&Consumer> {
        let event = self.queue.first()?;
        let wants = |consumer: &&Consumer| {
            let Subscription { region, edge, .. } = &consumer.subscription;
            consumer.from <= event.number
                && edge.is_none_or(|edge| edge == event.edge)
                && region.as_ref().is_none_or(|region| region == leaf(&event.region))
                && !self.told.contains(&consumer.id)
        };
        let order = |consumer: &&Consumer| (consumer.subscription.priority, consumer.order);
        self.consumers.iter().filter(wants).min_by_key(order)
    }

    /// Beside a slow one the next of its priority is told, if both have a patience.
    pub(super) fn next_may_join(&self) -> bool {
        self.next_consumer().is_some_and(|next| {
            next.subscription.patience.is_some()
                && self.running.iter().all(|(_, priority, deadline)| {
                    deadline.is_some() && *priority == next.subscription.priority
                })
        })
    }

    pub(super) fn pump(&mut self, now: Duration) {
        while let Some(event) = self.queue.first().cloned() {
            let late = self.running.iter().find(|(.., deadline)| deadline.is_some_and(|at| at <= now));
            if let Some(consumer) = late.map(|late| late.0) {
                self.unsubscribe(consumer);
                self.out.push(Output::Expelled(consumer));
                continue;
            }
            self.slow.take_if(|slow| *slow <= now);
            if !self.running.is_empty() && (self.slow.is_some() || !self.next_may_join()) {
                break;
            }
            let Some(next) = self.next_consumer() else {
                self.queue.remove(0);
                self.told.clear();
                continue;
            };
            let (consumer, Subscription { priority, patience, .. }) = (next.id, next.subscription.clone());
            if self.running.is_empty() {
                self.slow = patience.map(|patience| now + patience / 16);
            }
            self.running.push((consumer, priority, patience.map(|patience| now + patience)));
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
        self.users = 0;
        self.running.clear();
        self.slow = None;
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
