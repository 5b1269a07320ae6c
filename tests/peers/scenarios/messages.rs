//! What a peer that is connected may send.

use uo2cb_tests::guest::Error;
use uo2cb_tests::nodes::Kind;

use super::{LOST, PEER, SHUTDOWN, Scenario, ended};
use crate::peer::{Got, Peer};
use crate::wire::{HEADER, Header, KEEP_ANSWER, KEEP_REQUEST, PAYLOAD_MAX, REQUEST, STATUS, keepalive};
use crate::world::World;

pub(super) const ALL: &[Scenario] = &[
    ("a message is none", none),
    ("a request has no handler", unhandled),
    ("a request is too long for its handler", too_long),
    ("a status nobody waits for, and keepalives", ignored),
    ("a negotiation comes while nothing hangs", negotiation),
    ("a connection ends inside a message", broken),
    ("a flood of keepalives", flood),
    ("a peer that never reads", never_reads),
];

/// Types of negotiation, and the key of the region R1.
pub(super) const TIMEOUT: u16 = 1;
const APPROVAL: u16 = 2;
pub(super) const KEY: u32 = 0x4cd7_1b4e;

/// The status message that belongs to a request: all that tells what it belongs to is the request's, and so is the pad.
pub(super) fn answered(peer: &mut Peer, request: Header, sys: u32) -> Result<(), Error> {
    let expected = Header { magic: STATUS, length: 0, sys, status: 0, ..request };
    match peer.next()? {
        Got::Message(header, data) if header == expected && data.is_empty() => Ok(()),
        got => Err(format!("{got:?}, and not {expected:?}").into()),
    }
}

/// Closed at once, with one line.
fn none(world: &mut World) -> Result<(), Error> {
    let long = u16::try_from(PAYLOAD_MAX + 1).unwrap_or(u16::MAX);
    for bytes in [
        Header { magic: 0x1234, ..Header::default() }.bytes(),
        Header { magic: REQUEST - 1, ..Header::default() }.bytes(),
        Header { magic: KEEP_ANSWER + 1, ..Header::default() }.bytes(),
        vec![0xff; 24],
        vec![0; 24],
        Header { magic: REQUEST, length: long, ..Header::default() }.bytes(),
        Header { magic: REQUEST, length: u16::MAX, ..Header::default() }.bytes(),
        Header { magic: STATUS, length: long, ..Header::default() }.bytes(),
        Header { magic: KEEP_REQUEST, length: long, ..Header::default() }.bytes(),
        Header { magic: REQUEST, ..Header::default() }.with(&[7; PAYLOAD_MAX + 1]),
    ] {
        // The kernel, between the header and the close, takes what follows, and writes it behind the end of its page.
        if bytes.len() > HEADER && world.kind == Kind::Kernel {
            continue;
        }
        let mut peer = world.connected(PEER)?;
        peer.send(&bytes);
        peer.closed().map_err(|error| format!("{:02x?}: {error}", &bytes[..HEADER]))?;
        world.sees(LOST)?;
        world.never(SHUTDOWN)?;
        world.settled()?;
    }
    Ok(())
}

fn unhandled(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    let request = Header { magic: REQUEST, ..Header::default() };
    for (request, data) in [
        // What a kernel that mounts asks.
        (Header { kind: 510, key: 0x666c_6172, number: 77, ..request }, vec![7; 104]),
        (Header { number: u32::MAX, ..request }, Vec::new()),
        (Header { kind: u16::MAX, key: u32::MAX, ..request }, vec![1]),
        (Header { kind: TIMEOUT, key: 0xdead_beef, number: 3, ..request }, vec![PEER]),
        (Header { kind: APPROVAL + 1, key: KEY, number: 4, ..request }, vec![PEER]),
        (Header { kind: 9, pad: 0x1234, sys: 5, status: 6, number: 5, ..request }, Vec::new()),
        (Header { kind: 9, number: 6, ..request }, vec![7; PAYLOAD_MAX]),
    ] {
        peer.send(&request.with(&data));
        answered(&mut peer, request, 1)?;
    }
    // All at once: the answers keep the order.
    let requests = (0..100).map(|number| Header { kind: 9, number, ..request });
    peer.send(&requests.clone().flat_map(|request| request.with(b"data")).collect::<Vec<_>>());
    requests.into_iter().try_for_each(|request| answered(&mut peer, request, 1))
}

