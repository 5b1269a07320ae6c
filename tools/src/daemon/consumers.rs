//! Consumers in this process: a callback on a thread of its own. An event counts as told when the callback has
//! returned.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use uo2cb_core::heartbeat::Event;
use uo2cb_core::{ConsumerId, Refusal};

use super::monitor::{Consumer, Ended, Interest, Monitor, UpIn};
use super::threads::{self, Standing};

/// A registered callback. Dropping it takes the callback off, and with it the pins on region and local node;
/// a callback that is running is waited for (except by itself).
#[must_use = "dropping it takes the callback off"]
pub struct Subscription {
    monitor: Arc<Monitor>,
    consumer: ConsumerId,
    up: Vec<UpIn>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

impl Subscription {
    /// Who was up when the callback was registered: every later change comes as an event, none twice.
    pub fn up(&self) -> &[UpIn] {
        &self.up
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.monitor.unsubscribe(self.consumer);
        if let Some(thread) = self.thread.take() {
            if thread.thread().id() != thread::current().id() {
                // A panic of the callback has been dealt with in its thread.
                let _ = thread.join();
            }
        }
    }
}

/// The monitor's end of the channel; closing it ends the thread.
struct Channel(Sender<Event>);

impl Consumer for Channel {
    fn tell(&self, event: Event) {
        // The thread ends only after the channel.
        let _ = self.0.send(event);
    }

    fn end(self: Box<Self>, _: Ended) {}
}

/// Why a callback was not registered.
#[derive(Debug)]
pub(crate) enum Failed {
    Refused(Refusal),
    System(io::Error),
}

/// Registers a callback.
pub(crate) fn register(
    monitor: &Arc<Monitor>,
    interest: Interest<'_>,
    callback: impl FnMut(&Event) + Send + 'static,
) -> Result<Subscription, Failed> {
    // At most one event is under way to a consumer.
    let (events, coming) = unbounded();
    let (named, name) = bounded(1);
    let (registered, result) = bounded(1);
    let theirs = Arc::clone(monitor);
    let work = move || {
        if let Ok(consumer) = name.recv() {
            run(&theirs, consumer, &coming, callback);
        }
    };
    let thread = threads::spawn("callback", Standing::Theirs, work).map_err(Failed::System)?;
    let consumer = monitor.subscribe(
        interest,
        Box::new(Channel(events)),
        Box::new(move |result| {
            let _ = registered.send(result);
        }),
    );
    let up = result.recv().unwrap_or(Err(Refusal::ShuttingDown)).map_err(Failed::Refused)?;
    let _ = named.send(consumer);
    Ok(Subscription { monitor: Arc::clone(monitor), consumer, up, thread: Some(thread) })
}

fn run(monitor: &Monitor, consumer: ConsumerId, events: &Receiver<Event>, mut callback: impl FnMut(&Event)) {
    for event in events {
        if catch_unwind(AssertUnwindSafe(|| callback(&event))).is_err() {
            // Nobody knows what it has understood; the event's cause must not wait for it.
            monitor.notes.warn(&format!("a callback panicked over event {}: taken off", event.number));
            monitor.unsubscribe(consumer);
            return;
        }
        monitor.delivered(consumer, event.number);
    }
}
