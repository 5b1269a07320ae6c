//! The bytes of a connection: a handshake from each side, then messages. All integers are big-endian.

use core::fmt;

/// Bytes of a handshake.
pub const HANDSHAKE_BYTES: usize = 32;
/// Bytes of a message's header.
pub const HEADER_BYTES: usize = 24;
/// Bytes that a message can carry behind its header (`O2NET_MAX_PAYLOAD_BYTES`).
pub const PAYLOAD_MAX: usize = 4096 - HEADER_BYTES;
/// The version of the protocol (`O2NET_PROTOCOL_VERSION`).
pub const VERSION: u64 = 11;
/// Every node's connector id.
const CONNECTOR: u64 = 1;

const REQUEST: u16 = 0xfa55;
const STATUS: u16 = 0xfa56;
const KEEPALIVE_REQUEST: u16 = 0xfa57;
const KEEPALIVE_ANSWER: u16 = 0xfa58;

/// What each side says first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handshake {
    /// Of the protocol.
    pub version: u64,
    /// Always 1; not looked at.
    pub connector: u64,
    /// Milliseconds after which a node without a beat fences itself; 0 with the method `user`.
    pub heartbeat_timeout_ms: u32,
    /// Milliseconds without a whole message until a connection is idle; parts of one do not count.
    pub idle_timeout_ms: u32,
    /// Milliseconds without a whole message until a keepalive is sent.
    pub keepalive_delay_ms: u32,
    /// Milliseconds between two attempts to connect; not compared.
    pub reconnect_delay_ms: u32,
}

impl Handshake {
    /// That of this program.
    pub fn new(
        heartbeat_timeout_ms: u32,
        idle_timeout_ms: u32,
        keepalive_delay_ms: u32,
        reconnect_delay_ms: u32,
    ) -> Self {
        Self {
            version: VERSION,
            connector: CONNECTOR,
            heartbeat_timeout_ms,
            idle_timeout_ms,
            keepalive_delay_ms,
            reconnect_delay_ms,
        }
    }

    /// As it is sent.
    pub fn encode(&self) -> [u8; HANDSHAKE_BYTES] {
        let mut bytes = [0; HANDSHAKE_BYTES];
        bytes[..8].copy_from_slice(&self.version.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.connector.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.heartbeat_timeout_ms.to_be_bytes());
        bytes[20..24].copy_from_slice(&self.idle_timeout_ms.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.keepalive_delay_ms.to_be_bytes());
        bytes[28..].copy_from_slice(&self.reconnect_delay_ms.to_be_bytes());
        bytes
    }

    /// As it was received.
    pub fn decode(bytes: &[u8; HANDSHAKE_BYTES]) -> Self {
        let mut fields = Fields(bytes);
        Self {
            version: fields.u64(),
            connector: fields.u64(),
            heartbeat_timeout_ms: fields.u32(),
            idle_timeout_ms: fields.u32(),
            keepalive_delay_ms: fields.u32(),
            reconnect_delay_ms: fields.u32(),
        }
    }

    /// What a peer says is held against this one's, in the kernel's order (`o2net_check_handshake`).
    ///
    /// # Errors
    /// The first value that differs.
    pub fn check(&self, theirs: &Self) -> Result<(), Mismatch> {
        if theirs.version != self.version {
            return Err(Mismatch::Version { theirs: theirs.version, ours: self.version });
        }
        for (timeout, theirs, ours) in [
            (Timeout::Idle, theirs.idle_timeout_ms, self.idle_timeout_ms),
            (Timeout::Keepalive, theirs.keepalive_delay_ms, self.keepalive_delay_ms),
            (Timeout::Heartbeat, theirs.heartbeat_timeout_ms, self.heartbeat_timeout_ms),
        ] {
            if theirs != ours {
                return Err(Mismatch::Timeout { timeout, theirs, ours });
            }
        }
        Ok(())
    }
}

/// A time on which nodes must agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timeout {
    /// `idle_timeout_ms`.
    Idle,
    /// `keepalive_delay_ms`.
    Keepalive,
    /// Of the heartbeat method.
    Heartbeat,
}

/// Why a handshake is refused; shown as the end of the kernel's line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// The protocol's version.
    Version {
        /// The peer's.
        theirs: u64,
        /// This node's.
        ours: u64,
    },
    /// One of the times, in milliseconds.
    Timeout {
        /// Which.
        timeout: Timeout,
        /// The peer's.
        theirs: u32,
        /// This node's.
        ours: u32,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Version { theirs, ours } => {
                write!(f, "Advertised net protocol version {theirs} but {ours} is required. Disconnecting.")
            }
            Self::Timeout { timeout, theirs, ours } => {
                let name = match timeout {
                    Timeout::Idle => "network idle timeout",
                    Timeout::Keepalive => "keepalive delay",
                    Timeout::Heartbeat => "heartbeat timeout",
                };
                write!(f, "uses a {name} of {theirs} ms, but we use {ours} ms locally. Disconnecting.")
            }
        }
    }
}

/// What the stack of the receiver says of a request, beside what the handler returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SystemStatus {
    /// A handler was called.
    Ok,
    /// Nobody handles this type with this key.
    NoHandler,
    /// The handler takes no payload of that size.
    Overflow,
    /// The node went away before it answered.
    Died,
    /// Not known here; as large as received.
    Other(u32),
}

