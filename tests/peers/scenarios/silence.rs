//! Peers that say nothing, or not enough.

use std::time::{Duration, Instant};

use uo2cb_tests::guest::Error;

use super::{LOST, PEER, SHUTDOWN, Scenario};
use crate::wire::{Header, REQUEST};
use crate::world::World;

pub(super) const ALL: &[Scenario] = &[
    ("a peer is silent", silent),
    ("half a message, and nothing more", half),
    ("a message comes byte by byte", slow),
    ("a peer dies", dies),
    ("a peer restarts while its connection is open", restarts),
];

const IDLE: &str = "o2net: Connection to node n6 (num 6) at 10.9.0.6:7777 has been idle for 5.";
/// Between the last message and the line, in seconds; it may be late.
const EARLIEST: f64 = 4.9;
const LATEST: f64 = 10.0;

/// The first line of silence comes in time, counted from a mark.
fn idle(world: &World) -> Result<(), Error> {
    let at = world.sees(IDLE)?;
    if !(EARLIEST..LATEST).contains(&at) {
        return Err(format!("idle after {at:.2} s").into());
    }
    Ok(())
}

fn silent(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    idle(world)?;
    world.never(LOST)?;
    // Keepalive requests have come meanwhile; all are answered now, and the connection is as before.
    peer.works()
}

fn half(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    let request = Header { magic: REQUEST, kind: 9, number: 5, ..Header::default() };
    peer.send(&request.bytes()[..10]);
    idle(world)?;
    peer.send(&request.bytes()[10..]);
    super::messages::answered(&mut peer, request, 1)?;
    world.never(LOST)
}

/// Bytes do not count, only whole messages do.
fn slow(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    let request = Header { magic: REQUEST, kind: 9, number: 5, ..Header::default() };
    let message = request.with(&[0; 60]);
    let begin = Instant::now();
    let (mut sent, mut said) = (0, false);
    while !said && begin.elapsed() < Duration::from_secs_f64(LATEST) {
        peer.send(&message[sent..=sent]);
        sent += 1;
        let next = begin + Duration::from_millis(300) * u32::try_from(sent).unwrap_or(u32::MAX);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        said = world.count(IDLE) > 0;
    }
    idle(world)?;
    peer.send(&message[sent..]);
    super::messages::answered(&mut peer, request, 1)?;
    world.never(SHUTDOWN)
}

/// Its heartbeat ends, and its connection with it: closed without a line about that.
fn dies(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    world.beats.silence(PEER);
    peer.closed()?;
    world.sees(LOST)?;
    world.never(SHUTDOWN)?;
    world.alive(PEER, false)?;
    world.up(PEER)?;
    world.connected(PEER).map(drop)
}

/// Found out by its new generation at the next beat; its new connection is refused before.
fn restarts(world: &mut World) -> Result<(), Error> {
    let mut old = world.connected(PEER)?;
    world.beats.up(PEER);
    old.closed()?;
    world.sees(LOST)?;
    world.never(SHUTDOWN)?;
    world.alive(PEER, true)?;
    world.connected(PEER).map(drop)
}
