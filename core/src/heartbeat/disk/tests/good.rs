//! Whether the beats are good, as a watchdog asks it: it must say beforehand when the write timeout will fence.

use super::*;
use crate::FenceMethod;

/// Milliseconds from now until this node will fence itself, and until others count it as dead.
fn left(world: &World) -> Option<[u128; 2]> {
    let Beats::Good(good) = world.bench.engine.beats() else { return None };
    let now = Instant::at(world.bench.mono);
    Some([good.until, good.dead].map(|at| at.since(now).as_millis()))
}

/// Removes a region; its last block is written.
fn remove(world: &mut World, region: char) {
    let rmdir = world.bench.ask_rmdir(&World::path(region));
    world.serve();
    assert_eq!(world.bench.done(rmdir), Some(Ok(())));
}

/// Waits for the fence, which must come exactly when it was announced.
fn fenced_when_announced(world: &mut World, what: &str) {
    let [until, _] = left(world).unwrap();
    world.wait(until as u64 - 1);
    assert_eq!(world.fences(), 0, "{what}");
    assert!(matches!(world.bench.engine.beats(), Beats::Good(_)), "{what}");
    world.wait(1);
    assert_eq!((world.fences(), world.bench.engine.beats()), (1, Beats::Fenced), "{what}");
    world.wait(100_000);
    assert_eq!(world.bench.engine.beats(), Beats::Fenced, "{what}");
}

#[test]
fn nobody_counts_on_a_node_before_its_first_region_is_steady() {
    let mut world = World::new();
    assert_eq!(world.bench.engine.beats(), Beats::Unwatched);
    let request = world.start();
    while world.bench.done(request).is_none() {
        assert_eq!(world.bench.engine.beats(), Beats::Unwatched);
        world.wait(100);
    }
    let Beats::Good(good) = world.bench.engine.beats() else { panic!() };
    assert_eq!((good.timeout, good.dead.since(good.until)), (Duration::from_secs(60), PERIOD));
    // A start that fails changes nothing.
    world.region('S');
    world.fault.insert('S', Fault::Write);
    world.start_of('S');
    world.wait(40_000);
    assert!(left(&world).unwrap()[0] > 58_000);
}

#[test]
fn every_good_beat_moves_the_end() {
    let mut world = World::new();
    world.steady('R');
    for _ in 0..5 {
        world.wait(2000);
        assert_eq!(left(&world), Some([60_000, 62_000]));
    }
    // Who is alone gives itself time for ever.
    world.beats_of('R', 1, 9, 1..4);
    world.fault.insert('R', Fault::Hang);
    world.wait(30_000);
    assert_eq!(left(&world), Some([30_000, 32_000]));
    fenced_when_announced(&mut world, "local");
}

/// Whichever region is silent for too long ends the node.
#[test]
fn the_region_that_has_been_silent_for_longest_counts_until_it_is_removed() {
    let mut world = World::new();
    world.region('S');
    world.steady('R');
    world.steady('S');
    world.wait(4000);
    world.fault.insert('S', Fault::Write);
    world.wait(20_000);
    let [silent, _] = left(&world).unwrap();
    assert!((38_000..=42_000).contains(&silent), "{silent}");
    // Its last block is lost, too: others see it die there, and this node is alive in R.
    remove(&mut world, 'S');
    assert!(left(&world).unwrap()[0] > 58_000);
    world.wait(100_000);
    assert_eq!(world.fences(), 0);
    remove(&mut world, 'R');
    assert_eq!(world.bench.engine.beats(), Beats::Unwatched);
    world.region('T');
    world.steady('T');
    assert!(left(&world).is_some());
}

#[test]
fn without_a_local_node_and_after_a_clean_end_nobody_counts_on_it() {
    let mut world = World::new();
    world.steady('R');
    world.bench.write("cluster/c/node/n0/local", "0").unwrap();
    world.serve();
    assert_eq!(world.bench.engine.beats(), Beats::Unwatched);
    let mut world = World::new();
    world.steady('R');
    world.bench.input(Input::Shutdown);
    assert_eq!(world.bench.engine.beats(), Beats::Unwatched);
    world.serve();
    assert_eq!(
        (world.bench.engine.beats(), world.bench.log.last()),
        (Beats::Unwatched, Some(&Action::Stopped))
    );
}

