//! Nodes in process: the daemon as it is, without mounts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use uo2cb::Node;

use super::watch::Watch;
use super::{BEATS, PERIOD, loops, report};

/// A cluster of so many nodes, of which the first is this one.
fn cluster(nodes: usize) -> Node {
    let node = Node::builder().start().unwrap();
    node.mkdir("cluster/c").unwrap();
    let port = uo2cb_test_support::port::reserve();
    for num in 0..nodes {
        let dir = format!("cluster/c/node/n{num}");
        node.mkdir(&dir).unwrap();
        let address = if num == 0 { "127.0.0.1".into() } else { format!("10.0.0.{num}") };
        for (file, value) in
            [("ipv4_address", address), ("ipv4_port", port.to_string()), ("num", num.to_string())]
        {
            node.write(format!("{dir}/{file}"), value).unwrap();
        }
    }
    node.write("cluster/c/node/n0/local", "1").unwrap();
    node
}

/// Starts regions on files, all at once, and waits until all are steady.
fn regions(node: &Node, paths: &[PathBuf]) {
    thread::scope(|scope| {
        for (number, path) in paths.iter().enumerate() {
            let region = format!("cluster/c/heartbeat/R{number}");
            node.mkdir(&region).unwrap();
            for (file, value) in [("block_bytes", "512"), ("start_block", "1"), ("blocks", "255")] {
                node.write(format!("{region}/{file}"), value).unwrap();
            }
            // Memory is locked once the first disk is there: small stacks.
            let start = move || node.start_region(region, path).unwrap();
            thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, start).unwrap();
        }
    });
}

/// One node on many disks: what it spends in a steady state.
pub(crate) fn one(paths: &[PathBuf], nodes: usize) {
    let node = cluster(nodes);
    regions(&node, paths);
    // Some of the files only: being watched costs something, too.
    let mut watch = Watch::new(&paths[..4]);
    // Until all have joined the common tick, by one shorter period each.
    watch.run(PERIOD * 2);
    watch.forget();
    let (before, threads) = (loops::cpu(), by_thread());
    watch.run(PERIOD * BEATS as u32);
    let spent = loops::cpu() - before;
    let error = watch.mean_error(0..4);
    let threads: Vec<String> = by_thread()
        .into_iter()
        .map(|(name, ticks)| (ticks - threads.get(&name).copied().unwrap_or(0), name))
        .filter(|(ticks, _)| *ticks > 0)
        .map(|(ticks, name)| format!("{name} {} ms", ticks * 10))
        .collect();
    let up = node.status().regions.iter().filter(|region| region.up.len() == 1).count();
    assert_eq!(up, paths.len(), "a node that is up in all its regions");
    report(spent, &format!("{:+.4} %, {}", 100.0 * error, threads.join(", ")));
    // A clean end of very many regions takes its time, and is not what is measured.
    std::process::exit(0);
}

/// CPU time of this process's threads by name, in the clock ticks of /proc: of 10 ms.
fn by_thread() -> BTreeMap<String, u64> {
    let mut times = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let Ok(stat) = fs::read_to_string(task.unwrap().path().join("stat")) else { continue };
        let (name, rest) = stat.rsplit_once(") ").unwrap();
        let name = name.split_once('(').unwrap().1.split(['/', '-']).next().unwrap();
        let fields: Vec<u64> = rest.split(' ').skip(11).take(2).map(|field| field.parse().unwrap()).collect();
        *times.entry(name.to_owned()).or_default() += fields.iter().sum::<u64>();
    }
    times
}

/// Several nodes, each on a disk of its own, until standard input ends.
pub(crate) fn many(folder: &Path, count: usize) {
    let paths = loops::files(folder, count);
    let nodes: Vec<Node> = paths.iter().map(|_| cluster(2)).collect();
    thread::scope(|scope| {
        for (node, path) in nodes.iter().zip(&paths) {
            scope.spawn(|| regions(node, std::slice::from_ref(path)));
            // Not all at the same moment.
            thread::sleep(Duration::from_millis(170));
        }
    });
    println!("{}", if real_time() { "real-time priority" } else { "no real-time priority" });
    let _ = std::io::stdin().read_line(&mut String::new());
}

/// Whether the threads of this process that beat are real-time ones.
fn real_time() -> bool {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks.flatten().any(|task| {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let id: i32 = task.file_name().to_str().unwrap().parse().unwrap();
        // SAFETY: takes no pointers.
        name.trim() == "beats"
            && unsafe { libc::sched_getscheduler(id) } & !libc::SCHED_RESET_ON_FORK == libc::SCHED_RR
    })
}
