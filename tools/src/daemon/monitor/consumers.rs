//! Who is told of events, and how one becomes somebody who is.

use std::time::Duration;

use uo2cb_core::heartbeat::{Edge, Event, NodeName};
use uo2cb_core::{ConsumerId, Input, Name, Note, Refusal, Subscribe, Topic};

use super::{Awaiting, Monitor};

/// Takes the result of a registration: who is up at that moment, or why not.
pub(crate) type Registered = Box<dyn FnOnce(Result<Vec<UpIn>, Refusal>) + Send>;

/// Somebody who is told of events. Called inside the monitor: must not block or enter it.
pub(crate) trait Consumer: Send {
    /// Pass the event on; [`Monitor::delivered`] is to be called when it has arrived.
    fn tell(&self, event: Event);

    /// A line about connections, quorum or what may end in a fence, for who watches. May be left out.
    fn note(&self, _: Topic, _: &Note) {}

    /// Nothing more will come.
    fn end(self: Box<Self>, why: Ended);
}

/// Why a consumer is told nothing more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// It took too long.
    Expelled,
    /// The node stops.
    Stopping,
}

/// A node that is up when a consumer registers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpIn {
    /// In the region of this name; none: as a whole, as the events about it say it (the disk method).
    pub region: Option<Name>,
    /// The node.
    pub node: NodeName,
    /// Since when, wall clock since 1970.
    pub since: Duration,
}

/// What a consumer wants to be told; see [`Subscribe`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Interest<'a> {
    pub(crate) region: Option<&'a [u8]>,
    pub(crate) edge: Option<Edge>,
    pub(crate) priority: i32,
    pub(crate) patience: Option<Duration>,
}

impl Monitor {
    /// Registers a consumer. `registered` is called inside the monitor, before the first event is told.
    pub(crate) fn subscribe(
        &self,
        interest: Interest<'_>,
        consumer: Box<dyn Consumer>,
        registered: Registered,
    ) -> ConsumerId {
        self.enter(|state, now| {
            let id = ConsumerId(state.next_consumer);
            state.next_consumer += 1;
            state.consumers.insert(id, consumer);
            let request = state.await_answer(Awaiting::Registration(id, registered));
            let Interest { region, edge, priority, patience } = interest;
            let subscribe = Subscribe { request, consumer: id, region, edge, priority, patience };
            state.engine.handle(now, Input::Subscribe(subscribe));
            id
        })
    }

    /// The consumer goes, and what it holds with it. It is told nothing more once this returns.
    pub(crate) fn unsubscribe(&self, consumer: ConsumerId) {
        let gone = self.enter(|state, now| {
            state.engine.handle(now, Input::Unsubscribe(consumer));
            state.consumers.remove(&consumer)
        });
        drop(gone);
    }

    /// The consumer has been told of this event.
    pub(crate) fn delivered(&self, consumer: ConsumerId, event: u64) {
        self.enter(|state, now| state.engine.handle(now, Input::Delivered { consumer, event }));
    }
}
