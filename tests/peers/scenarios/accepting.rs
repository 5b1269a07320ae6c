//! Who may connect.

use std::time::{Duration, Instant};

use uo2cb_tests::guest::Error;

use super::{LOST, PEER, SHUTDOWN, Scenario, ended};
use crate::wire::Handshake;
use crate::world::{STRANGER, World};

pub(super) const ALL: &[Scenario] = &[
    ("an unknown address connects", unknown),
    ("a lower number connects", lower),
    ("a node that does not beat connects", not_beating),
    ("a node that beats connects", good),
    ("a second connection comes while the first is open", second),
    ("a connection is ended by FIN and comes again", fin),
    ("a connection is ended by RST and comes again", rst),
    ("a connection is ended for writing only", half_closed),
    ("a connection was lost for a moment", decided_later),
    ("the subject leaves and comes back", back),
];

fn unknown(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connect(STRANGER)?;
    peer.closed_unheard()?;
    world.sees(&format!("o2net: Attempt to connect from unknown node at 10.9.0.99:{}", peer.port))?;
    world.never("Accepted")
}

fn lower(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connect(2)?;
    peer.send(&Handshake::RIGHT.bytes());
    peer.closed_unheard()?;
    let words =
        "o2net: Unexpected connect attempt seen at node 'n5' (5, 10.9.0.5:7777) from node 'n2' (2, 10.9.0.2:";
    world.sees(&format!("{words}{})", peer.port))?;
    world.never("Accepted")
}

/// The kernel says nothing by default.
fn not_beating(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connect(7)?;
    peer.closed_unheard()?;
    let mut peer = world.connect(7)?;
    peer.send(&Handshake::RIGHT.bytes());
    peer.closed_unheard()?;
    world.never("Accepted")
}

fn good(world: &mut World) -> Result<(), Error> {
    world.mark();
    let mut peer = world.connect(PEER)?;
    // It does not wait for ours.
    peer.handshake()?;
    world.never("Accepted")?;
    peer.send(&Handshake::RIGHT.bytes());
    world.sees("o2net: Accepted connection from node n6 (num 6) at 10.9.0.6:7777")?;
    peer.works()
}

fn second(world: &mut World) -> Result<(), Error> {
    let mut first = world.connected(PEER)?;
    let mut second = world.connect(PEER)?;
    second.closed_unheard()?;
    world.sees(&format!(
        "o2net: Attempt to connect from node 'n6' at 10.9.0.6:{} but it already has an open connection",
        second.port
    ))?;
    first.works()?;
    world.never("No longer connected")
}

fn fin(world: &mut World) -> Result<(), Error> {
    drop(world.connected(PEER)?);
    ended(world, 8)?;
    world.connected(PEER).map(drop)
}

fn rst(world: &mut World) -> Result<(), Error> {
    world.connected(PEER)?.reset()?;
    ended(world, 7)?;
    world.connected(PEER).map(drop)
}

fn half_closed(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    peer.finish()?;
    peer.closed()?;
    ended(world, 8)
}

/// The delay that begins with the loss is not called off by a new connection, and asks for a decision at its end. There
/// is no hold then that could be dropped: the decision is taken with the next one.
fn decided_later(world: &mut World) -> Result<(), Error> {
    const DECISION: &str = "not fencing this node, heartbeating: 2, connected: 2, lowest: 5 (reachable)";
    for _ in 0..2 {
        drop(world.connected(PEER)?);
        ended(world, 8)?;
        world.settled()?;
    }
    let mut peer = world.connected(PEER)?;
    // The quorum delay, and the slack of the kernel's timers. Its end has no line.
    peer.stays(Duration::from_secs(22))?;
    drop(peer);
    ended(world, 8)?;
    world.never(DECISION)?;
    world.settled()?;
    let begin = Instant::now();
    let mut peer = world.connect(PEER)?;
    peer.send(&Handshake::RIGHT.bytes());
    peer.handshake()?;
    world.sees(DECISION)?;
    if begin.elapsed() > Duration::from_secs(10) {
        return Err("the decision did not come with the connection".to_owned().into());
    }
    Ok(())
}

/// Its own connections are closed without a line about that.
fn back(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    world.subject.leave()?;
    peer.closed()?;
    world.sees(LOST)?;
    world.never(SHUTDOWN)?;
    let mut early = world.connect(PEER)?;
    early.closed_unheard()?;
    world.subject.start()?;
    world.alive(PEER, true)?;
    world.connected(PEER).map(drop)
}
