//! From a write to `dev` to a steady region, and to its end.

use super::*;
use crate::event::View;
use crate::heartbeat::Edge;
use crate::testing::Wish;

fn time_to_steady(world: &mut World) -> u64 {
    let request = world.start();
    for ms in (0..60_000).step_by(100) {
        if world.bench.done(request).is_some() {
            assert_eq!(world.bench.done(request), Some(Ok(())));
            return ms;
        }
        world.wait(100);
    }
    panic!("never steady");
}

#[test]
fn a_zeroed_slot_takes_four_periods_and_an_old_one_three() {
    assert_eq!(time_to_steady(&mut World::new()), 8000);
    let mut world = World::new();
    world.put(0, Block { seq: 5, node: 0, generation: 9, dead_ms: 62_000 });
    assert_eq!(time_to_steady(&mut world), 6000);
}

#[test]
fn the_only_region_of_global_heartbeat_takes_six_periods() {
    let mut world = World::new();
    world.bench.rmdir(REGION).unwrap();
    world.bench.write("cluster/c/heartbeat/mode", "global").unwrap();
    world.bench.mkdir(REGION).unwrap();
    for (file, value) in [("block_bytes", "512"), ("start_block", "1"), ("blocks", "8")] {
        world.bench.write(&alloc::format!("{REGION}/{file}"), value).unwrap();
    }
    assert_eq!(time_to_steady(&mut world), 12_000);
    assert_eq!(world.bench.read_in(View::Debugfs, "o2hb/live_regions"), "0 \n");
    assert_eq!(world.bench.read_in(View::Debugfs, "o2hb/quorum_regions"), "\n");
    world.wait(2000);
    assert_eq!(world.bench.read_in(View::Debugfs, "o2hb/quorum_regions"), "0 \n");
}

#[test]
fn a_running_region_shows_device_and_thread_and_who_is_up() {
    let mut world = World::new();
    world.bench.subscribe(Wish::all(1)).unwrap();
    time_to_steady(&mut world);
    assert_eq!(world.bench.read(&alloc::format!("{REGION}/dev")), "vda\n");
    assert_eq!(world.bench.read(&alloc::format!("{REGION}/pid")), "77\n");
    assert_eq!(world.bench.read_in(View::Debugfs, "o2hb/livenodes"), "0 \n");
    assert_eq!(world.bench.told_short(), [(1, Edge::Up, 0)]);
    assert_eq!(world.bench.write(&alloc::format!("{REGION}/blocks"), "9"), Err(Refusal::RegionStarted));
    assert_eq!(world.bench.write(&alloc::format!("{REGION}/dev"), "3"), Err(Refusal::RegionStarted));
    assert_eq!(world.bench.rmdir("cluster/c/node/n0"), Err(Refusal::Depended));
    let before = world.slot(0).block;
    let request = world.bench.ask_rmdir(REGION);
    assert_eq!(world.bench.done(request), None);
    world.serve();
    // The answer waits for the last block and for the consumer.
    assert_eq!(world.bench.done(request), None);
    world.bench.delivered(1, 0);
    world.bench.delivered(1, 1);
    assert_eq!(world.bench.done(request), Some(Ok(())));
    let last = world.slot(0).block;
    assert_eq!((last.generation, last.node, last.dead_ms), (0, 0, before.dead_ms));
    assert_eq!(world.bench.rmdir("cluster/c/node/n0"), Ok(()));
}

#[test]
fn another_node_comes_and_falls_silent() {
    let mut world = World::new();
    time_to_steady(&mut world);
    let alive = |seq| Block { seq, node: 2, generation: 3, dead_ms: 62_000 };
    for seq in 1..=3 {
        world.put(2, alive(seq));
        world.wait(2000);
    }
    assert_eq!(world.bench.read_in(View::Debugfs, "o2hb/R/livenodes"), "0 2 \n");
    world.wait(2000 * 30);
    assert_eq!(world.bench.read_in(View::Debugfs, "o2hb/livenodes"), "0 2 \n");
    world.wait(2000);
    assert_eq!(world.bench.read_in(View::Debugfs, "o2hb/livenodes"), "0 \n");
}

#[test]
fn who_was_paused_for_too_long_fences_before_it_writes() {
    let mut world = World::new();
    time_to_steady(&mut world);
    world.wait(2000);
    let before = world.slot(0);
    world.bench.wait(60_001);
    world.serve();
    let fences = world.bench.log.iter().filter(|action| matches!(action, Action::Fence { .. })).count();
    assert_eq!((fences, world.slot(0)), (1, before));
    world.wait(10_000);
    assert_eq!(world.slot(0), before);
}

#[test]
fn a_killed_writer_leaves_the_region_as_it_was() {
    let mut world = World::new();
    let request = world.start();
    world.wait(3000);
    world.bench.input(Input::Cancel(request));
    world.serve();
    assert_eq!(world.bench.done(request), Some(Err(Refusal::StartInterrupted)));
    assert_eq!(world.bench.read(&alloc::format!("{REGION}/pid")), String::new());
    assert_ne!(world.slot(0).block.generation, 0);
    // The common tick ends with its last region.
    world.wait(2000);
    assert_eq!(time_to_steady(&mut world), 6000);
}
