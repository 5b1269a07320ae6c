//! What of o2net is in a capture: beginnings of connections, and messages.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use uo2cb_tests::cut::Syn;
use uo2cb_tests::switch::{PORT, frame};

/// The first bytes on each side of a connection.
const HANDSHAKE: usize = 32;
const HEADER: usize = 24;
/// Magic numbers of the keepalive request and its answer.
const KEEPALIVES: [[u8; 2]; 2] = [[0xfa, 0x57], [0xfa, 0x58]];

/// A frame and its time.
type Frame = (Duration, Vec<u8>);
/// From where to where.
type Way = ((Ipv4Addr, u16), (Ipv4Addr, u16));

/// One direction of a connection.
#[derive(Default)]
struct Flow {
    /// The number of the next byte in order.
    next: u32,
    /// Bytes that are no whole message yet.
    bytes: Vec<u8>,
    /// Segments that came before the one in front of them.
    early: BTreeMap<u32, Vec<u8>>,
    shaken: bool,
}

pub(crate) fn syns(frames: &[Frame], zero: f64, delivered: bool) -> Vec<Syn> {
    let syn = |(at, bytes): &Frame| {
        let segment = frame::segment(bytes).filter(|of| of.flags == frame::SYN && of.to.1 == PORT)?;
        let (at, to) = (at.as_secs_f64() - zero, segment.to.0.octets()[3]);
        Some(Syn { at, port: segment.from.1, to, delivered })
    };
    frames.iter().filter_map(syn).collect()
}

/// All messages but handshakes and keepalives: when the last byte came, from whom, to whom, bytes.
pub(crate) fn messages(frames: &[Frame], zero: f64) -> Vec<(f64, u8, u8, String)> {
    let (mut flows, mut messages) = (BTreeMap::<Way, Flow>::new(), Vec::new());
    for (at, bytes) in frames {
        let Some(segment) = frame::segment(bytes) else { continue };
        if segment.from.1 != PORT && segment.to.1 != PORT {
            continue;
        }
        let flow = flows.entry((segment.from, segment.to)).or_default();
        if segment.flags & frame::SYN != 0 {
            *flow = Flow { next: segment.seq.wrapping_add(1), ..Flow::default() };
        }
        flow.take(segment.seq, segment.data);
        while let Some(message) = flow.message() {
            if !KEEPALIVES.iter().any(|magic| message.starts_with(magic)) {
                let (from, to) = (segment.from.0.octets()[3], segment.to.0.octets()[3]);
                messages.push((at.as_secs_f64() - zero, from, to, hex(&message)));
            }
        }
    }
    messages
}

impl Flow {
    /// A segment, perhaps once more or too early.
    fn take(&mut self, seq: u32, data: &[u8]) {
        if !data.is_empty() {
            self.early.insert(seq, data.to_vec());
        }
        while let Some(data) = self.early.remove(&self.next) {
            self.next = self.next.wrapping_add(u32::try_from(data.len()).unwrap_or(0));
            self.bytes.extend_from_slice(&data);
        }
    }

    /// The next whole message.
    fn message(&mut self) -> Option<Vec<u8>> {
        if !self.shaken && self.bytes.len() >= HANDSHAKE {
            self.bytes.drain(..HANDSHAKE);
            self.shaken = true;
        }
        let header = self.bytes.first_chunk::<HEADER>().filter(|_| self.shaken)?;
        let length = HEADER + usize::from(u16::from_be_bytes([header[2], header[3]]));
        (self.bytes.len() >= length).then(|| self.bytes.drain(..length).collect())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