/// All regions steady and in the quorum, at one tick.
fn quorum(regions: &str) -> World {
    let mut world = World::global(regions);
    regions.chars().for_each(|region| assert!(world.steady(region) > 0));
    world.wait(6000);
    world
}

#[test]
fn in_global_mode_half_of_the_quorum_regions_must_be_silent() {
    // One after the other, 10 s between them; which one is the end.
    for (regions, failing, last) in
        [("A", "A", 0), ("ABE", "AB", 1), ("ABE", "EAB", 1), ("ABEH", "HE", 1), ("ABEHI", "IHE", 2)]
    {
        let what = alloc::format!("{failing} of {regions}");
        let mut world = quorum(regions);
        for (at, region) in failing.chars().enumerate() {
            let [before, _] = left(&world).unwrap();
            assert!(before > 57_000 || at > last, "{what}: {before}");
            world.fault.insert(region, Fault::Write);
            world.wait(10_000);
        }
        fenced_when_announced(&mut world, &what);
    }
}

#[test]
fn one_failed_region_of_three_leaves_the_others_to_count() {
    let mut world = quorum("ABE");
    world.fault.insert('A', Fault::Write);
    world.wait(100_000);
    assert_eq!((world.fences(), world.debug("failed_regions")), (0, "0 \n".into()));
    assert!(left(&world).unwrap()[0] > 57_000);
    // The second one decides: of the other two it is the one that has been silent for longer.
    world.fault.insert('B', Fault::Write);
    world.wait(30_000);
    let [silent, _] = left(&world).unwrap();
    assert!((28_000..=32_000).contains(&silent), "{silent}");
    // Good again, so the failed one may fail again.
    world.fault.remove(&'A');
    world.wait(4000);
    assert!(left(&world).unwrap()[0] > 57_000);
    world.fault.insert('A', Fault::Write);
    fenced_when_announced(&mut world, "A fails again");
}

#[test]
fn a_region_outside_the_quorum_does_not_count() {
    let mut world = quorum("ABE");
    world.region('X');
    world.steady('X');
    // It is not in the quorum before its next beat.
    assert_eq!(world.debug("quorum_regions"), "0 1 2 \n");
    world.fault.insert('X', Fault::Write);
    world.wait(100_000);
    assert!(left(&world).unwrap()[0] > 57_000);
    assert_eq!(world.fences(), 0);
}

/// Those with a good beat are removed: nobody has heard of this node for longer than others wait.
#[test]
fn where_only_failed_regions_are_left_the_end_has_passed() {
    let mut world = quorum("ABE");
    world.fault.insert('A', Fault::Write);
    world.wait(100_000);
    remove(&mut world, 'B');
    assert!(left(&world).unwrap()[0] > 57_000, "E still beats");
    remove(&mut world, 'E');
    assert_eq!(left(&world), Some([0, 0]));
    remove(&mut world, 'A');
    assert_eq!(world.bench.engine.beats(), Beats::Unwatched);
}

#[test]
fn links_of_the_user_method_are_nothing_to_watch() {
    let mut bench = Bench::user();
    assert!(!bench.engine.own().up);
    let request = bench.ask_link("cluster/c/node/n0", "cluster/c/heartbeat/R/n0");
    assert_eq!((bench.done(request), bench.engine.beats()), (Some(Ok(())), Beats::Unwatched));
    // But others may count on it.
    let own = bench.engine.own();
    assert_eq!((own.cluster.unwrap().to_string(), own.node.unwrap().to_string()), ("c".into(), "n0".into()));
    assert_eq!((own.num, own.up, own.fence_method), (NodeNum::new(0), true, FenceMethod::Reset));
    bench.write("cluster/c/fence_method", "panic\n").unwrap();
    assert_eq!(bench.engine.own().fence_method, FenceMethod::Panic);
}
