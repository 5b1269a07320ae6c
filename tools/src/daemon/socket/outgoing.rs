//! Lines to one client. They are written at once as far as the client reads; what is left waits in a queue, which is
//! bounded.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::Wake;

/// Lines that may wait for a client.
const QUEUE: usize = 64;

/// One client's lines. Nothing in here waits, so that it can be used inside the monitor.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) stream: UnixStream,
    queue: Mutex<Queue>,
    wake: Arc<Wake>,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// How much of the first line has been written.
    written: usize,
    /// Lines since the last one that were not even queued.
    left_out: u64,
    /// Nothing can be sent any more.
    broken: bool,
}

impl Queue {
    fn write(&mut self, mut stream: &UnixStream) {
        while let Some(line) = self.lines.front().filter(|_| !self.broken) {
            match stream.write(&line[self.written..]) {
                Ok(count) if self.written + count == line.len() => {
                    self.lines.pop_front();
                    self.written = 0;
                }
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.broken = true,
            }
        }
    }
}

impl Outgoing {
    pub(super) fn new(stream: UnixStream, wake: Arc<Wake>) -> Self {
        Self { stream, queue: Mutex::default(), wake }
    }

    /// Sends a line. A client that has not read the last 64 is given up.
    pub(super) fn say(&self, line: &Value) {
        self.say_line(format!("{line}\n").into_bytes());
    }

    /// Sends a line that is no event, and may be left out, if the client has read most of what it was sent. The line is told
    /// how many before it were left out.
    pub(super) fn say_if_read(&self, line: impl FnOnce(u64) -> Value) {
        let mut queue = self.queue.lock();
        if queue.lines.len() >= QUEUE / 2 {
            queue.left_out += 1;
            return;
        }
        let left_out = std::mem::take(&mut queue.left_out);
        drop(queue);
        self.say(&line(left_out));
    }

    /// The same for a line with its end.
    pub(super) fn say_line(&self, line: Vec<u8>) {
        let mut queue = self.queue.lock();
        if queue.lines.len() >= QUEUE {
            queue.broken = true;
        } else {
            queue.lines.push_back(line);
            queue.write(&self.stream);
        }
        if queue.broken || !queue.lines.is_empty() {
            self.wake.now();
        }
    }

    /// Writes what waits, as far as the client reads.
    pub(super) fn flush(&self) {
        self.queue.lock().write(&self.stream);
    }

    /// Whether lines wait.
    pub(super) fn waits(&self) -> bool {
        !self.queue.lock().lines.is_empty()
    }

    /// Whether nothing can be sent any more.
    pub(super) fn is_broken(&self) -> bool {
        self.queue.lock().broken
    }

    /// Nothing more is read from the client; what waits for it is still sent.
    pub(super) fn stop_reading(&self) {
        let _ = self.stream.shutdown(Shutdown::Read);
        self.wake.now();
    }
}
