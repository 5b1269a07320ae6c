//! Bytes of o2net, built and read without the code that is tested.

/// Of a handshake.
pub(crate) const HANDSHAKE: usize = 32;
/// Of a message's header.
pub(crate) const HEADER: usize = 24;
/// What a message may carry at most.
pub(crate) const PAYLOAD_MAX: usize = 4072;

pub(crate) const REQUEST: u16 = 0xfa55;
pub(crate) const STATUS: u16 = 0xfa56;
pub(crate) const KEEP_REQUEST: u16 = 0xfa57;
pub(crate) const KEEP_ANSWER: u16 = 0xfa58;

/// A handshake; the default is right.
#[derive(Clone, Copy)]
pub(crate) struct Handshake {
    pub(crate) version: u64,
    pub(crate) connector: u64,
    pub(crate) heartbeat: u32,
    pub(crate) idle: u32,
    pub(crate) keepalive: u32,
    pub(crate) reconnect: u32,
}

impl Handshake {
    pub(crate) const RIGHT: Self =
        Self { version: 11, connector: 1, heartbeat: 12000, idle: 5000, keepalive: 1000, reconnect: 1000 };

    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut bytes = [self.version, self.connector].map(u64::to_be_bytes).concat();
        for field in [self.heartbeat, self.idle, self.keepalive, self.reconnect] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        bytes
    }
}

/// A message's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) magic: u16,
    pub(crate) length: u16,
    pub(crate) kind: u16,
    pub(crate) pad: u16,
    pub(crate) sys: u32,
    pub(crate) status: u32,
    pub(crate) key: u32,
    pub(crate) number: u32,
}

impl Header {
    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut bytes = [self.magic, self.length, self.kind, self.pad].map(u16::to_be_bytes).concat();
        for field in [self.sys, self.status, self.key, self.number] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    pub(crate) fn read(bytes: &[u8; HEADER]) -> Self {
        let short = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let long = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self {
            magic: short(0),
            length: short(2),
            kind: short(4),
            pad: short(6),
            sys: long(8),
            status: long(12),
            key: long(16),
            number: long(20),
        }
    }

    /// The message with this header and `data`, whose length it gets.
    pub(crate) fn with(self, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).expect("no test sends more");
        [Self { length, ..self }.bytes(), data.to_vec()].concat()
    }
}

/// A keepalive request or answer.
pub(crate) fn keepalive(magic: u16) -> Vec<u8> {
    Header { magic, ..Header::default() }.bytes()
}
