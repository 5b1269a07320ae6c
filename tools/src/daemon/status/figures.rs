//! How long a status takes, and how long it holds the monitor. `cargo test --release -p uo2cb --lib figures -- --ignored
//! --nocapture`. Nothing depends on the time that anything takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::PART;
use crate::control::Client;
use crate::daemon::node::Node;

fn took<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let result = work();
    (begin.elapsed(), result)
}

/// The processor's time of this thread, which is the same whatever else the machine does.
fn busy() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.try_into().unwrap())
}

fn busy_with<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begin = busy();
    let result = work();
    (busy() - begin, result)
}

fn best<T>(mut work: impl FnMut() -> T) -> Duration {
    (0..5).map(|_| took(&mut work).0).min().unwrap_or_default()
}

/// Regions in each of which so many nodes are up.
fn node(regions: usize, nodes: usize, socket: &std::path::Path) -> Node {
    let node = Node::builder().user_heartbeat().control(socket).start().unwrap();
    node.mkdir("cluster/c").unwrap();
    for num in 0..nodes {
        let dir = format!("cluster/c/node/node{num}");
        node.mkdir(&dir).unwrap();
        for (file, value) in [
            ("ipv4_address", format!("10.0.{}.{}", num / 250, num % 250 + 1)),
            ("ipv4_port", "7777".into()),
            ("num", num.to_string()),
        ] {
            node.write(format!("{dir}/{file}"), value).unwrap();
        }
    }
    let (making, ()) = took(|| {
        for region in 0..regions {
            node.mkdir(format!("cluster/c/heartbeat/region{region}")).unwrap();
        }
    });
    let (linking, ()) = took(|| {
        for region in 0..regions {
            for num in 0..nodes {
                let (target, dir) =
                    (format!("cluster/c/node/node{num}"), format!("cluster/c/heartbeat/region{region}"));
                node.symlink(target, format!("{dir}/node{num}")).unwrap();
            }
        }
    });
    println!("{regions} regions x {nodes} nodes: regions made in {making:?}, links in {linking:?}");
    node
}

fn measure(regions: usize, nodes: usize) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let node = node(regions, nodes, &socket);
    let monitor = node.monitor();
    let (mut holds, mut longest, mut parts, mut after) = (Duration::ZERO, Duration::ZERO, 0, None);
    loop {
        let mut inside = Duration::ZERO;
        let part = monitor.read(|engine| {
            let (time, part) = busy_with(|| engine.regions_after(after, PART));
            inside = time;
            part
        });
        (holds, longest, parts) = (holds + inside, longest.max(inside), parts + 1);
        let Some(last) = part.last() else { break };
        after = Some(last.id);
    }
    assert_eq!(parts, regions / PART + 1 + usize::from(regions % PART > 0));
    let made = best(|| super::line(monitor, serde_json::Map::new()));
    let (busy, line) =
        (0..5).map(|_| busy_with(|| super::line(monitor, serde_json::Map::new()))).min().unwrap();
    let asked = best(|| Client::connect(&socket).unwrap().status().unwrap());
    let status = Client::connect(&socket).unwrap().status().unwrap();
    let shown = status["regions"].as_array().unwrap();
    assert_eq!(shown.len(), regions);
    assert!(shown.iter().all(|region| region["up"].as_array().unwrap().len() == nodes));
    let list = || assert_eq!(node.list("cluster/c/node").unwrap().len(), nodes);
    let alone = best(list);
    let (done, mut beside) = (AtomicBool::new(false), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            drop(super::line(monitor, serde_json::Map::new()));
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            beside.push(took(list).0);
        }
    });
    let worst = beside.iter().max().copied().unwrap_or_default();
    beside.sort();
    let median = beside.get(beside.len() / 2).copied().unwrap_or_default();
    println!(
        "  monitor held {holds:?} in {parts} parts, longest {longest:?}; line of {} bytes made in {busy:?} of processor time, \
         {made:?} in all; \
         client's status {asked:?}\n  ls alone {alone:?}, beside {} times: median {median:?}, longest {worst:?}",
        line.len(),
        beside.len()
    );
}

#[test]
#[ignore = "takes minutes without --release"]
fn figures_of_many_nodes() {
    measure(1000, 255);
}

#[test]
#[ignore = "takes minutes without --release"]
fn figures_of_many_regions() {
    measure(100_000, 0);
}
