//! The subject connects to lower numbers.

use std::net::TcpListener;
use std::thread;

use uo2cb_tests::guest::Error;

use super::Scenario;
use crate::peer::Peer;
use crate::wire::Handshake;
use crate::world::{LIMIT, World};

pub(super) const ALL: &[Scenario] = &[
    ("it connects to a lower number, which leaves", good),
    ("nobody listens there", refused),
    ("it is refused after the connection was made", closed),
    ("its peer is silent", silent),
    ("its peer's handshake differs", differs),
    ("its connection is lost", lost),
    ("its peer sends what is no message", garbage),
];

/// The lower node of all of them.
const LOWER: u8 = 2;
const CONNECTED: &str = "o2net: Connected to node n2 (num 2) at 10.9.0.2:7777";
const LOST: &str = "o2net: No longer connected to node n2 (num 2) at 10.9.0.2:7777";
const NONE: &str = "o2net: No connection established with node 2 after 5.0 seconds, check network and cluster configuration.";
const STATE_7: &str = "o2net: Connection to node n2 (num 2) at 10.9.0.2:7777 shutdown, state 7";
const STATE_8: &str = "o2net: Connection to node n2 (num 2) at 10.9.0.2:7777 shutdown, state 8";

/// Accepts the next connection.
fn accept(listener: &TcpListener) -> Result<Peer, Error> {
    let socket = listener.try_clone()?;
    let (sender, accepted) = std::sync::mpsc::channel();
    // A listener has no time limit of its own; the thread ends with the next connection.
    thread::spawn(move || {
        let _ = sender.send(socket.accept());
    });
    let accepted = accepted.recv_timeout(LIMIT).map_err(|_| "it does not connect".to_owned())?;
    Peer::new(accepted?.0)
}

/// The time between the first two lines with this text, in seconds.
fn pace(world: &World, text: &str) -> Result<f64, Error> {
    uo2cb_tests::nodes::wait(&format!("two lines {text}"), LIMIT, || Ok(world.count(text) > 1))?;
    let lines = world.lines();
    let mut times = lines.iter().filter(|line| line.text.contains(text)).map(|line| line.at);
    let (Some(one), Some(two)) = (times.next(), times.next()) else {
        return Err("no lines".to_owned().into());
    };
    Ok((two - one).as_secs_f64())
}

/// At least so many seconds: it does not spin.
fn not_faster(pace: f64, than: f64) -> Result<(), Error> {
    if pace < than { Err(format!("again after {pace:.2} s").into()) } else { Ok(()) }
}

fn good(world: &mut World) -> Result<(), Error> {
    let listener = world.listen(LOWER)?;
    world.up(LOWER)?;
    let mut peer = accept(&listener)?;
    // It does not wait for ours.
    peer.handshake()?;
    world.never("Connected to")?;
    peer.send(&Handshake::RIGHT.bytes());
    world.sees(CONNECTED)?;
    peer.works()?;
    world.beats.leave(LOWER);
    peer.closed()?;
    world.sees(LOST)?;
    world.never("shutdown, state")?;
    world.leave(LOWER)
}

/// One attempt, and one line, in a reconnect delay.
fn refused(world: &mut World) -> Result<(), Error> {
    world.up(LOWER)?;
    not_faster(pace(world, STATE_7)?, 0.9)?;
    world.sees(NONE)?;
    let listener = world.listen(LOWER)?;
    let mut peer = accept(&listener)?;
    peer.handshake()?;
    peer.send(&Handshake::RIGHT.bytes());
    world.sees(CONNECTED)?;
    world.leave(LOWER)
}

fn closed(world: &mut World) -> Result<(), Error> {
    let listener = world.listen(LOWER)?;
    world.up(LOWER)?;
    drop(accept(&listener)?);
    // By the FIN, or by the RST that follows its handshake.
    let said = |world: &World| world.count(STATE_7) + world.count(STATE_8);
    uo2cb_tests::nodes::wait("a line of the shutdown", LIMIT, || Ok(said(world) > 0))?;
    // Again after the reconnect delay.
    let mut peer = accept(&listener)?;
    peer.handshake()?;
    peer.send(&Handshake::RIGHT.bytes());
    world.sees(CONNECTED)?;
    world.never(LOST)?;
    world.leave(LOWER)
}

/// After the idle timeout a new attempt takes the place of the old one.
fn silent(world: &mut World) -> Result<(), Error> {
    let listener = world.listen(LOWER)?;
    world.up(LOWER)?;
    for bytes in [&Handshake::RIGHT.bytes()[..20], &[]] {
        let mut peer = accept(&listener)?;
        peer.handshake()?;
        peer.send(bytes);
        peer.closed()?;
    }
    accept(&listener)?.handshake()?;
    not_faster(pace(world, NONE)?, 4.9)?;
    world.leave(LOWER)
}

/// No attempt before the idle timeout is over.
fn differs(world: &mut World) -> Result<(), Error> {
    let listener = world.listen(LOWER)?;
    world.up(LOWER)?;
    let words =
        "o2net: node n2 (num 2) at 10.9.0.2:7777 Advertised net protocol version 12 but 11 is required.";
    for _ in 0..2 {
        let mut peer = accept(&listener)?;
        peer.handshake()?;
        peer.send(&Handshake { version: 12, ..Handshake::RIGHT }.bytes());
        peer.closed()?;
    }
    not_faster(pace(world, words)?, 4.5)?;
    world.sees(NONE)?;
    world.leave(LOWER)
}

/// One that was up comes again after the idle timeout only, and not after the reconnect delay.
fn lost(world: &mut World) -> Result<(), Error> {
    let listener = world.listen(LOWER)?;
    world.up(LOWER)?;
    for _ in 0..2 {
        let mut peer = accept(&listener)?;
        peer.handshake()?;
        peer.send(&Handshake::RIGHT.bytes());
        peer.works()?;
        drop(peer);
    }
    not_faster(pace(world, CONNECTED)?, 4.5)?;
    world.sees(STATE_8)?;
    world.sees(NONE)?;
    world.leave(LOWER)
}

/// As one that was lost: the next attempt comes after the idle timeout.
fn garbage(world: &mut World) -> Result<(), Error> {
    let listener = world.listen(LOWER)?;
    world.up(LOWER)?;
    for _ in 0..2 {
        let mut peer = accept(&listener)?;
        peer.handshake()?;
        peer.send(&[Handshake::RIGHT.bytes(), vec![0x5a; 24]].concat());
        peer.closed()?;
    }
    not_faster(pace(world, CONNECTED)?, 4.5)?;
    world.sees(LOST)?;
    world.sees(NONE)?;
    for state in [STATE_7, STATE_8] {
        world.never(state)?;
    }
    world.leave(LOWER)
}
