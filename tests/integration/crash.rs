//! The daemon is killed while processes use its mount.

use std::time::Duration;

use rustix::io::Errno;

use crate::events::Watcher;
use crate::workers::{End, Workers};
use crate::world::{World, can_mount};

#[test]
fn nobody_hangs_when_the_daemon_is_killed_and_the_next_one_starts_empty() {
    if !can_mount() {
        return;
    }
    let mut world = World::new();
    for seed in 0..3 {
        let watcher = Watcher::start(world.client());
        let mut workers = Workers::start(world.root(), 8, seed);
        workers.work(Duration::from_secs(1), &watcher);
        world.kill();
        workers.wait(None);
        for end in workers.ends() {
            let Some(End::Gone(error)) = end else { panic!("ended: {end:?}") };
            assert!([Errno::NOTCONN, Errno::CONNABORTED, Errno::NOENT].contains(&error), "{error}");
        }
        world.again();
        let names: Vec<_> =
            std::fs::read_dir(world.at("cluster")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["heartbeat_available_modes", "heartbeat_mode"]);
        world.fill();
    }
}
