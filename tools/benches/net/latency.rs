//! How long a message takes to a node and back.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use uo2cb::Node;
use uo2cb::core::net::wire::{HANDSHAKE_BYTES, HEADER_BYTES};

use super::median;

/// Round trips in one turn.
const TRIPS: usize = 2_000;
const TURNS: usize = 15;
/// Asks for an answer (`O2NET_MSG_KEEP_REQ_MAGIC`).
const KEEPALIVE: u16 = 0xfa57;
/// A turn is over soon; an idle timeout would say that something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn measure() {
    let (node, mut peer) = node();
    let mut bare = bare();
    let mut keepalive = [0; HEADER_BYTES];
    keepalive[..2].copy_from_slice(&KEEPALIVE.to_be_bytes());
    let (mut ours, mut bares, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let (one, other) = (turn(&mut peer, &keepalive), turn(&mut bare, &keepalive));
        ours.push(one);
        bares.push(other);
        ratios.push(one / other);
    }
    println!("\nround trip of {HEADER_BYTES} bytes on one machine, median of {TURNS} turns of {TRIPS}:");
    println!("  an echo by a thread that waits  {:.1} us", median(&mut bares));
    println!("  a keepalive by a node           {:.1} us", median(&mut ours));
    println!(
        "  times                           {:.2} ({:.2} to {:.2}), wanted: 1.5 at most",
        median(&mut ratios),
        ratios[0],
        ratios[ratios.len() - 1]
    );
    drop(node);
}

/// Microseconds of a round trip.
fn turn(stream: &mut TcpStream, message: &[u8; HEADER_BYTES]) -> f64 {
    let mut answer = [0; HEADER_BYTES];
    let begin = Instant::now();
    for _ in 0..TRIPS {
        stream.write_all(message).unwrap();
        stream.read_exact(&mut answer).unwrap();
    }
    begin.elapsed().as_secs_f64() * 1e6 / TRIPS as f64
}

fn bare() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let mut message = [0; HEADER_BYTES];
        while stream.read_exact(&mut message).is_ok() {
            stream.write_all(&message).unwrap();
        }
    });
    ready(TcpStream::connect(address).unwrap())
}

fn ready(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A node in user mode, to which node 2 has connected.
fn node() -> (Node, TcpStream) {
    let node = Node::builder().user_heartbeat().start().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    node.mkdir("cluster/c").unwrap();
    for num in [1, 2] {
        let dir = format!("cluster/c/node/n{num}");
        node.mkdir(&dir).unwrap();
        for (file, value) in [
            ("ipv4_address", format!("127.0.0.{num}")),
            ("ipv4_port", port.to_string()),
            ("num", num.to_string()),
        ] {
            node.write(format!("{dir}/{file}"), value).unwrap();
        }
    }
    node.write("cluster/c/node/n1/local", "1").unwrap();
    node.mkdir("cluster/c/heartbeat/R").unwrap();
    for num in [1, 2] {
        node.symlink(format!("cluster/c/node/n{num}"), format!("cluster/c/heartbeat/R/n{num}")).unwrap();
    }
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0))).unwrap();
    connect(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap();
    let mut stream = ready(TcpStream::from(socket));
    // The other side's is what this side has to say, too.
    let mut handshake = [0; HANDSHAKE_BYTES];
    stream.read_exact(&mut handshake).unwrap();
    stream.write_all(&handshake).unwrap();
    (node, stream)
}
