//! Eight processes, killed at random; at the end the tree, the events and the status agree.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use uo2cb_tests::stress::{SHARED, SHARED_NODE};

use crate::events::{Member, Watcher};
use crate::workers::{End, Workers};
use crate::world::{World, can_mount};

/// How long, in seconds: `UO2CB_STRESS_SECONDS`, or this.
const SECONDS: u64 = 60;
const PROCESSES: usize = 8;

#[test]
fn tree_events_and_status_agree_after_many_processes() {
    if !can_mount() {
        return;
    }
    let seconds = std::env::var("UO2CB_STRESS_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(SECONDS));
    let seed = std::env::var("UO2CB_STRESS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let world = World::new();
    let watcher = Watcher::start(world.client());
    let mut workers = Workers::start(world.root(), PROCESSES, seed);
    // At first buffers and caches grow.
    workers.work(time / 4, &watcher);
    let start = world.memory();
    workers.work(time - time / 4, &watcher);
    let end = world.memory();
    workers.end(&watcher);
    assert_eq!(workers.ends(), vec![Some(End::Asked); PROCESSES]);
    watcher.check();

    let mut tree = BTreeSet::new();
    walk(&world.root(), &world.root(), &mut tree);
    let links: BTreeSet<Member> = tree.iter().filter_map(|name| link(name)).collect();
    let mut expected = workers.names();
    expected
        .extend(["cluster", "cluster/c", "cluster/c/node", "cluster/c/heartbeat", SHARED].map(str::to_owned));
    expected.extend([SHARED_NODE.to_owned(), format!("{SHARED_NODE}#")]);
    // Shared by all: only the events tell whether it exists.
    let common = format!("{SHARED}/s1");
    if tree.contains(&common) {
        expected.insert(common);
    }
    assert_eq!(tree, expected);
    let told = watcher.told.lock().unwrap();
    assert_eq!(told.up, links, "events, and links in the tree");

    let status = world.client().status().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let up = |region: &serde_json::Value| -> Vec<Member> {
        let nodes = region["up"].as_array().unwrap().iter();
        nodes.map(|node| (text(&region["name"]), text(&node["name"]))).collect()
    };
    let up: BTreeSet<Member> = status["regions"].as_array().unwrap().iter().flat_map(up).collect();
    assert_eq!(up, links, "status, and links in the tree");
    assert_eq!(status["waiting"], 0, "calls without an answer");
    println!(
        "{} calls, {} events, {} kills ({} in a call), slowest call {:?}, memory {start} to {end} KiB",
        workers.calls(),
        told.events,
        workers.kills,
        workers.cuts,
        workers.slowest
    );
    assert!(end < start + 8 * 1024, "the daemon grew from {start} to {end} KiB");
}

/// Directories and links below `dir`; `NODE#` for a node's number, and links must read as they should.
fn walk(root: &Path, dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if kind.is_dir() {
            walk(root, &path, found);
        } else if kind.is_symlink() {
            let last = name.rsplit('/').next().unwrap();
            let body = fs::read_link(&path).unwrap();
            assert_eq!(body, Path::new("../../../../cluster/c/node").join(last));
        } else {
            if entry.file_name() == "num" && fs::read_to_string(&path).unwrap() != "0\n" {
                found.insert(format!("{}#", name.trim_end_matches("/num")));
            }
            continue;
        }
        found.insert(name);
    }
}

fn link(name: &str) -> Option<Member> {
    let (region, node) = name.strip_prefix("cluster/c/heartbeat/")?.split_once('/')?;
    Some((region.to_owned(), node.to_owned()))
}
