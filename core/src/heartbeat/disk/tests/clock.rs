//! The wall clock: seq rises whatever it does, and nobody lives or dies by it.

use super::*;
use crate::testing::WALL;

/// Seqs of the own slot: one a period, and the last block.
fn seqs(world: &mut World, periods: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    for _ in 0..periods {
        world.wait(2000);
        seqs.push(world.slot(0).block.seq);
    }
    seqs
}

fn rising(seqs: &[u64]) -> bool {
    seqs.windows(2).all(|pair| pair[0] < pair[1])
}

fn remove(world: &mut World) {
    let rmdir = world.bench.ask_rmdir(REGION);
    world.serve();
    assert_eq!(world.bench.done(rmdir), Some(Ok(())));
}

#[test]
fn seq_is_the_wall_clock_while_that_goes_on() {
    let mut world = World::new();
    world.steady('R');
    for _ in 0..5 {
        world.wait(2000);
        assert_eq!(world.slot(0).block.seq, (WALL + world.bench.mono).as_secs());
    }
    assert!(world.said("clock").is_empty());
}

#[test]
fn seq_rises_whatever_the_wall_clock_does() {
    let stands: fn(Duration) -> Duration = |_| WALL;
    let clocks = [
        stands,
        |_| Duration::ZERO,
        |_| Duration::MAX,
        |mono| WALL.saturating_sub(mono * 1000),
        |mono| WALL + mono / 10,
        |mono| if mono.as_secs() % 10 < 5 { Duration::MAX } else { Duration::ZERO },
        |mono| if mono.as_secs() % 6 < 3 { WALL } else { WALL - Duration::from_secs(86_400) },
    ];
    for (number, clock) in clocks.into_iter().enumerate() {
        let mut world = World::new();
        world.bench.wall = clock;
        let request = world.start();
        let mut all = alloc::vec![0, world.slot(0).block.seq];
        all.extend(seqs(&mut world, 40));
        // Its start takes as long as with any other clock.
        assert_eq!(world.bench.done(request), Some(Ok(())), "{number}");
        remove(&mut world);
        all.push(world.slot(0).block.seq);
        // Made again at once: the old block counts.
        world.region('R');
        world.start();
        all.push(world.slot(0).block.seq);
        all.extend(seqs(&mut world, 10));
        assert!(rising(&all), "{number}: {all:?}");
        assert!(all.iter().all(|seq| *seq < SEQ_LIMIT), "{number}: {all:?}");
        assert_eq!(world.fences(), 0);
    }
}

#[test]
fn a_clock_set_back_before_a_start_is_said_once_and_another_time_when_it_was_right_meanwhile() {
    let mut world = World::new();
    let ahead = WALL.as_secs() + 3600;
    world.put(0, Block { seq: ahead, node: 0, generation: 9, dead_ms: 62_000 });
    world.steady('R');
    assert_eq!(world.slot(0).block.seq, ahead + 4);
    let words = "The clock is 3601 s behind the own slot of region R (vda): seq counts on from 1700003601";
    assert_eq!(world.said(words).len(), 1, "{:?}", world.said("clock"));
    // It is right again, and goes back once more.
    world.bench.wall = |mono| WALL + mono + Duration::from_secs(7200);
    world.wait(2000);
    assert_eq!(world.slot(0).block.seq, (WALL + world.bench.mono).as_secs() + 7200);
    world.bench.wall = |mono| WALL + mono;
    world.wait(20_000);
    assert_eq!(world.said("The clock is ").len(), 2);
}

#[test]
fn a_clock_that_is_a_little_behind_is_no_news() {
    let mut world = World::new();
    world.steady('R');
    world.bench.wall = |mono| WALL + mono - Duration::from_secs(9);
    world.wait(20_000);
    assert!(world.said("clock").is_empty());
}

#[test]
fn what_no_clock_has_written_is_not_counted_on_from() {
    for seq in [SEQ_LIMIT, 1 << 60, u64::MAX - 1, u64::MAX] {
        let mut world = World::new();
        world.put(0, Block { seq, node: 0, generation: 9, dead_ms: 62_000 });
        assert_eq!(world.steady('R'), 6000);
        assert_eq!(world.slot(0).block.seq, (WALL + world.bench.mono).as_secs());
        assert_eq!(world.said("which no clock has").len(), 1);
        assert!(world.said("behind").is_empty());
    }
    // Nor what a broken block says.
    let mut world = World::new();
    world.put(0, Block { seq: SEQ_LIMIT - 1, node: 0, generation: 9, dead_ms: 62_000 });
    world.spoil(0);
    world.steady('R');
    assert_eq!(world.slot(0).block.seq, (WALL + world.bench.mono).as_secs());
}

#[test]
fn the_last_seq_that_could_come_from_a_clock_is_counted_on_from() {
    let mut world = World::new();
    world.put(0, Block { seq: SEQ_LIMIT - 1, node: 0, generation: 9, dead_ms: 62_000 });
    assert_eq!(world.steady('R'), 6000);
    assert_eq!(world.slot(0).block.seq, SEQ_LIMIT + 3);
}

/// Two nodes of which one has a clock that stands still: before, its seq was the same at every beat, and it was dead.
#[test]
fn a_node_whose_clock_stands_still_is_alive_to_others_and_to_itself() {
    let mut pair = several::Pair::new();
    pair.0[1].bench.wall = |_| WALL;
    let started = [0, 1].map(|at| pair.with(at, World::start));
    pair.wait(16_000);
    assert!((0..2).all(|at| pair.0[at].bench.done(started[at]) == Some(Ok(()))));
    assert_eq!(pair.live(), ["0 1 \n", "0 1 \n"]);
    pair.0[0].bench.subscribe(Registration::all(1)).unwrap();
    pair.wait(200_000);
    assert_eq!(pair.live(), ["0 1 \n", "0 1 \n"]);
    assert!(pair.0[0].bench.told().is_empty());
    assert_eq!(pair.0[1].fences(), 0);
}

/// It restarts with a clock that was set back to just what the others remember.
#[test]
fn a_node_that_restarts_with_its_clock_set_back_is_seen_as_soon_as_any() {
    let mut world = World::new();
    world.steady('R');
    world.bench.wall = |_| WALL;
    remove(&mut world);
    let mut remembered = Slot::default();
    remembered.populate(&world.slot(0));
    world.region('R');
    world.start();
    let mut joined = None;
    for beat in 1..5 {
        if remembered.judge(&world.slot(0), 31) == Verdict::Joined {
            joined = joined.or(Some(beat));
        }
        world.wait(2000);
    }
    assert_eq!(joined, Some(2));
}
