//! Global mode: sets of regions, quorum, pins.

use super::*;

fn sets(world: &mut World) -> [String; 4] {
    ["live_regions", "quorum_regions", "failed_regions", "livenodes"].map(|file| world.debug(file))
}

fn pinned(world: &mut World, regions: &str) -> String {
    regions.chars().map(|region| world.debug(&alloc::format!("{region}/pinned")).remove(0)).collect()
}

/// All regions steady and in the quorum.
fn quorum(regions: &str) -> World {
    let mut world = World::global(regions);
    for region in regions.chars() {
        world.steady(region);
    }
    world.wait(4000);
    world
}

#[test]
fn the_sets_in_every_phase() {
    let mut world = World::global("AB");
    assert_eq!(sets(&mut world), ["\n", "\n", "\n", "\n"]);
    assert_eq!((world.debug("A/num"), world.debug("B/num")), ("0\n".into(), "1\n".into()));
    assert_eq!(world.steady('A'), 8000);
    assert_eq!(sets(&mut world), ["0 \n", "\n", "\n", "0 \n"]);
    assert_eq!(world.said("Heartbeat started on region A (vda)").len(), 1);
    assert!(world.said("quorum device").is_empty());
    world.wait(2000);
    assert_eq!(sets(&mut world), ["0 \n", "0 \n", "\n", "0 \n"]);
    assert_eq!(world.said("Region A (vda) is now a quorum device").len(), 1);
    assert_eq!(world.steady('B'), 6000);
    assert_eq!(sets(&mut world), ["0 1 \n", "0 \n", "\n", "0 \n"]);
    world.wait(2000);
    assert_eq!(sets(&mut world), ["0 1 \n", "0 1 \n", "\n", "0 \n"]);
    let rmdir = world.bench.ask_rmdir("cluster/c/heartbeat/A");
    world.serve();
    assert_eq!(world.bench.done(rmdir), Some(Ok(())));
    assert_eq!(sets(&mut world), ["1 \n", "1 \n", "\n", "0 \n"]);
    assert_eq!(world.said("Heartbeat stopped on region A (vda)").len(), 1);
}

#[test]
fn a_region_that_never_started_stops_without_a_device() {
    let mut world = World::global("AB");
    world.bench.rmdir("cluster/c/heartbeat/B").unwrap();
    assert_eq!(world.said("Heartbeat stopped on region B ((null))").len(), 1);
}

#[test]
fn local_mode_keeps_no_sets_and_says_nothing() {
    let mut world = World::new();
    world.steady('R');
    world.wait(4000);
    assert_eq!(sets(&mut world), ["\n", "\n", "\n", "0 \n"]);
    let rmdir = world.bench.ask_rmdir(REGION);
    world.serve();
    assert_eq!((world.bench.done(rmdir), world.said("Heartbeat").len()), (Some(Ok(())), 0));
}

#[test]
fn a_region_that_does_not_see_everybody_is_no_quorum_device() {
    let mut world = quorum("A");
    world.beats_of('A', 2, 3, 1..4);
    world.region('B');
    world.steady('B');
    world.beats_of('A', 2, 3, 4..10);
    assert_eq!(world.debug("quorum_regions"), "0 \n");
    for seq in 10..14 {
        world.put_in('B', 2, Block { seq, node: 2, generation: 3, dead_ms: 62_000 });
        world.beats_of('A', 2, 3, seq..seq + 1);
    }
    assert_eq!(world.debug("quorum_regions"), "0 1 \n");
}

#[test]
fn half_of_the_quorum_regions_must_fail_for_a_fence() {
    for (regions, failing, fences) in [("A", "A", 1), ("ABE", "A", 0), ("ABE", "AB", 1), ("ABEH", "AB", 1)] {
        let mut world = quorum(regions);
        world.fault.extend(failing.chars().map(|region| (region, Fault::Write)));
        world.wait(59_999);
        assert_eq!((world.fences(), world.debug("failed_regions")), (0, "\n".into()));
        world.wait(3);
        assert_eq!(world.fences(), fences, "{failing} of {regions}");
        assert!(!world.said("Heartbeat write timeout").is_empty());
    }
}

