//! The decoder of o2net's messages.

use uo2cb_core::net::wire::{HEADER_BYTES, Message, PAYLOAD_MAX, ProtocolError};

/// Where the message at the beginning of a stream ends, by two fields of its header alone.
fn end(stream: &[u8]) -> Result<Option<usize>, ProtocolError> {
    if stream.len() < HEADER_BYTES {
        return Ok(None);
    }
    let field = |at: usize| u16::from_be_bytes([stream[at], stream[at + 1]]);
    let (magic, length) = (field(0), field(2));
    if magic & 0xff00 != 0xfa00 || !(0x55..=0x58).contains(&(magic & 0xff)) {
        return Err(ProtocolError::Magic(magic));
    }
    if usize::from(length) > PAYLOAD_MAX {
        return Err(ProtocolError::Length(length));
    }
    let end = HEADER_BYTES + usize::from(length);
    Ok((end <= stream.len()).then_some(end))
}

/// An input: by how many bytes the stream grows from look to look, then the stream.
pub fn messages(input: &[u8]) {
    let Some((step, stream)) = input.split_first() else { return };
    let (mut begin, mut received) = (0, 0);
    while received < stream.len() {
        received = stream.len().min(received + 1 + usize::from(*step));
        loop {
            let rest = &stream[begin..received];
            let found = Message::decode(rest);
            assert_eq!(found.map(|found| found.map(|(_, taken)| taken)), end(rest), "where it ends");
            let (message, taken) = match found {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(_) => return,
            };
            let mut again = message.header().expect("a payload that fits").to_vec();
            again.extend_from_slice(message.payload());
            assert_eq!(Message::decode(&again), Ok(Some((message, again.len()))), "sent again");
            if matches!(message, Message::Request { .. }) {
                // All but the padding and what only an answer has.
                assert_eq!((&again[..6], &again[16..]), (&rest[..6], &rest[16..taken]), "the same request");
            }
            begin += taken;
        }
    }
}
