//! Events on their way: one at a time, to one callback after the other, in the order of their priority.
//!
//! A callback has run when its consumer says so ([`Delivery::done`]); the next one, and the next event, wait
//! for that. So a consumer may be another process and is still told before the call that caused the event
//! has returned. Who takes longer than its patience is expelled: a stopped consumer delays, it never hangs.
//!
//! Consumers of one priority share the time that silence costs: when one of them is slow, the others are told while it
//! is waited for, so that any number of stopped ones delay an event by little more than one patience. Who has no patience
//! (a callback in process) never runs beside another.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::heartbeat::event::{Edge, Event, NodeEdge, Telling};
use crate::ids::{ConsumerId, ItemId};
use crate::time::Instant;

/// Which events a callback is registered for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// Every event.
    Everything,
    /// Events of this region, and those that carry no region.
    Region(ItemId),
}

impl Scope {
    fn covers(self, event: &Event) -> bool {
        match (self, &event.region) {
            (Self::Everything, _) | (Self::Region(_), None) => true,
            (Self::Region(mine), Some(region)) => mine == region.id,
        }
    }
}

/// A registered callback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Callback {
    /// Who is told.
    pub(crate) consumer: ConsumerId,
    /// Of which region.
    pub(crate) scope: Scope,
    /// Of which edge; none: both.
    pub(crate) edge: Option<Edge>,
    /// Lower runs first; equal ones in order of registration.
    pub(crate) priority: i32,
    /// How long one call may take; none: as long as it likes.
    pub(crate) patience: Option<Duration>,
    /// Events of a lower number were in the node map that the consumer saw when it registered.
    from: u64,
}

/// What is to be done next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Tell this consumer.
    Deliver(ConsumerId, Event),
    /// It has been expelled for taking too long with this event.
    Expelled(ConsumerId, Event),
}

/// Who has been told of the first event in the queue, and has not said so yet.
#[derive(Debug)]
struct Running {
    consumer: ConsumerId,
    priority: i32,
    deadline: Option<Instant>,
}

/// After this part of its patience a consumer is slow: the others of its priority are told beside it.
const SLOW: u32 = 16;

/// The queue of events and those who wait for them.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    /// In the order in which they run.
    callbacks: Vec<Callback>,
    queue: VecDeque<Event>,
    /// Of the first event in the queue: who still has to be told, in order.
    left: VecDeque<Callback>,
    /// Several only when one of them was slow; all of one priority.
    running: Vec<Running>,
    /// When the one that runs alone is slow.
    slow: Option<Instant>,
    /// Whether `left` has been filled for the first event.
    begun: bool,
    next_number: u64,
}

impl Delivery {
    /// Registers a callback; it gets the events queued from now on. Callers see to the pins.
    pub(crate) fn register(
        &mut self,
        consumer: ConsumerId,
        scope: Scope,
        edge: Option<Edge>,
        priority: i32,
        patience: Option<Duration>,
    ) {
        let callback = Callback { consumer, scope, edge, priority, patience, from: self.next_number };
        let place = self.callbacks.partition_point(|other| other.priority <= priority);
        self.callbacks.insert(place, callback);
    }

    /// Removes a consumer: it is told nothing more.
    pub(crate) fn unregister(&mut self, consumer: ConsumerId) {
        self.callbacks.retain(|callback| callback.consumer != consumer);
        self.left.retain(|callback| callback.consumer != consumer);
        self.ended(consumer);
    }

    /// All callbacks, in the order in which they run.
    pub(crate) fn callbacks(&self) -> &[Callback] {
        &self.callbacks
    }

    /// Queues the event of an edge. `None`: such edges are not delivered.
    pub(crate) fn queue(&mut self, edge: NodeEdge) -> Option<&Event> {
        let NodeEdge { edge, node, region, whole, telling, cause, at } = edge;
        let region = match telling {
            Telling::Regions => Some(region),
            Telling::Nodes if whole => None,
            Telling::Nodes => return None,
        };
        let event = Event { number: self.next_number, edge, node, region, cause, at };
        self.next_number += 1;
        self.queue.push_back(event);
        self.queue.back()
    }

    /// Number of the next event to be queued.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Every event of a lower number has been delivered.
    pub(crate) fn delivered(&self) -> u64 {
        self.queue.front().map_or(self.next_number, |event| event.number)
    }

    /// What is to be done now; none while consumers are waited for, or when nothing is queued.
    pub(crate) fn step(&mut self, now: Instant) -> Option<Step> {
        let late = |running: &&Running| running.deadline.is_some_and(|deadline| deadline <= now);
        if let Some(Running { consumer, .. }) = self.running.iter().find(late) {
            return Some(Step::Expelled(*consumer, self.queue.front()?.clone()));
        }
        if self.slow.is_some_and(|slow| slow <= now) {
            self.slow = None;
        }
        loop {
            let event = self.queue.front()?;
            if !self.begun {
                self.begun = true;
                let wants = |callback: &&Callback| {
                    callback.from <= event.number
                        && callback.edge.is_none_or(|edge| edge == event.edge)
                        && callback.scope.covers(event)
                };
                self.left = self.callbacks.iter().filter(wants).cloned().collect();
            }
            if !self.running.is_empty() && (self.slow.is_some() || !self.next_may_join()) {
                return None;
            }
            if let Some(callback) = self.left.pop_front() {
                let Callback { consumer, priority, patience, .. } = callback;
                let deadline = patience.map(|patience| now.after(patience));
                if self.running.is_empty() {
                    self.slow = patience.map(|patience| now.after(patience / SLOW));
                }
                self.running.push(Running { consumer, priority, deadline });
                return Some(Step::Deliver(consumer, event.clone()));
            }
            self.queue.pop_front();
            self.begun = false;
        }
    }

    /// May the next one be told beside those who run?
    fn next_may_join(&self) -> bool {
        let Some(next) = self.left.front() else { return false };
        next.patience.is_some()
            && self
                .running
                .iter()
                .all(|running| running.deadline.is_some() && running.priority == next.priority)
    }

    /// The consumer has been told of event `number`. False when it was not its turn.
    pub(crate) fn done(&mut self, consumer: ConsumerId, number: u64) -> bool {
        self.queue.front().is_some_and(|event| event.number == number) && self.ended(consumer)
    }

    /// A consumer is not waited for any longer. False if it was not.
    fn ended(&mut self, consumer: ConsumerId) -> bool {
        let before = self.running.len();
        self.running.retain(|running| running.consumer != consumer);
        if self.running.is_empty() {
            self.slow = None;
        }
        self.running.len() < before
    }

    /// When somebody's patience ends, or the next one is to be told beside a slow one.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let deadlines = self.running.iter().filter_map(|running| running.deadline);
        let slow = self.slow.filter(|_| self.next_may_join());
        deadlines.chain(slow).min()
    }
}
