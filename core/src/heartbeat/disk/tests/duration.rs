//! How long a write to `dev` takes: the kernel's times, without its delays (`spec/heartbeat.md`, steady state).
//!
//! A start needs three good beats without a change of the node's membership, of which the first is at once; the first on
//! a slot whose seq is 0 is not good, and in the first live region the second one brings the own node up.

use super::*;

/// Removes a region that runs, and makes it again `pause` later.
fn again(world: &mut World, region: char, pause: u64) {
    let rmdir = world.bench.ask_rmdir(&World::path(region));
    world.serve();
    assert_eq!(world.bench.done(rmdir), Some(Ok(())));
    world.wait(pause);
    world.region(region);
}

fn old(world: &mut World, region: char) {
    world.put_in(region, 0, Block { seq: 5, node: 0, generation: 9, dead_ms: 62_000 });
}

/// R is steady, for a time that no beat divides.
fn beside(region: char) -> World {
    let mut world = World::new();
    world.steady('R');
    world.region(region);
    world.wait(700);
    world
}

#[test]
fn the_first_region() {
    assert_eq!(World::new().steady('R'), 8000);
    let mut world = World::new();
    old(&mut world, 'R');
    assert_eq!(world.steady('R'), 6000);
}

#[test]
fn the_only_region_removed_and_made_again() {
    for pause in [0, 300, 700, 1300, 1999, 2000, 2700, 60_000] {
        let mut world = World::new();
        world.steady('R');
        for _ in 0..3 {
            again(&mut world, 'R', pause);
            assert_eq!(world.steady('R'), 6000, "{pause}");
        }
    }
}

#[test]
fn a_region_beside_one_that_runs() {
    for pause in [0, 100, 300, 700, 1300, 1999] {
        let mut world = beside('S');
        world.wait(pause);
        assert_eq!(world.steady('S'), 6000, "{pause}");
        for _ in 0..3 {
            again(&mut world, 'S', pause);
            // The own node is up already, and the slot is not empty: no beat is lost.
            assert_eq!(world.steady('S'), 4000, "{pause}");
        }
        // The other goes, and comes again while the node is up.
        again(&mut world, 'R', pause);
        assert_eq!(world.steady('R'), 4000, "{pause}");
    }
}

#[test]
fn several_at_once_and_one_after_the_other() {
    let mut world = beside('S');
    world.region('T');
    let requests = ['S', 'T'].map(|region| world.start_of(region));
    let begun = world.bench.mono;
    for request in requests {
        assert_eq!(world.until_done(request).1, Ok(()));
    }
    assert_eq!(world.bench.mono - begun, Duration::from_secs(6));

    // Two of which none is live yet: the second of them finds the own node up by the first.
    let mut world = World::new();
    world.region('S');
    let first = world.start_of('R');
    world.wait(500);
    let (second, begun) = (world.start_of('S'), world.bench.mono);
    assert_eq!(world.until_done(second).1, Ok(()));
    assert_eq!(world.bench.mono - begun, Duration::from_secs(6));
    assert_eq!(world.until_done(first).1, Ok(()));
    assert_eq!(world.bench.mono - begun, Duration::from_millis(7500));
}

#[test]
fn global_regions() {
    let mut world = World::global("R");
    assert_eq!(world.steady('R'), 12_000);
    again(&mut world, 'R', 700);
    assert_eq!(world.steady('R'), 10_000);
    world.region('T');
    world.wait(1300);
    assert_eq!(world.steady('T'), 6000);
    again(&mut world, 'T', 0);
    assert_eq!(world.steady('T'), 4000);
    again(&mut world, 'R', 300);
    assert_eq!(world.steady('R'), 4000);

    let mut world = World::global("RT");
    assert_eq!((world.steady('R'), world.steady('T')), (8000, 6000));
}

#[test]
fn another_node_that_comes_up_meanwhile_takes_a_beat_more_each() {
    for (others, took) in [(&[1][..], 10_000), (&[1, 2], 12_000)] {
        let mut world = World::new();
        let request = world.start();
        let mut seq = 100;
        while world.bench.done(request).is_none() {
            world.wait(100);
            if world.bench.mono.as_millis() % 2000 == 100 {
                seq += 1;
                for (late, node) in others.iter().enumerate() {
                    if seq > 101 + late as u64 {
                        let block = Block { seq, node: *node, generation: 9, dead_ms: 62_000 };
                        world.put_in('R', usize::from(*node), block);
                    }
                }
            }
        }
        assert_eq!(world.bench.mono, Duration::from_millis(took), "{others:?}");
    }
}

/// Steady, it beats with the others: at the next common tick, and until then at most two seconds after its last beat.
#[test]
fn a_steady_region_joins_the_common_tick_by_one_shorter_period() {
    for after in [0, 1, 300, 1000, 1700, 1999] {
        let mut world = beside('S');
        world.wait(after);
        world.steady('S');
        let mut beats: BTreeMap<char, Vec<Duration>> = BTreeMap::new();
        world.reads.clear();
        for _ in 0..20_000 {
            world.wait(1);
            for (region, ..) in core::mem::take(&mut world.reads) {
                beats.entry(region).or_default().push(world.bench.mono);
            }
        }
        let periods = |region: char| {
            let beats = &beats[&region];
            beats.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect::<Vec<_>>()
        };
        assert!(periods('R').iter().all(|period| *period == 2000), "{after}: {beats:?}");
        let short: Vec<_> = periods('S').into_iter().filter(|period| *period != 2000).collect();
        assert!(short.len() <= 1 && short.iter().all(|period| *period < 2000), "{after}: {beats:?}");
        assert_eq!(beats[&'R'].last(), beats[&'S'].last(), "{after}");
        // No timer of its own is left.
        assert_eq!(beats[&'R'].len(), 10);
    }
}

/// Silence is judged only by samples that are two seconds apart, also where a region joins.
#[test]
fn joining_the_common_tick_shortens_nobodys_time_until_death() {
    for after in [0, 300, 1000, 1700] {
        let mut world = World::local("n0", &[0, 1, 2, 3]);
        world.bench.write("cluster/c/heartbeat/dead_threshold", "3").unwrap();
        world.region('R');
        world.region('S');
        world.steady('R');
        world.wait(after);
        let request = world.start_of('S');
        let mut last = Duration::ZERO;
        for seq in 1..40 {
            world.put_in('S', 2, Block { seq, node: 2, generation: 3, dead_ms: 6000 });
            last = world.bench.mono;
            if world.bench.done(request).is_some() {
                break;
            }
            world.wait(1000);
        }
        while world.debug("S/livenodes") == "0 2 \n" {
            world.wait(1);
        }
        let silent = world.bench.mono - last;
        // Three samples from the first behind its last block on, of which the first is up to two seconds later.
        assert!(silent >= Duration::from_millis(4000) && silent <= Duration::from_millis(8001), "{silent:?}");
    }
}
