//! Bytes that real kernels sent (`reference/o2net-two-kernels.txt`, `o2net-observed.md` section 1), and all others.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn sent(message: &Message<'_>) -> Vec<u8> {
    let mut sent = message.header().unwrap().to_vec();
    sent.extend_from_slice(message.payload());
    sent
}

#[test]
fn a_handshake_of_a_kernel() {
    let seen = bytes("000000000000000b000000000000000100002ee000001388000003e8000003e8");
    let ours = Handshake::new(12_000, 5_000, 1_000, 1_000);
    assert_eq!(ours.encode().as_slice(), seen);
    assert_eq!(Handshake::decode(seen.as_slice().try_into().unwrap()), ours);
}

#[test]
fn messages_of_a_kernel() {
    let kind = |message| Kind { message, key: 0x4cd7_1b4e };
    let status = |message| Message::Status {
        kind: kind(message),
        ticket: 0.into(),
        system: SystemStatus::Ok,
        status: 0,
    };
    for (hex, message) in [
        ("fa570000 00000000 00000000 00000000 00000000 00000000", Message::KeepaliveRequest),
        ("fa580000 00000000 00000000 00000000 00000000 00000000", Message::KeepaliveAnswer),
        (
            "fa550001 00010000 00000000 00000000 4cd71b4e 00000000 02",
            Message::Request { kind: kind(1), ticket: 0.into(), payload: &[2] },
        ),
        ("fa560000 00010000 00000000 00000000 4cd71b4e 00000000", status(1)),
        (
            "fa550001 00020000 00000000 00000000 4cd71b4e 00000000 01",
            Message::Request { kind: kind(2), ticket: 0.into(), payload: &[1] },
        ),
        ("fa560000 00020000 00000000 00000000 4cd71b4e 00000000", status(2)),
    ] {
        let seen = bytes(hex);
        assert_eq!(Message::decode(&seen), Ok(Some((message, seen.len()))), "{hex}");
        assert_eq!(sent(&message), seen, "{hex}");
        // Cut short anywhere it is no message yet; followed by others it ends where it ends.
        for end in 0..seen.len() {
            assert_eq!(Message::decode(&seen[..end]), Ok(None), "{hex}, {end} bytes");
        }
        let twice = [&seen[..], &seen[..]].concat();
        assert_eq!(Message::decode(&twice), Ok(Some((message, seen.len()))), "{hex}");
    }
}

/// After an outage queued messages come in one segment: 72 bytes (section 8).
#[test]
fn three_messages_in_one_segment() {
    let wanted = [Message::KeepaliveRequest, Message::KeepaliveRequest, Message::KeepaliveAnswer];
    let segment = wanted.iter().flat_map(sent).collect::<Vec<_>>();
    assert_eq!(segment.len(), 72);
    let mut rest = &segment[..];
    for message in wanted {
        let (found, taken) = Message::decode(rest).unwrap().unwrap();
        assert_eq!(found, message);
        rest = &rest[taken..];
    }
    assert!(rest.is_empty());
}

#[test]
fn a_refused_handshake_names_the_first_difference_in_the_order_of_the_kernel() {
    let ours = Handshake::new(12_000, 5_000, 1_000, 1_000);
    let mut theirs = ours;
    theirs.reconnect_delay_ms = 1_500;
    theirs.connector = 7;
    assert_eq!(ours.check(&theirs), Ok(()));
    for (change, line) in [
        (
            (|theirs| theirs.heartbeat_timeout_ms = 16_000) as fn(&mut Handshake),
            "uses a heartbeat timeout of 16000 ms, but we use 12000 ms locally. Disconnecting.",
        ),
        (
            |theirs| theirs.keepalive_delay_ms = 900,
            "uses a keepalive delay of 900 ms, but we use 1000 ms locally. Disconnecting.",
        ),
        (
            |theirs| theirs.idle_timeout_ms = 6_000,
            "uses a network idle timeout of 6000 ms, but we use 5000 ms locally. Disconnecting.",
        ),
        (
            |theirs| theirs.version = 10,
            "Advertised net protocol version 10 but 11 is required. Disconnecting.",
        ),
    ] {
        // Those before stay different as well.
        change(&mut theirs);
        assert_eq!(ours.check(&theirs).unwrap_err().to_string(), line);
    }
}