impl SystemStatus {
    /// As it is sent.
    pub fn number(self) -> u32 {
        match self {
            Self::Ok => 0,
            Self::NoHandler => 1,
            Self::Overflow => 2,
            Self::Died => 3,
            Self::Other(number) => number,
        }
    }
}

impl From<u32> for SystemStatus {
    fn from(number: u32) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::NoHandler,
            2 => Self::Overflow,
            3 => Self::Died,
            other => Self::Other(other),
        }
    }
}

/// What a request is for: handlers register for a pair of these.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Kind {
    /// The type of the message.
    pub message: u16,
    /// The key, such as that of a region.
    pub key: u32,
}

/// What a status repeats of its request, so that the sender finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ticket {
    /// Chosen by the sender among those that it waits for.
    pub number: u32,
    /// Padding, which no sender fills; the kernel repeats it.
    pub pad: u16,
}

impl From<u32> for Ticket {
    fn from(number: u32) -> Self {
        Self { number, pad: 0 }
    }
}

/// A message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// Wants a status with the same number.
    Request {
        /// What it is for.
        kind: Kind,
        /// Name of the answer that is waited for.
        ticket: Ticket,
        /// At most [`PAYLOAD_MAX`] bytes.
        payload: &'a [u8],
    },
    /// The answer to a request; repeats its kind and ticket.
    Status {
        /// That of the request.
        kind: Kind,
        /// That of the request.
        ticket: Ticket,
        /// Whether a handler was called.
        system: SystemStatus,
        /// What it returned.
        status: i32,
    },
    /// Is the peer there?
    KeepaliveRequest,
    /// It is.
    KeepaliveAnswer,
}

/// What makes a connection useless: where the next message begins is not known any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolError {
    /// None of the four.
    Magic(u16),
    /// More payload than a message can have.
    Length(u16),
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(magic) => write!(f, "a message cannot begin with 0x{magic:04x}"),
            Self::Length(length) => write!(f, "a payload of {length} bytes, and {PAYLOAD_MAX} is the limit"),
        }
    }
}

/// A message as its header says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Header {
    magic: u16,
    length: u16,
    kind: Kind,
    ticket: Ticket,
    system: u32,
    status: u32,
}

impl Header {
    fn bare(magic: u16) -> Self {
        let (kind, ticket) = (Kind { message: 0, key: 0 }, Ticket::default());
        Self { magic, length: 0, kind, ticket, system: 0, status: 0 }
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..2].copy_from_slice(&self.magic.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.length.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.kind.message.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.ticket.pad.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.system.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.status.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.kind.key.to_be_bytes());
        bytes[20..].copy_from_slice(&self.ticket.number.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Self {
        let mut fields = Fields(bytes);
        let (magic, length, message, pad) = (fields.u16(), fields.u16(), fields.u16(), fields.u16());
        let (system, status, key, number) = (fields.u32(), fields.u32(), fields.u32(), fields.u32());
        Self { magic, length, kind: Kind { message, key }, ticket: Ticket { number, pad }, system, status }
    }
}

impl<'a> Message<'a> {
    /// Its header, to be sent before its [`payload`](Self::payload). None: the payload is too long.
    pub fn header(&self) -> Option<[u8; HEADER_BYTES]> {
        let header = match *self {
            Self::Request { kind, ticket, payload } => {
                let length = u16::try_from(payload.len()).ok()?;
                if payload.len() > PAYLOAD_MAX {
                    return None;
                }
                Header { length, kind, ticket, ..Header::bare(REQUEST) }
            }
            Self::Status { kind, ticket, system, status } => Header {
                kind,
                ticket,
                system: system.number(),
                status: u32::from_be_bytes(status.to_be_bytes()),
                ..Header::bare(STATUS)
            },
            Self::KeepaliveRequest => Header::bare(KEEPALIVE_REQUEST),
            Self::KeepaliveAnswer => Header::bare(KEEPALIVE_ANSWER),
        };
        Some(header.encode())
    }

    /// What follows the header.
    pub fn payload(&self) -> &'a [u8] {
        match *self {
            Self::Request { payload, .. } => payload,
            Self::Status { .. } | Self::KeepaliveRequest | Self::KeepaliveAnswer => &[],
        }
    }

    /// The message at the beginning of `bytes`, and how many of them it takes. None: it has not been received as a
    /// whole, which is at most 4096 bytes.
    ///
    /// # Errors
    /// What cannot be the beginning of a message, as soon as it shows.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((first, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let header = Header::decode(first);
        if !(REQUEST..=KEEPALIVE_ANSWER).contains(&header.magic) {
            return Err(ProtocolError::Magic(header.magic));
        }
        let length = usize::from(header.length);
        if length > PAYLOAD_MAX {
            return Err(ProtocolError::Length(header.length));
        }
        // A payload is a request's; behind others it is skipped, as by the kernel.
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let Header { kind, ticket, system, status, .. } = header;
        let message = match header.magic {
            REQUEST => Self::Request { kind, ticket, payload },
            STATUS => {
                let status = i32::from_be_bytes(status.to_be_bytes());
                Self::Status { kind, ticket, system: system.into(), status }
            }
            KEEPALIVE_REQUEST => Self::KeepaliveRequest,
            _ => Self::KeepaliveAnswer,
        };
        Ok(Some((message, HEADER_BYTES + length)))
    }
}

/// Fields of fixed size, one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// Beyond the end there are zeros: those who ask know the size.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }
}

#[cfg(test)]
mod tests;
