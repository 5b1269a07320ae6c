//! One client: a thread that reads its lines, and one that writes to it, so that a client that does not read
//! holds nobody but itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::{Value, json};
use uo2cb_core::ConsumerId;
use uo2cb_core::heartbeat::Event;

use super::server::Shared;
use super::{LINE, PATIENCE, render};
use crate::daemon::crash;
use crate::daemon::monitor::{Consumer, Ended, Interest};
use crate::daemon::threads::{self, Standing};

/// Lines that may wait for a client.
const QUEUE: usize = 64;

/// Serves a client until either side has enough.
pub(super) fn run(shared: &Shared, stream: &Arc<UnixStream>) {
    let (out, lines) = bounded(QUEUE);
    let writing = Arc::clone(stream);
    let writer = threads::spawn("client-out", Standing::Ordinary, move || write(&lines, &writing));
    let Ok(writer) = writer else { return };
    let mut session = Session { shared, stream, out, consumer: None };
    session.read();
    session.release();
    // Closes the writer's channel.
    drop(session);
    let _ = writer.join();
}

fn write(lines: &Receiver<Value>, mut stream: &UnixStream) {
    for line in lines {
        crash::point("client-out");
        if stream.write_all(format!("{line}\n").as_bytes()).is_err() {
            break;
        }
    }
    // Also ends the reading thread's wait.
    let _ = stream.shutdown(Shutdown::Both);
}

struct Session<'a> {
    shared: &'a Shared,
    stream: &'a Arc<UnixStream>,
    out: Sender<Value>,
    consumer: Option<ConsumerId>,
}

impl Session<'_> {
    fn read(&mut self) {
        let mut reader = BufReader::new(&**self.stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            match reader.by_ref().take(LINE as u64 + 1).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line.len() > LINE => {
                    self.say(render::error(&format!("a line has at most {LINE} bytes")));
                    return;
                }
                Ok(_) => {}
            }
            if let Some(answer) = self.request(&line) {
                if !self.say(answer) {
                    return;
                }
            }
        }
    }

    /// False when the client is gone.
    fn say(&self, line: Value) -> bool {
        self.out.send(line).is_ok()
    }

    fn request(&mut self, line: &[u8]) -> Option<Value> {
        crash::point("client");
        let Ok(line) = serde_json::from_slice::<Value>(line) else {
            return Some(render::error("not a line of JSON"));
        };
        if let Some(event) = line.get("delivered").and_then(Value::as_u64) {
            if let Some(consumer) = self.consumer {
                self.shared.monitor.delivered(consumer, event);
            }
            return None;
        }
        match line.get("request").and_then(Value::as_str) {
            Some("status") => {
                let status = self.shared.monitor.read(uo2cb_core::Engine::status);
                let (now, waiting) = (self.shared.monitor.now(), self.shared.monitor.waiting());
                Some(render::status(&status, now, waiting, &self.shared.info))
            }
            Some("watch") => self.subscribe(None, 0),
            Some("hold") => {
                let priority = match line.get("priority") {
                    None => Some(0),
                    Some(value) => value.as_i64().and_then(|value| i32::try_from(value).ok()),
                };
                match (line.get("region").and_then(Value::as_str), priority) {
                    (Some(region), Some(priority)) => self.subscribe(Some(region), priority),
                    _ => Some(render::error("hold takes a region and perhaps a priority")),
                }
            }
            Some("release") => {
                self.release();
                Some(json!({"released": true}))
            }
            Some("stop") => {
                self.say(json!({"stopping": true}));
                self.shared.stop.stop("asked through the control socket");
                None
            }
            _ => Some(render::error("unknown request")),
        }
    }

    fn subscribe(&mut self, region: Option<&str>, priority: i32) -> Option<Value> {
        if self.consumer.is_some() {
            return Some(render::error("this connection watches or holds already"));
        }
        let consumer = Remote { out: self.out.clone(), stream: Arc::clone(self.stream) };
        let (registered, result) = bounded(1);
        let (out, name) = (self.out.clone(), region.map(str::to_owned));
        let interest =
            Interest { region: region.map(str::as_bytes), priority, patience: Some(PATIENCE), edge: None };
        let id = self.shared.monitor.subscribe(
            interest,
            Box::new(consumer),
            Box::new(move |result| {
                let line = match (&result, name) {
                    (Ok(up), None) => json!({"watching": {"up": render::up(up)}}),
                    (Ok(up), Some(region)) => {
                        json!({"holding": {"region": region, "up": render::up(up)}})
                    }
                    (Err(refusal), _) => render::refusal(*refusal),
                };
                // Queued here, before the first event can be. A full queue means a client that does not
                // read: the events behind it will be its end.
                let _ = out.try_send(line);
                let _ = registered.send(result.is_ok());
            }),
        );
        if result.recv().unwrap_or(false) {
            self.consumer = Some(id);
        }
        None
    }

    fn release(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            self.shared.monitor.unsubscribe(consumer);
        }
    }
}

/// The monitor's end of a client.
struct Remote {
    out: Sender<Value>,
    stream: Arc<UnixStream>,
}

impl Consumer for Remote {
    fn tell(&self, event: Event) {
        if self.out.try_send(render::event(&event)).is_err() {
            // It has not read the last 64 answers: its end, which the reading thread will notice.
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }

    fn end(self: Box<Self>, why: Ended) {
        match why {
            Ended::Expelled => {
                let _ =
                    self.out.try_send(json!({"ended": "expelled: took more than 2 seconds with an event"}));
                // What is queued is written if the client reads; nothing more is read from it.
                let _ = self.stream.shutdown(Shutdown::Read);
            }
            Ended::Stopping => {
                let _ = self.out.try_send(json!({"ended": "the node stops"}));
            }
        }
    }
}
