//! Random operations on clusters, nodes and regions.

use super::{FLAGS, MODES, descriptor_line};
use crate::rng::Rng;

const CLUSTERS: &[&str] = &["c1", "c1", "c1", "c1", "c1", "c1", "c1", "c2"];
const NODES: &[&str] = &["n0", "n1", "n2"];
const REGIONS: &[&str] = &["R1", "R2"];
const CLUSTER_ATTRIBUTES: &[&str] =
    &["idle_timeout_ms", "keepalive_delay_ms", "reconnect_delay_ms", "fence_method"];
const NODE_ATTRIBUTES: &[&str] = &["num", "ipv4_port", "ipv4_address", "local", "local"];
const HEARTBEAT_ATTRIBUTES: &[&str] = &["dead_threshold", "mode"];
const REGION_ATTRIBUTES: &[&str] = &["block_bytes", "start_block", "blocks", "dev", "pid"];
const NUMBERS: &[&str] = &[
    "0", "1", "2", "1%0A", "3%0A", "0x10", "010", "254", "255", "256", "junk", "%0A", "-1", "+1", "5%20",
    "1x",
];
const TIMEOUTS: &[&str] = &[
    "1999",
    "2000",
    "2001",
    "2000%0A",
    "29999",
    "30000",
    "30001",
    "30000%0A",
    "40000",
    "1",
    "4294967294",
    "4294967295",
    "18446744073709581616",
];
const METHODS: &[&str] = &["reset%0A", "panic%0A", "reset", "PANIC%0A", "res%0A", "panic%0A%0A"];
const ADDRESSES: &[&str] = &[
    "127.0.0.1",
    "127.0.0.2",
    "10.77.0.1",
    "127.0.0.1%0A",
    "127.0.0.3x",
    "256.0.0.1",
    "1.2.3",
    "0.0.0.0",
    "010.0.0.1",
];
const PORTS: &[&str] = &["7777", "7778", "7777%0A", "65534", "65535", "0"];
const THRESHOLDS: &[&str] = &["2", "3", "7", "31", "31%0A", "010", "0x10", "4294967299"];
const HEARTBEAT_MODES: &[&str] = &["local", "global", "g", "LOCAL%0A", "globalx", "glob%0A", "l%0A%0A"];
const BLOCK_SIZES: &[&str] = &["511", "512", "1000", "1024", "4096", "4097", "512%0A"];

/// Something to meet from the first operation on, and every descriptor open.
pub(super) fn start(rng: &mut Rng) -> Vec<String> {
    let made = ["cluster/c1", "cluster/c1/node/n0", "cluster/c1/heartbeat/R1"];
    let mut lines: Vec<String> = made.iter().map(|path| format!("mkdir {path}")).collect();
    for descriptor in super::DESCRIPTORS {
        let name =
            rng.pick(&["reconnect_delay_ms", "node/n0/num", "node/n0/ipv4_port", "heartbeat/R1/blocks"]);
        lines.push(format!("open {descriptor} cluster/c1/{name} rw"));
    }
    lines
}

/// One operation, or a few that belong together.
pub(super) fn step(rng: &mut Rng, lines: &mut Vec<String>) {
    match rng.below(100) {
        0..10 => lines.push(format!("mkdir {}", made(rng))),
        10..16 => lines.push(format!("rmdir {}", made(rng))),
        16..20 => lines.push(format!("{} {}", rng.pick(&["mkdir", "rmdir", "unlink", "create"]), any(rng))),
        20..24 => lines.push(format!(
            "{} {}",
            rng.pick(&["stat", "lstat", "readdir", "readlink", "chdir"]),
            any(rng)
        )),
        24..30 => lines.push(format!("stat {}", any(rng))),
        30..36 => lines.push(format!("readdir {}", directory(rng))),
        36..46 => lines.push(format!("cat {}", attribute(rng).0)),
        46..62 => lines.push(put(rng)),
        62..68 => node(rng, lines),
        68..75 => lines.push(open(rng)),
        75..88 => lines.push(descriptor_line(rng, NUMBERS, super::WHENCES)),
        88..91 => lines.push(format!("chmod {} {}", any(rng), rng.pick(MODES))),
        91..93 => lines.push(format!("access {} {}", any(rng), rng.pick(&["f", "r", "w", "rw", "x"]))),
        93..97 => {
            let verb = rng.pick(&["mkdir", "rmdir", "stat", "readdir", "cat", "unlink"]);
            lines.push(format!("as 1000 {verb} {}", any(rng)));
        }
        97 => lines.push(format!("rename {} {}", any(rng), any(rng))),
        98 => lines.push(format!("symlink @/{} {}", any(rng), any(rng))),
        _ => lines.push(format!("truncate {} {}", any(rng), rng.pick(&["0", "10", "4096"]))),
    }
    // Wherever a list has gone, paths are meant from the root.
    if lines.last().is_some_and(|line| line.starts_with("chdir") || line.starts_with("fchdir")) {
        lines.push("stat .".to_owned());
        lines.push("chdir @".to_owned());
    }
}

