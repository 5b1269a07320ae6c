//! What went over the wire between nodes, from the switch's capture.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use uo2cb_core::net::wire::{HANDSHAKE_BYTES, HEADER_BYTES, Message};
use uo2cb_tests::guest::Error;
use uo2cb_tests::switch::{PORT, frame, pcap};

/// Flags of segments that begin or end a connection: FIN, SYN, RST.
const EDGES: u8 = 7;

/// A message of o2net.
pub(crate) struct Said {
    /// Since the epoch.
    pub(crate) at: Duration,
    pub(crate) from: Ipv4Addr,
    /// Header and payload.
    pub(crate) bytes: Vec<u8>,
}

impl Said {
    pub(crate) fn message(&self) -> Option<Message<'_>> {
        Message::decode(&self.bytes).ok().flatten().map(|(message, _)| message)
    }
}

/// A part of a capture.
#[derive(Default)]
pub(crate) struct Capture {
    /// Messages, in the order of their ends.
    pub(crate) said: Vec<Said>,
    /// How many segments began or ended a connection.
    pub(crate) edges: usize,
}

/// One direction of a connection.
struct Flow {
    next: u32,
    handshake: bool,
    bytes: Vec<u8>,
}

/// The time now, as captures have it.
pub(crate) fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// Reads what went over the wire to and from `node`, from one time to another.
pub(crate) fn read(path: &Path, node: Ipv4Addr, from: Duration, to: Duration) -> Result<Capture, Error> {
    let mut capture = Capture::default();
    let mut flows = BTreeMap::new();
    for (at, frame) in pcap::read(path)? {
        let Some(segment) = frame::segment(&frame) else { continue };
        let ends = [segment.from, segment.to];
        if ends.iter().all(|end| end.1 != PORT) || ends.iter().all(|end| end.0 != node) {
            continue;
        }
        let within = at >= from && at <= to;
        if within && segment.flags & EDGES != 0 {
            capture.edges += 1;
        }
        let key = (segment.from, segment.to);
        if segment.flags & frame::SYN != 0 {
            let next = segment.seq.wrapping_add(1);
            flows.insert(key, Flow { next, handshake: false, bytes: Vec::new() });
            continue;
        }
        let Some(flow) = flows.get_mut(&key) else { continue };
        // What has come before is sent again when its acknowledgement is late.
        if segment.data.is_empty() {
            continue;
        }
        let known = flow.next.wrapping_sub(segment.seq);
        if known > u32::MAX / 2 {
            return Err("segments are missing in the capture".to_owned().into());
        }
        let Some(new) = segment.data.get(known as usize..) else { continue };
        flow.bytes.extend_from_slice(new);
        flow.next = flow.next.wrapping_add(u32::try_from(new.len()).unwrap_or(0));
        for bytes in flow.messages()? {
            if within {
                capture.said.push(Said { at, from: segment.from.0, bytes });
            }
        }
    }
    Ok(capture)
}

impl Flow {
    /// The messages that are complete.
    fn messages(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let mut messages = Vec::new();
        loop {
            let length = if !self.handshake {
                HANDSHAKE_BYTES
            } else if self.bytes.len() < HEADER_BYTES {
                return Ok(messages);
            } else {
                match Message::decode(&self.bytes) {
                    Ok(Some((_, length))) => length,
                    Ok(None) => return Ok(messages),
                    Err(error) => return Err(format!("in the capture: {error}").into()),
                }
            };
            if self.bytes.len() < length {
                return Ok(messages);
            }
            let message = self.bytes.drain(..length).collect();
            if self.handshake {
                messages.push(message);
            }
            self.handshake = true;
        }
    }
}

impl Capture {
    /// The times of the keepalive requests and answers that a node sent.
    pub(crate) fn keepalives(&self, from: Ipv4Addr) -> [Vec<Duration>; 2] {
        let of = |kind: Message<'_>| {
            let said = self.said.iter().filter(|said| said.from == from && said.message() == Some(kind));
            said.map(|said| said.at).collect()
        };
        [of(Message::KeepaliveRequest), of(Message::KeepaliveAnswer)]
    }

    /// Messages that are no keepalives.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Said> {
        let keepalive = [Message::KeepaliveRequest, Message::KeepaliveAnswer].map(Some);
        self.said.iter().filter(move |said| !keepalive.contains(&said.message()))
    }
}