fn too_long(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    for (kind, length) in [(TIMEOUT, 2), (APPROVAL, 2), (TIMEOUT, 5), (TIMEOUT, PAYLOAD_MAX)] {
        let request = Header { magic: REQUEST, kind, key: KEY, number: 9, ..Header::default() };
        peer.send(&request.with(&vec![PEER; length]));
        answered(&mut peer, request, 2)?;
    }
    world.never("o2hb:")
}

fn ignored(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    let status = Header { magic: STATUS, kind: TIMEOUT, key: KEY, number: 5, ..Header::default() };
    for bytes in [
        status.bytes(),
        Header { number: 0, ..status }.bytes(),
        Header { number: u32::MAX, ..status }.bytes(),
        Header { sys: 4, ..status }.bytes(),
        Header { sys: u32::MAX, status: u32::MAX, ..status }.bytes(),
        status.with(b"abc"),
        keepalive(KEEP_ANSWER),
    ] {
        peer.send(&bytes);
        peer.works()?;
    }
    // With whatever is in its other fields, answered by the plain answer.
    let request =
        Header { magic: KEEP_REQUEST, kind: 9, pad: 4, sys: 6, status: 5, key: 8, number: 7, length: 0 };
    for bytes in [request.bytes(), request.with(&[65; 8])] {
        peer.send(&bytes);
        peer.works()?;
    }
    world.never("o2net:")
}

/// Handled: the message says who sends it, which is not compared with who does.
fn negotiation(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    let request = Header { magic: REQUEST, key: KEY, number: 9, ..Header::default() };
    for (kind, sender, words) in [
        (TIMEOUT, PEER, "o2hb: receive negotiate timeout message from node 6 on region R1 ("),
        (TIMEOUT, 7, "o2hb: receive negotiate timeout message from node 7 on region R1 ("),
        (TIMEOUT, 255, "got nego timeout message from bad node."),
        (APPROVAL, PEER, "o2hb: negotiate timeout approved by master node on region R1 ("),
    ] {
        let request = Header { kind, ..request };
        peer.send(&request.with(&[sender]));
        answered(&mut peer, request, 0)?;
        world.sees(words)?;
    }
    peer.works()
}

fn broken(world: &mut World) -> Result<(), Error> {
    let long = Header { magic: REQUEST, kind: 9, length: 100, ..Header::default() };
    for bytes in [keepalive(KEEP_REQUEST)[..10].to_vec(), long.bytes()] {
        for reset in [false, true] {
            let mut peer = world.connected(PEER)?;
            peer.send(&bytes);
            if reset {
                peer.reset()?;
            } else {
                drop(peer);
            }
            ended(world, if reset { 7 } else { 8 })?;
            world.settled()?;
        }
    }
    world.connected(PEER).map(drop)
}

fn flood(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    for _ in 0..20 {
        peer.send(&keepalive(KEEP_REQUEST).repeat(500));
        for _ in 0..500 {
            // Reads one answer each.
            peer.answer()?;
        }
    }
    peer.works()?;
    world.never("o2net:")
}

/// What waits for it is bounded, and nothing else suffers.
fn never_reads(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    let request = Header { magic: REQUEST, kind: 9, ..Header::default() }.bytes().repeat(1000);
    let mut sent = 0;
    super::floods::measured(world, |_| {
        sent = peer.flood(&request, 64 << 20)?;
        Ok(sent)
    })?;
    if sent >= 64 << 20 {
        return Err("it takes requests without end whose answers nobody reads".to_owned().into());
    }
    world.never(LOST)?;
    // It answers what it has taken, once that is read.
    let request = Header { magic: REQUEST, kind: 9, ..Header::default() };
    peer.mute = true;
    for _ in 0..sent / HEADER {
        answered(&mut peer, request, 1)?;
    }
    if sent % HEADER > 0 {
        peer.send(&request.bytes()[sent % HEADER..]);
        answered(&mut peer, request, 1)?;
    }
    peer.mute = false;
    world.never(LOST)
}
