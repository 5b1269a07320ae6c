//! What the tree allows while peers are connected.

use uo2cb_tests::guest::Error;
use uo2cb_tests::nodes::cluster::{Call, make_node};

use super::{LOST, PEER, Scenario};
use crate::wire::Handshake;
use crate::world::{STRANGER, World};

pub(super) const ALL: &[Scenario] = &[
    ("timeouts change while connected", timeouts),
    ("nodes are removed", nodes),
    ("a node is to be renumbered while it is connected", renumbered),
    ("a node gets another address", moved),
    ("two names have one key", keys),
    ("the debug files with and without a connection", debug),
];

const EBUSY: &str = "Device or resource busy";
const EINVAL: &str = "Invalid argument";
const EEXIST: &str = "File exists";

fn write(path: &str, value: u32) -> Call {
    Call::Write(format!("cluster/c/{path}"), value.to_string())
}

fn rmdir(node: u8) -> Call {
    Call::Rmdir(format!("cluster/c/node/n{node}"))
}

fn timeouts(world: &mut World) -> Result<(), Error> {
    let peer = world.connected(PEER)?;
    for (attribute, other, same, words) in [
        (
            "idle_timeout_ms",
            6000,
            5000,
            "o2net: cannot change idle timeout after the first peer has agreed to it.  1 connected peers",
        ),
        (
            "keepalive_delay_ms",
            900,
            1000,
            "o2net: cannot change keepalive delay after the first peer has agreed to it.  1 connected peers",
        ),
    ] {
        world.refused(&write(attribute, other), EINVAL)?;
        world.sees(words)?;
        world.subject.call(&write(attribute, same))?;
    }
    for delay in [1500, 1000] {
        world.subject.call(&write("reconnect_delay_ms", delay))?;
    }
    drop(peer);
    world.settled()?;
    for idle in [6000, 5000] {
        world.subject.call(&write("idle_timeout_ms", idle))?;
    }
    Ok(())
}

fn nodes(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    world.refused(&rmdir(PEER), EBUSY)?;
    world.refused(&write("node/n6/local", 1), EBUSY)?;
    peer.works()?;
    // One without a connection goes, and comes again.
    world.subject.call(&rmdir(8))?;
    for call in make_node(8) {
        world.subject.call(&call)?;
    }
    world.subject.call(&Call::Mkdir("cluster/c/node/x".into()))?;
    world.refused(&Call::Write("cluster/c/node/x/ipv4_address".into(), "10.9.0.8".into()), EEXIST)?;
    world.subject.call(&Call::Rmdir("cluster/c/node/x".into()))?;
    drop(peer);
    world.sees(LOST)?;
    world.settled()?;
    // Alive, and without a connection: it goes as well, and its connections are those of a stranger.
    world.subject.call(&rmdir(PEER))?;
    world.mark();
    let mut stranger = world.connect(PEER)?;
    stranger.closed_unheard()?;
    world.sees(&format!("o2net: Attempt to connect from unknown node at 10.9.0.6:{}", stranger.port))?;
    for call in make_node(PEER) {
        world.subject.call(&call)?;
    }
    world.connected(PEER).map(drop)
}

fn renumbered(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    for (attribute, value) in [("num", "9"), ("num", "200"), ("num", "6"), ("ipv4_port", "7778")] {
        let call = Call::Write(format!("cluster/c/node/n6/{attribute}"), value.to_owned());
        let errno = if value == "9" || value == "6" { EEXIST } else { EBUSY };
        world.refused(&call, errno)?;
    }
    for (address, errno) in [("10.9.0.9", EEXIST), ("10.9.0.99", EBUSY), ("10.9.0.6", EEXIST)] {
        world.refused(&Call::Write("cluster/c/node/n6/ipv4_address".into(), address.to_owned()), errno)?;
    }
    peer.works()?;
    world.never(LOST)
}

/// Removed and made again: its old address is a stranger's, its new one is good.
fn moved(world: &mut World) -> Result<(), Error> {
    world.subject.call(&rmdir(PEER))?;
    let mut calls = make_node(PEER);
    for call in &mut calls {
        if let Call::Write(path, value) = call {
            if path.ends_with("ipv4_address") {
                *value = "10.9.0.99".to_owned();
            }
        }
        world.subject.call(call)?;
    }
    world.mark();
    let mut old = world.connect(PEER)?;
    old.closed_unheard()?;
    world.sees(&format!("o2net: Attempt to connect from unknown node at 10.9.0.6:{}", old.port))?;
    let mut new = world.connect(STRANGER)?;
    new.send(&Handshake::RIGHT.bytes());
    new.handshake()?;
    world.sees("o2net: Accepted connection from node n6 (num 6) at 10.9.0.99:7777")?;
    new.works()?;
    world.refused(&rmdir(PEER), EBUSY)?;
    drop(new);
    world.settled()?;
    world.subject.call(&rmdir(PEER))?;
    for call in make_node(PEER) {
        world.subject.call(&call)?;
    }
    world.connected(PEER).map(drop)
}

/// The key of the negotiation's messages is made of the name alone.
fn keys(world: &mut World) -> Result<(), Error> {
    let [one, other] = ["uejgtcuo", "iiwucoup"].map(|name| format!("cluster/c/heartbeat/{name}"));
    for (one, other) in [(&one, &other), (&other, &one)] {
        world.subject.call(&Call::Mkdir(one.clone()))?;
        world.refused(&Call::Mkdir(other.clone()), EEXIST)?;
        world.subject.call(&Call::Rmdir(one.clone()))?;
    }
    Ok(())
}

/// `sock_containers`, without its first line, an address; the numbers are left out.
const SOCKET: [&str; 13] = [
    "  krefs:           ",
    "  sock:            10.9.0.5:7777 -> 10.9.0.6:",
    "  remote node:     n6",
    "  page off:        ",
    "  handshake ok:    1",
    "  timer:           ",
    "  data ready:      ",
    "  advance start:   ",
    "  advance stop:    ",
    "  func start:      ",
    "  func stop:       ",
    "  func key:        0x00000000",
    "  func type:       0",
];

fn debug(world: &mut World) -> Result<(), Error> {
    let files = ["connected_nodes", "stats", "sock_containers", "send_tracking"];
    let read = |world: &mut World, file: &str| -> Result<String, Error> {
        Ok(world.subject.debug(&format!("o2net/{file}"))?.trim_end_matches('\n').to_owned())
    };
    for file in files {
        let text = read(world, file)?;
        if !text.is_empty() {
            return Err(format!("{file} without a connection: {text:?}").into());
        }
    }
    let peer = world.connected(PEER)?;
    let [connected, stats, sockets, sends] = files.map(|file| read(world, file));
    let (connected, stats, sockets, sends) = (connected?, stats?, sockets?, sends?);
    if connected != "6 " || stats != "1,6,0,0,0,0,0,0" || !sends.is_empty() {
        return Err(format!("connected_nodes {connected:?}, stats {stats:?}, send_tracking {sends:?}").into());
    }
    let lines: Vec<_> = sockets.lines().collect();
    let right = lines.len() == SOCKET.len() + 1
        && lines[0].ends_with(':')
        && lines.iter().skip(1).zip(SOCKET).all(|(line, begin)| line.starts_with(begin))
        && lines[2].ends_with(&format!(":{}", peer.port))
        && lines[6..=11].iter().all(|line| line.ends_with(" usecs"));
    if right { Ok(()) } else { Err(format!("sock_containers: {sockets}").into()) }
}
