//! A network of our own: one switch, whose ports are the network cards of guests and the tap devices of our daemons.
//!
//! A port has the number of its node, and the [address](frame::mac) on the link that belongs to it. Frames can be
//! dropped per ordered pair of ports, and TCP connections to a node be filtered; both take effect at once and leave the
//! carrier up, as a broken cable somewhere behind a switch does. What is delivered and what is dropped are two captures.

pub mod frame;
pub mod pcap;
mod port;
mod rules;
pub mod space;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::OwnedFd;

use crate::guest::Error;
use pcap::Capture;
use port::Port;
pub use rules::{Filter, PORT};
use rules::{Rules, Verdict};
use space::NameSpace;

/// How long a frame waits for a full port before the next attempt.
const RETRY: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
/// Frames taken from one port before the others have their turn.
const TURN: usize = 64;

/// A running switch. It ends with the drop.
#[derive(Debug)]
pub struct Switch {
    shared: Arc<Shared>,
    folder: PathBuf,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    ports: Mutex<Vec<Arc<Port>>>,
    rules: Mutex<Rules>,
    wake: OwnedFd,
    stop: AtomicBool,
}

impl Switch {
    /// A switch without ports. `folder` gets its captures `delivered.pcap` and `dropped.pcap`, and sockets.
    ///
    /// # Errors
    /// The files cannot be made.
    pub fn start(folder: &Path) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            ports: Mutex::default(),
            rules: Mutex::default(),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(io::Error::from)?,
            stop: AtomicBool::new(false),
        });
        let captures = Captures {
            delivered: Capture::create(&folder.join("delivered.pcap"))?,
            dropped: Capture::create(&folder.join("dropped.pcap"))?,
        };
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name("switch".into()).spawn(move || shared.run(captures))?
        };
        Ok(Self { shared, folder: folder.to_owned(), thread: Some(thread) })
    }

    /// Gives a name space the tap device of `node`, with the IPv4 address [`frame::address`].
    ///
    /// # Errors
    /// No tun devices here, or no rights.
    pub fn tap(&self, node: u8, space: &NameSpace) -> Result<(), Error> {
        self.plug(Port::tap(node, space.tap(node)?));
        Ok(())
    }

    /// What QEMU is to be told for a guest that is `node`: its `-netdev`, with the id `link`. For one start: a socket
    /// belongs to it.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn guest(&self, node: u8) -> Result<String, Error> {
        let (port, netdev) = Port::guest(node, &self.folder)?;
        self.plug(port);
        Ok(netdev)
    }

    /// The port takes the place of the one that the node had.
    fn plug(&self, port: Port) {
        let mut ports = self.shared.ports.lock();
        ports.retain(|known| known.node != port.node);
        ports.push(Arc::new(port));
        drop(ports);
        self.shared.wake();
    }

    /// Drops from now on what the first of each pair sends to the second.
    pub fn cut(&self, pairs: impl IntoIterator<Item = (u8, u8)>) {
        self.shared.rules.lock().cut.extend(pairs);
    }

    /// Drops from now on what goes from one group to another, in both directions.
    pub fn part(&self, groups: &[&[u8]]) {
        self.cut(between(groups));
    }

    /// Delivers again what the first of each pair sends to the second.
    pub fn heal(&self, pairs: impl IntoIterator<Item = (u8, u8)>) {
        let mut rules = self.shared.rules.lock();
        for pair in pairs {
            rules.cut.remove(&pair);
        }
    }

    /// Delivers everything again that no filter is for.
    pub fn heal_all(&self) {
        self.shared.rules.lock().cut.clear();
    }

    /// Lets nobody but the node itself reach its TCP port [`PORT`] from now on; `None`: everybody again.
    pub fn filter(&self, node: u8, filter: Option<Filter>) {
        let mut rules = self.shared.rules.lock();
        match filter {
            Some(filter) => rules.filters.insert(node, filter),
            None => rules.filters.remove(&node),
        };
    }

    /// The file with everything that was delivered, or that with everything that was dropped.
    pub fn capture(&self, dropped: bool) -> PathBuf {
        self.folder.join(if dropped { "dropped.pcap" } else { "delivered.pcap" })
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            // It has said why, if it panicked.
            let _ = thread.join();
        }
    }
}

/// All ordered pairs of members of different groups.
pub fn between(groups: &[&[u8]]) -> BTreeSet<(u8, u8)> {
    let mut pairs = BTreeSet::new();
    for (at, one) in groups.iter().enumerate() {
        for other in groups.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other) {
            pairs.extend(one.iter().flat_map(|from| other.iter().map(move |to| (*from, *to))));
        }
    }
    pairs
}

struct Captures {
    delivered: Capture,
    dropped: Capture,
}

impl Shared {
    fn wake(&self) {
        // Full only if it has been woken already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn run(&self, mut captures: Captures) {
        let mut frame = vec![0; frame::MAX];
        while !self.stop.load(Ordering::Relaxed) {
            let ports = self.ports.lock().clone();
            let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
            fds.extend(ports.iter().map(|port| PollFd::from_borrowed_fd(port.fd(), PollFlags::IN)));
            let waits = ports.iter().any(|port| !port.flush());
            // Interrupted: all that is found then is nothing.
            let _ = poll(&mut fds, if waits { Some(&RETRY) } else { None });
            // Nothing to read unless woken.
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
            for port in &ports {
                for _ in 0..TURN {
                    let Some(length) = port.receive(&mut frame) else { break };
                    self.forward(port, &frame[..length], &ports, &mut captures);
                }
            }
        }
    }

    fn forward(&self, from: &Port, frame: &[u8], ports: &[Arc<Port>], captures: &mut Captures) {
        let (mut delivered, mut dropped) = (false, false);
        for to in ports.iter().filter(|to| to.node != from.node && frame::is_for(frame, to.node)) {
            let verdict = self.rules.lock().verdict(from.node, to.node, frame);
            match verdict {
                Verdict::Deliver => {
                    to.send(frame);
                    delivered = true;
                }
                Verdict::Drop => dropped = true,
                Verdict::Answer(answer) => {
                    dropped = true;
                    captures.delivered.write(&answer);
                    from.send(&answer);
                }
            }
        }
        if delivered {
            captures.delivered.write(frame);
        }
        if dropped {
            captures.dropped.write(frame);
        }
    }
}

#[cfg(test)]
mod tests;