/// Something that mkdir can make.
fn made(rng: &mut Rng) -> String {
    let cluster = rng.pick(CLUSTERS);
    match rng.below(6) {
        0 => format!("cluster/{cluster}"),
        1..4 => format!("cluster/{cluster}/node/{}", rng.pick(NODES)),
        _ => format!("cluster/{cluster}/heartbeat/{}", rng.pick(REGIONS)),
    }
}

fn directory(rng: &mut Rng) -> String {
    let cluster = rng.pick(CLUSTERS);
    match rng.below(8) {
        0 => ".".to_owned(),
        1 => "cluster".to_owned(),
        2 => format!("cluster/{cluster}/node"),
        3 => format!("cluster/{cluster}/heartbeat"),
        _ => made(rng),
    }
}

/// An attribute and the values that are interesting for it.
fn attribute(rng: &mut Rng) -> (String, &'static [&'static str]) {
    let cluster = rng.pick(CLUSTERS);
    let (path, name) = match rng.below(10) {
        0..3 => (String::new(), rng.pick(CLUSTER_ATTRIBUTES)),
        3..7 => (format!("node/{}/", rng.pick(NODES)), rng.pick(NODE_ATTRIBUTES)),
        7 => ("heartbeat/".to_owned(), rng.pick(HEARTBEAT_ATTRIBUTES)),
        _ => (format!("heartbeat/{}/", rng.pick(REGIONS)), rng.pick(REGION_ATTRIBUTES)),
    };
    let values = match name {
        "idle_timeout_ms" | "keepalive_delay_ms" | "reconnect_delay_ms" => TIMEOUTS,
        "fence_method" => METHODS,
        "ipv4_address" => ADDRESSES,
        "ipv4_port" => PORTS,
        "dead_threshold" => THRESHOLDS,
        "mode" => HEARTBEAT_MODES,
        "block_bytes" => BLOCK_SIZES,
        _ => NUMBERS,
    };
    (format!("cluster/{cluster}/{path}{name}"), values)
}

fn put(rng: &mut Rng) -> String {
    let (path, values) = attribute(rng);
    let values = if rng.chance(85) { values } else { NUMBERS };
    format!("put {path} {}", rng.pick(values))
}

/// Mostly attributes as they are meant to be opened.
fn open(rng: &mut Rng) -> String {
    let descriptor = rng.pick(super::DESCRIPTORS);
    if rng.chance(60) {
        format!("open {descriptor} {} {}", attribute(rng).0, rng.pick(&["r", "rw", "rw"]))
    } else {
        format!("open {descriptor} {} {}", any(rng), rng.pick(FLAGS))
    }
}

/// A node with everything set: without help, chance finds that order too seldom.
fn node(rng: &mut Rng, lines: &mut Vec<String>) {
    let node = format!("cluster/c1/node/{}", rng.pick(NODES));
    lines.push("mkdir cluster/c1".to_owned());
    lines.push(format!("mkdir {node}"));
    lines.push(format!("put {node}/ipv4_port {}", rng.pick(&["7777", "7778"])));
    lines.push(format!("put {node}/ipv4_address {}", rng.pick(&["127.0.0.1", "127.0.0.2", "10.77.0.1"])));
    lines.push(format!("put {node}/num {}", rng.pick(&["0", "1", "2"])));
    if rng.chance(50) {
        lines.push(format!("put {node}/local 1"));
    }
}

fn any(rng: &mut Rng) -> String {
    match rng.below(10) {
        0..4 => made(rng),
        4..6 => directory(rng),
        6..9 => attribute(rng).0,
        _ => format!("{}/x", directory(rng)),
    }
}