#[test]
fn a_region_outside_the_quorum_is_not_marked() {
    let mut world = quorum("ABE");
    world.region('X');
    world.beats_of('A', 2, 3, 1..4);
    let request = world.start_of('X');
    for seq in 4..10 {
        world.beats_of('A', 2, 3, seq..seq + 1);
    }
    assert_eq!((world.bench.done(request), world.debug("quorum_regions")), (Some(Ok(())), "0 1 2 \n".into()));
    world.fault.insert('X', Fault::Write);
    for seq in 10..50 {
        world.beats_of('A', 2, 3, seq..seq + 1);
    }
    assert_eq!((world.fences(), world.debug("failed_regions")), (0, "\n".into()));
    assert_eq!(world.said("Heartbeat write timeout").len(), 1);
}

#[test]
fn a_good_beat_clears_the_mark() {
    let mut world = quorum("ABE");
    world.fault.insert('A', Fault::Write);
    world.wait(60_000);
    assert_eq!((world.fences(), world.debug("failed_regions")), (0, "0 \n".into()));
    world.fault.clear();
    world.wait(4000);
    assert_eq!(world.debug("failed_regions"), "\n");
    world.fault.insert('B', Fault::Write);
    world.wait(70_000);
    assert_eq!((world.fences(), world.debug("failed_regions")), (0, "1 \n".into()));
}

#[test]
fn without_a_local_node_no_region_counts() {
    let mut world = quorum("AB");
    world.bench.write("cluster/c/node/n0/local", "0").unwrap();
    world.serve();
    assert_eq!(sets(&mut world), ["\n", "\n", "\n", "\n"]);
    assert_eq!(world.closed(), 2);
}

#[test]
fn a_consumer_pins_every_region_up_to_three_quorum_regions() {
    let mut world = quorum("ABE");
    assert_eq!(pinned(&mut world, "ABE"), "000");
    world.bench.subscribe(Registration::of(1, "B")).unwrap();
    world.bench.subscribe(Registration::of(2, "B")).unwrap();
    assert_eq!(pinned(&mut world, "ABE"), "111");
    assert_eq!(world.bench.rmdir("cluster/c/heartbeat/A"), Err(Refusal::Depended));
    // A fourth one, and all may go.
    world.region('H');
    world.steady('H');
    world.wait(4000);
    assert_eq!(pinned(&mut world, "ABEH"), "0000");
    let rmdir = world.bench.ask_rmdir("cluster/c/heartbeat/A");
    world.serve();
    // The remaining three are pinned again.
    assert_eq!((world.bench.done(rmdir), pinned(&mut world, "BEH")), (Some(Ok(())), "111".into()));
    assert_eq!(world.bench.rmdir("cluster/c/heartbeat/E"), Err(Refusal::Depended));
    world.bench.unsubscribe(1);
    assert_eq!(pinned(&mut world, "BEH"), "111");
    world.bench.unsubscribe(2);
    assert_eq!(pinned(&mut world, "BEH"), "000");
    let rmdir = world.bench.ask_rmdir("cluster/c/heartbeat/E");
    world.serve();
    assert_eq!(world.bench.done(rmdir), Some(Ok(())));
}

#[test]
fn a_pin_holds_when_a_waiting_removal_is_given_up() {
    let mut world = quorum("A");
    world.region('B');
    let start = world.start_of('B');
    let rmdir = world.bench.ask_rmdir("cluster/c/heartbeat/B");
    world.bench.subscribe(Registration::of(1, "A")).unwrap();
    world.bench.input(Input::Cancel(rmdir));
    assert_eq!(world.until_done(start).1, Ok(()));
    assert_eq!(pinned(&mut world, "AB"), "11");
    assert_eq!(world.bench.rmdir("cluster/c/heartbeat/B"), Err(Refusal::Depended));
}
