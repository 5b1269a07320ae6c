//! One client: what it asks for, and what it is told.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use rustix::event::PollFlags;
use serde_json::{Value, json};
use uo2cb_core::heartbeat::Event;
use uo2cb_core::{ConsumerId, Note, Topic};

use super::outgoing::Outgoing;
use super::{Wake, render};
use crate::control::{About, LINE, PATIENCE};
use crate::daemon::fault_point;
use crate::daemon::monitor::{Consumer, Ended, Interest, Monitor};
use crate::daemon::status;
use crate::daemon::stopper::Stopper;

/// What clients ask about.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) monitor: Arc<Monitor>,
    pub(super) about: About,
    pub(super) stop: Stopper,
}

/// How many clients may watch or hold at a time.
pub(super) const WATCHERS: usize = 64;

/// The result of a registration, which may take as long as the delivery of an event.
const PENDING: u8 = 0;
const REGISTERED: u8 = 1;
const REFUSED: u8 = 2;

#[derive(Debug)]
struct Subscription {
    consumer: ConsumerId,
    result: Arc<AtomicU8>,
}

impl Subscription {
    fn is(&self, result: u8) -> bool {
        self.result.load(Ordering::Acquire) == result
    }
}

/// A client.
#[derive(Debug)]
pub(super) struct Session {
    out: Arc<Outgoing>,
    wake: Arc<Wake>,
    /// The beginning of a line.
    input: Vec<u8>,
    subscription: Option<Subscription>,
    heard: Instant,
    /// Nothing more is read; it ends when all has been sent.
    finished: bool,
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.out.stream.as_fd()
    }
}

impl Session {
    pub(super) fn new(stream: UnixStream, wake: Arc<Wake>) -> Self {
        Self {
            out: Arc::new(Outgoing::new(stream, Arc::clone(&wake))),
            wake,
            input: Vec::new(),
            subscription: None,
            heard: Instant::now(),
            finished: false,
        }
    }

    /// Does it watch or hold?
    pub(super) fn subscribed(&self) -> bool {
        self.subscription.as_ref().is_some_and(|subscription| !subscription.is(REFUSED))
    }

    /// When it was last heard of.
    pub(super) fn last_heard(&self) -> Instant {
        self.heard
    }

    pub(super) fn say(&self, line: &Value) {
        self.out.say(line);
    }

    /// What is to be waited for. Nothing while it is being registered.
    pub(super) fn wanted(&self) -> Option<PollFlags> {
        if self.subscription.as_ref().is_some_and(|subscription| subscription.is(PENDING)) {
            return None;
        }
        // Who does not read its answers is not read either.
        Some(if self.out.waits() { PollFlags::OUT } else { PollFlags::IN })
    }

    /// Something has happened. `room`: whether one more may watch or hold.
    pub(super) fn serve(&mut self, event: PollFlags, node: &Backend, room: bool) {
        if event.contains(PollFlags::OUT) {
            self.out.flush();
        }
        let gone = event.intersects(PollFlags::HUP | PollFlags::ERR);
        if event.contains(PollFlags::IN) && !self.finished {
            self.heard = Instant::now();
            self.read(node, room);
        } else if gone {
            // Nobody reads what still would be sent.
            self.finish(node);
            self.out.flush();
        }
    }

    fn read(&mut self, node: &Backend, room: bool) {
        let mut buffer = [0; LINE];
        match (&self.out.stream).read(&mut buffer) {
            Ok(0) => {
                // The last line needs no end of its own.
                if !self.input.is_empty() {
                    self.input.push(b'\n');
                    self.take_lines(node, room);
                }
                self.finish(node);
            }
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                self.take_lines(node, room);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.finish(node),
        }
    }

    /// Whether it is to be heard: not while it is being registered, and not while it does not read its answers.
    fn is_ready(&self) -> bool {
        !self.finished
            && !self.out.waits()
            && !self.subscription.as_ref().is_some_and(|subscription| subscription.is(PENDING))
    }

    /// Carries out the lines that have come, as long as it is ready for more.
    pub(super) fn take_lines(&mut self, node: &Backend, room: bool) {
        while self.is_ready() {
            let end =
                self.input.iter().position(|byte| *byte == b'\n').map_or(self.input.len(), |end| end + 1);
            if end > LINE {
                self.say(&render::error(&format!("a line has at most {LINE} bytes")));
                return self.finish(node);
            }
            if !self.input[..end].ends_with(b"\n") {
                return;
            }
            let line: Vec<u8> = self.input.drain(..end).collect();
            if let Some(answer) = self.request(&line, node, room) {
                self.say(&answer);
            }
        }
    }

