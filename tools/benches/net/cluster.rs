//! A quiet cluster on one machine.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use uo2cb::Node;

use super::{median, process};

const NODES: usize = 32;
/// How long nothing happens while it is measured.
const QUIET: Duration = Duration::from_secs(30);
/// Turns of each kind.
const TURNS: usize = 3;

pub(super) fn measure() {
    let mut connected = Vec::new();
    let mut alone = Vec::new();
    for _ in 0..TURNS {
        for (role, times) in [("connected", &mut connected), ("alone", &mut alone)] {
            times.push(process(role).parse::<f64>().unwrap());
        }
    }
    let (connected, alone) = (median(&mut connected), median(&mut alone));
    println!(
        "\n{NODES} quiet nodes on one disk, processor of each, median of {TURNS} turns of {} s:",
        QUIET.as_secs()
    );
    println!("  without connections             {alone:.3} %");
    println!("  with {:>4} connections          {connected:.3} %", NODES * (NODES - 1) / 2);
    println!("  each node's 31 connections      {:.3} %, times {:.2}", connected - alone, connected / alone);
}

/// Prints the percentage of a processor that each node took.
pub(super) fn play(connected: bool) {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::write(&disk, vec![0; 512 * (NODES + 1)]).unwrap();
    let port = 20_000 + u16::try_from(std::process::id() % 20_000).unwrap();
    let nodes: Vec<_> = (0..NODES).map(|own| configured(own, port, connected)).collect();
    thread::scope(|scope| {
        for node in &nodes {
            scope.spawn(|| node.start_region("cluster/c/heartbeat/R", &disk).unwrap());
        }
    });
    let peers = if connected { NODES - 1 } else { 0 };
    let deadline = Instant::now() + Duration::from_secs(60);
    let ready = |node: &Node| {
        let status = node.status();
        let count = status.quorum.map_or(0, |quorum| quorum.connected.iter().count());
        status.cluster.is_some_and(|cluster| cluster.up.iter().count() == NODES) && count == peers + 1
    };
    while !nodes.iter().all(ready) {
        assert!(Instant::now() < deadline, "not all are up and connected");
        thread::sleep(Duration::from_millis(100));
    }
    let before = processor();
    thread::sleep(QUIET);
    let spent = processor() - before;
    assert!(nodes.iter().all(ready));
    println!("{}", spent.as_secs_f64() * 100.0 / QUIET.as_secs_f64() / NODES as f64);
}

/// A node that knows all others; without connections at ports where nobody listens, and it tries only once.
fn configured(own: usize, port: u16, connected: bool) -> Node {
    let node = Node::builder().start().unwrap();
    let write = |file: &str, value: &str| {
        node.write(Path::new("cluster/c").join(file), value).unwrap();
    };
    node.mkdir("cluster/c").unwrap();
    for num in 0..NODES {
        let dir = format!("node/n{num}");
        node.mkdir(Path::new("cluster/c").join(&dir)).unwrap();
        write(&format!("{dir}/ipv4_address"), &format!("127.0.1.{}", num + 1));
        let port = if connected || num == own { port } else { port + 1 };
        write(&format!("{dir}/ipv4_port"), &port.to_string());
        write(&format!("{dir}/num"), &num.to_string());
    }
    if !connected {
        write("reconnect_delay_ms", "4000000000");
    }
    write(&format!("node/n{own}/local"), "1");
    node.mkdir("cluster/c/heartbeat/R").unwrap();
    for (file, value) in [("block_bytes", "512"), ("start_block", "1"), ("blocks", &NODES.to_string())] {
        write(&format!("heartbeat/R/{file}"), value);
    }
    node
}

fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}
