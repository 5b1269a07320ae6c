//! What a handshake may say.

use uo2cb_tests::guest::Error;

use super::{LOST, PEER, Scenario, ended};
use crate::wire::{Handshake, Header, KEEP_REQUEST, REQUEST, keepalive};
use crate::world::World;

pub(super) const ALL: &[Scenario] = &[
    ("a handshake differs", refused),
    ("a handshake differs in what is not compared", accepted),
    ("two handshakes come", twice),
    ("a message comes in one segment with the handshake", with_message),
    ("no handshake comes", incomplete),
    ("garbage comes instead of a handshake", garbage),
    ("a connection ends inside the handshake", broken),
];

/// Only the first difference is named, in this order.
fn refused(world: &mut World) -> Result<(), Error> {
    let right = Handshake::RIGHT;
    let version = "Advertised net protocol version 12 but 11 is required. Disconnecting.";
    let idle = "uses a network idle timeout of 6000 ms, but we use 5000 ms locally. Disconnecting.";
    let keepalive = "uses a keepalive delay of 900 ms, but we use 1000 ms locally. Disconnecting.";
    let heartbeat = "uses a heartbeat timeout of 10000 ms, but we use 12000 ms locally. Disconnecting.";
    for (handshake, words) in [
        (Handshake { version: 12, ..right }, version),
        (
            Handshake { version: 1 << 32, ..right },
            "Advertised net protocol version 4294967296 but 11 is required. Disconnecting.",
        ),
        (Handshake { idle: 6000, ..right }, idle),
        (Handshake { keepalive: 900, ..right }, keepalive),
        (Handshake { heartbeat: 10000, ..right }, heartbeat),
        (
            Handshake { heartbeat: 0, ..right },
            "uses a heartbeat timeout of 0 ms, but we use 12000 ms locally. Disconnecting.",
        ),
        (Handshake { version: 12, idle: 6000, keepalive: 900, heartbeat: 10000, ..right }, version),
        (Handshake { idle: 6000, keepalive: 900, heartbeat: 10000, ..right }, idle),
        (Handshake { keepalive: 900, heartbeat: 10000, ..right }, keepalive),
    ] {
        world.mark();
        let mut peer = world.connect(PEER)?;
        peer.send(&handshake.bytes());
        peer.handshake()?;
        peer.closed()?;
        world.sees(&format!("o2net: node n6 (num 6) at 10.9.0.6:7777 {words}"))?;
        // It never was connected.
        for other in [LOST, "Accepted", "shutdown, state"] {
            world.never(other)?;
        }
        world.settled()?;
    }
    // The next one that is right is taken at once.
    world.connected(PEER).map(drop)
}

fn accepted(world: &mut World) -> Result<(), Error> {
    let right = Handshake::RIGHT;
    for handshake in [
        Handshake { connector: 0, ..right },
        Handshake { connector: 2, ..right },
        Handshake { reconnect: 1500, ..right },
    ] {
        world.mark();
        let mut peer = world.connect(PEER)?;
        peer.send(&handshake.bytes());
        peer.handshake()?;
        world.sees("o2net: Accepted connection from node n6 (num 6)")?;
        peer.works()?;
        drop(peer);
        ended(world, 8)?;
        world.settled()?;
    }
    Ok(())
}

fn twice(world: &mut World) -> Result<(), Error> {
    world.mark();
    let mut peer = world.connect(PEER)?;
    peer.send(&[Handshake::RIGHT.bytes(), Handshake::RIGHT.bytes()].concat());
    peer.handshake()?;
    peer.closed()?;
    world.sees(LOST)?;
    world.settled()?;
    let mut peer = world.connected(PEER)?;
    peer.send(&Handshake::RIGHT.bytes());
    peer.closed()?;
    world.sees(LOST)?;
    world.never("shutdown, state")
}

fn with_message(world: &mut World) -> Result<(), Error> {
    world.mark();
    let mut peer = world.connect(PEER)?;
    let request = Header { magic: REQUEST, kind: 9, key: 1, number: 3, ..Header::default() };
    peer.send(&[Handshake::RIGHT.bytes(), keepalive(KEEP_REQUEST), request.bytes()].concat());
    peer.handshake()?;
    world.sees("o2net: Accepted connection from node n6 (num 6)")?;
    super::messages::answered(&mut peer, request, 1)
}

/// Enough of it is a handshake of another version; what is behind it is not looked at.
fn garbage(world: &mut World) -> Result<(), Error> {
    let request = Header { magic: REQUEST, kind: 9, ..Header::default() };
    for bytes in [
        vec![0xff; 32],
        vec![0; 32],
        b"GET / HTTP/1.0\r\nHost: 10.9.0.5\r\n\r\n".to_vec(),
        request.with(&[1; 4000]),
    ] {
        world.mark();
        let mut peer = world.connect(PEER)?;
        peer.send(&bytes);
        peer.handshake()?;
        peer.closed()?;
        let version = bytes.first_chunk().map_or(0, |version| u64::from_be_bytes(*version));
        let words = format!("Advertised net protocol version {version} but 11 is required. Disconnecting.");
        world.sees(&format!("o2net: node n6 (num 6) at 10.9.0.6:7777 {words}"))?;
        world.never("Accepted")?;
        world.settled()?;
    }
    world.connected(PEER).map(drop)
}

/// Fewer bytes than a handshake has, whatever they are, are waited for until the idle timeout is over.
fn incomplete(world: &mut World) -> Result<(), Error> {
    let half = Handshake::RIGHT.bytes()[..31].to_vec();
    for bytes in [half, keepalive(KEEP_REQUEST), Vec::new()] {
        world.mark();
        let mut peer = world.connect(PEER)?;
        peer.send(&bytes);
        peer.handshake()?;
        peer.closed()?;
        world.sees("o2net: No connection established with node 6 after 5.0 seconds, check network and cluster configuration.")?;
        world.never("Accepted")?;
        world.never(LOST)?;
        world.settled()?;
    }
    Ok(())
}

fn broken(world: &mut World) -> Result<(), Error> {
    for length in [0, 16] {
        world.mark();
        let mut peer = world.connect(PEER)?;
        peer.send(&Handshake::RIGHT.bytes()[..length]);
        drop(peer);
        world.settled()?;
        let mut peer = world.connect(PEER)?;
        peer.send(&Handshake::RIGHT.bytes()[..length]);
        peer.reset()?;
        world.settled()?;
        world.never(LOST)?;
        world.never("Accepted")?;
    }
    world.connected(PEER).map(drop)
}