#[test]
fn what_cannot_be_a_message_is_refused_as_soon_as_it_shows() {
    let mut header = Header { length: 4072, ..Header::bare(REQUEST) };
    assert_eq!(Message::decode(&header.encode()), Ok(None));
    for length in [4073, u16::MAX] {
        for magic in [REQUEST, STATUS, KEEPALIVE_REQUEST, KEEPALIVE_ANSWER] {
            header = Header { length, ..Header::bare(magic) };
            assert_eq!(Message::decode(&header.encode()), Err(ProtocolError::Length(length)));
        }
    }
    for magic in [0, 0x55fa, 0xfa54, 0xfa59, u16::MAX] {
        assert_eq!(Message::decode(&Header::bare(magic).encode()), Err(ProtocolError::Magic(magic)));
    }
    assert_eq!(ProtocolError::Magic(0xfa59).to_string(), "a message cannot begin with 0xfa59");
    assert_eq!(ProtocolError::Length(4073).to_string(), "a payload of 4073 bytes, and 4072 is the limit");
}

#[test]
fn a_payload_that_is_too_long_is_not_sent() {
    let long = [0; PAYLOAD_MAX + 1];
    let kind = Kind { message: 1, key: 2 };
    let request = |length: usize| Message::Request { kind, ticket: 3.into(), payload: &long[..length] };
    assert_eq!(request(PAYLOAD_MAX + 1).header(), None);
    let longest = sent(&request(PAYLOAD_MAX));
    assert_eq!(longest.len(), 4096);
    assert_eq!(Message::decode(&longest), Ok(Some((request(PAYLOAD_MAX), 4096))));
}

#[test]
fn a_payload_behind_an_answer_is_skipped() {
    for magic in [STATUS, KEEPALIVE_REQUEST, KEEPALIVE_ANSWER] {
        let mut seen = Header { length: 5, ..Header::bare(magic) }.encode().to_vec();
        seen.extend_from_slice(b"12345rest");
        let (message, taken) = Message::decode(&seen).unwrap().unwrap();
        assert_eq!((message.payload(), taken), (&[][..], HEADER_BYTES + 5));
    }
}

#[test]
fn every_status_comes_back_as_it_was_sent() {
    for number in (0..=5).chain([u32::MAX]) {
        assert_eq!(SystemStatus::from(number).number(), number);
        let kind = Kind { message: u16::MAX, key: u32::MAX };
        for status in [0, 1, -107, i32::MIN, i32::MAX] {
            let message = Message::Status {
                kind,
                ticket: Ticket { number, pad: 0x1234 },
                system: number.into(),
                status,
            };
            assert_eq!(Message::decode(&sent(&message)), Ok(Some((message, HEADER_BYTES))));
        }
    }
}

/// Whatever comes: no panic, never more taken than there is, and what was understood means the same when sent again.
#[test]
fn any_bytes() {
    let mut seed = 1u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as u8
    };
    let (mut messages, mut errors) = (0, 0);
    for _ in 0..20_000 {
        let mut some: Vec<u8> = (0..64).map(|_| random()).collect();
        if random() % 2 == 0 {
            some[..4].copy_from_slice(&[0xfa, 0x55 + random() % 5, 0, random() % 60]);
        }
        match Message::decode(&some) {
            Ok(Some((message, taken))) => {
                assert!((HEADER_BYTES..=some.len()).contains(&taken));
                let again = sent(&message);
                assert_eq!(Message::decode(&again), Ok(Some((message, again.len()))));
                messages += 1;
            }
            Ok(None) => {}
            Err(_) => errors += 1,
        }
    }
    assert!(messages > 1000 && errors > 1000, "{messages} {errors}");
}