    fn request(&mut self, line: &[u8], node: &Backend, room: bool) -> Option<Value> {
        fault_point::reach("client");
        let Ok(line) = serde_json::from_slice::<Value>(line) else {
            return Some(render::error("not a line of JSON"));
        };
        if let Some(event) = line.get("delivered").and_then(Value::as_u64) {
            if let Some(subscription) = &self.subscription {
                node.monitor.delivered(subscription.consumer, event);
            }
            return None;
        }
        match line.get("request").and_then(Value::as_str) {
            Some("node") => Some(json!({"node": node.about.members()})),
            Some("status") => {
                self.out.say_line(status::line(&node.monitor, node.about.members()));
                None
            }
            Some("watch") => self.subscribe(None, 0, node, room),
            Some("hold") => {
                let priority = match line.get("priority") {
                    None => Some(0),
                    Some(value) => value.as_i64().and_then(|value| i32::try_from(value).ok()),
                };
                match (line.get("region").and_then(Value::as_str), priority) {
                    (Some(region), Some(priority)) => self.subscribe(Some(region), priority, node, room),
                    _ => Some(render::error("hold takes a region and perhaps a priority")),
                }
            }
            Some("release") => {
                self.release(node);
                Some(json!({"released": true}))
            }
            Some("stop") => {
                self.say(&json!({"stopping": true}));
                node.stop.stop("asked through the control socket");
                None
            }
            _ => Some(render::error("unknown request")),
        }
    }

    fn subscribe(
        &mut self,
        region: Option<&str>,
        priority: i32,
        node: &Backend,
        room: bool,
    ) -> Option<Value> {
        if self.subscribed() {
            return Some(render::error("this connection watches or holds already"));
        }
        if !room {
            return Some(render::error(&format!("too many clients: {WATCHERS} watch or hold already")));
        }
        let (out, wake) = (Arc::clone(&self.out), Arc::clone(&self.wake));
        let result = Arc::new(AtomicU8::new(PENDING));
        let (known, name) = (Arc::clone(&result), region.map(str::to_owned));
        let interest =
            Interest { region: region.map(str::as_bytes), priority, patience: Some(PATIENCE), edge: None };
        let consumer = node.monitor.subscribe(
            interest,
            Box::new(Remote { out: Arc::clone(&self.out), watches: region.is_none() }),
            Box::new(move |result| {
                let line = match (&result, name) {
                    (Ok(up), None) => json!({"watching": {"up": render::up(up)}}),
                    (Ok(up), Some(region)) => {
                        json!({"holding": {"region": region, "up": render::up(up)}})
                    }
                    (Err(refusal), _) => render::refusal(*refusal),
                };
                // Queued here, before the first event can be.
                out.say(&line);
                known.store(if result.is_ok() { REGISTERED } else { REFUSED }, Ordering::Release);
                wake.now();
            }),
        );
        self.subscription = Some(Subscription { consumer, result });
        None
    }

    fn release(&mut self, node: &Backend) {
        if let Some(subscription) = self.subscription.take() {
            // A refused one is none of the monitor's.
            if !subscription.is(REFUSED) {
                node.monitor.unsubscribe(subscription.consumer);
            }
        }
    }

    /// Nothing more is read from it, and its hold ends.
    pub(super) fn finish(&mut self, node: &Backend) {
        if self.subscription.as_ref().is_some_and(|subscription| subscription.is(PENDING)) {
            return;
        }
        self.finished = true;
        self.release(node);
    }

    /// Whether there is nothing left to do.
    pub(super) fn has_ended(&self) -> bool {
        self.out.is_broken() || self.finished && !self.out.waits()
    }

    /// Lets go of all that it held.
    pub(super) fn end(&mut self, node: &Backend) {
        self.release(node);
    }
}

/// The monitor's end of a client.
struct Remote {
    out: Arc<Outgoing>,
    /// All that happens, not one region only.
    watches: bool,
}

impl Consumer for Remote {
    fn tell(&self, event: Event) {
        self.out.say(&render::event(&event));
    }

    fn note(&self, topic: Topic, note: &Note) {
        if self.watches {
            self.out.say_if_read(|left_out| render::note(topic, note, left_out));
        }
    }

    fn end(self: Box<Self>, why: Ended) {
        match why {
            Ended::Expelled => {
                self.out.say(&json!({"ended": "expelled: took more than 2 seconds with an event"}));
                // What is queued is written if the client reads; nothing more is read from it.
                self.out.stop_reading();
            }
            Ended::Stopping => self.out.say(&json!({"ended": "the node stops"})),
        }
    }
}
