//! Several regions, and several engines on one disk.

use super::*;
use crate::heartbeat::Edge;

#[test]
fn a_node_is_up_with_its_first_region_and_down_with_its_last() {
    let mut world = World::new();
    world.region('S');
    world.steady('R');
    world.steady('S');
    world.bench.subscribe(Registration { edge: Some(Edge::Up), ..Registration::all(1) }).unwrap();
    world.beats_of('R', 2, 3, 1..3);
    assert_eq!(world.bench.told_short(), [(1, Edge::Up, 2)]);
    world.bench.unsubscribe(1);
    world.bench.subscribe(Registration::all(2)).unwrap();
    world.beats_of('S', 2, 3, 1..3);
    assert_eq!((world.debug("R/livenodes"), world.debug("S/livenodes")), ("0 2 \n".into(), "0 2 \n".into()));
    world.beats_of('R', 2, 0, 3..4);
    assert_eq!((world.debug("R/livenodes"), world.debug("livenodes")), ("0 \n".into(), "0 2 \n".into()));
    assert_eq!(world.bench.told_short().len(), 1);
    world.beats_of('S', 2, 0, 3..4);
    assert_eq!(world.bench.told_short().last(), Some(&(2, Edge::Down, 2)));
    assert!(world.bench.told().iter().all(|(_, event)| event.region.is_none()));
}

/// A consumer's map, with the events that it is told from then on, is who is live in any region: also the map of who
/// holds one region, or a node that is live elsewhere would come into that without an event.
#[test]
fn the_map_at_registration_and_the_events_after_it_are_one_in_every_region() {
    let mut world = World::new();
    world.region('S');
    world.region('T');
    world.steady('R');
    world.steady('S');
    // Node 1 is live in both, node 2 in R only, and nobody in T, which never started.
    for seq in 1..4 {
        world.put_in('S', 1, Block { seq, node: 1, generation: 3, dead_ms: 62_000 });
        world.put_in('R', 1, Block { seq, node: 1, generation: 3, dead_ms: 62_000 });
        world.beats_of('R', 2, 3, seq..seq + 1);
    }
    for (consumer, region) in [(1, None), (2, Some("R")), (3, Some("S")), (4, Some("T"))] {
        let up = world.bench.subscribe(Registration { region, ..Registration::all(consumer) }).unwrap();
        // Each once.
        assert_eq!(up, [0, 1, 2], "{region:?}");
    }
    let told = |world: &mut World| {
        let mut told = Vec::new();
        // Each is told after the one before it has dealt with the event.
        for _ in 0..16 {
            for (consumer, event) in world.bench.told().into_iter().skip(told.len()) {
                told.push((consumer, event.edge, event.node.num.get()));
                world.bench.delivered(consumer, event.number);
            }
        }
        told
    };
    let all = |edge, num| [1, 2, 3, 4].map(|consumer| (consumer, edge, num));
    // Into S comes who is live already: nothing. Out of R goes who is still live in S: nothing.
    world.beats_of('S', 2, 3, 1..4);
    world.beats_of('R', 2, 0, 9..10);
    world.beats_of('R', 1, 0, 9..10);
    assert_eq!(told(&mut world), []);
    world.beats_of('S', 2, 0, 9..10);
    assert_eq!(told(&mut world), all(Edge::Down, 2));
    assert_eq!(world.bench.subscribe(Registration::of(5, "R")).unwrap(), [0, 1]);
}

/// A live node whose directory is gone is still in the map: its event is yet to come.
#[test]
fn the_map_has_a_live_node_that_is_not_configured_any_more() {
    let mut world = World::new();
    world.steady('R');
    world.beats_of('R', 2, 3, 1..4);
    world.bench.rmdir("cluster/c/node/n2").unwrap();
    assert_eq!(world.bench.subscribe(Registration::of(1, "R")).unwrap(), [0, 2]);
    world.beats_of('R', 2, 0, 4..5);
    assert_eq!(world.bench.told_short(), [(1, Edge::Down, 2)]);
}

#[test]
fn a_region_that_ends_leaves_the_others_what_they_see() {
    let mut world = World::new();
    world.region('S');
    world.steady('R');
    world.steady('S');
    world.beats_of('R', 2, 3, 1..3);
    world.bench.subscribe(Registration { patience: Some(1000), ..Registration::all(1) }).unwrap();
    let rmdir = world.bench.ask_rmdir(REGION);
    world.serve();
    assert_eq!(world.bench.told_short(), [(1, Edge::Down, 2)]);
    world.wait(1000);
    assert_eq!(world.bench.done(rmdir), Some(Ok(())));
    assert_eq!(world.debug("livenodes"), "0 \n");
}

#[test]
fn regions_beat_at_one_tick_and_a_slow_one_holds_up_nobody() {
    let mut world = World::new();
    world.region('S');
    world.steady('R');
    world.wait(700);
    let request = world.start_of('S');
    assert_eq!(world.until_done(request).1, Ok(()));
    world.wait(2000);
    let tick = world.bench.engine.poll_timeout().unwrap().since_start();
    assert_eq!(tick.as_millis() % 2000, 0);
    world.wait((tick - world.bench.mono).as_millis() as u64);
    world.reads.clear();
    world.wait(10_000);
    let count = |world: &World, region| world.reads.iter().filter(|(of, ..)| *of == region).count();
    assert_eq!((count(&world, 'R'), count(&world, 'S')), (5, 5));
    world.fault.insert('R', Fault::Hang);
    world.wait(10_000);
    assert_eq!((count(&world, 'R'), count(&world, 'S')), (5, 10));
}

#[test]
fn a_second_region_is_steady_no_sooner_than_its_nodes_can_be_seen() {
    // Node 2 beats in the second region only; that starts at any time between two ticks of the first.
    for (after, phase) in [(0, 900), (100, 100), (1000, 1900), (1900, 500), (1900, 1900)] {
        let mut world = World::new();
        world.region('S');
        for region in ['R', 'S'] {
            world.put_in(region, 0, Block { seq: 5, node: 0, generation: 9, dead_ms: 62_000 });
        }
        world.steady('R');
        world.wait(after);
        let request = world.start_of('S');
        let mut ms = 0;
        while world.bench.done(request).is_none() {
            if ms % 2000 == phase {
                world.put_in('S', 2, Block { seq: ms + 1, node: 2, generation: 3, dead_ms: 62_000 });
            }
            ms += 100;
            world.wait(100);
        }
        // Three periods, of which each may be a tenth of a second short.
        assert!(ms >= 5700, "{after} {phase}: {ms}");
        assert_eq!(world.debug("S/livenodes"), "0 2 \n", "{after} {phase}: {ms}");
    }
}

/// Engines of nodes 0 and 1 with the same disk; `world.disks` is handed from one to the other.
pub(super) struct Pair(pub(super) [World; 2]);

impl Pair {
    pub(super) fn new() -> Self {
        let mut pair = ["n0", "n1"].map(|local| {
            let mut world = World::local(local, &[0, 1]);
            world.region('R');
            world
        });
        pair[1].info.generation = 0x1111;
        Self(pair)
    }

    /// Each has the disk for a moment, in turn.
    pub(super) fn wait(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            for at in 0..2 {
                self.with(at, |world| world.wait(100));
            }
        }
    }

    pub(super) fn with<T>(&mut self, at: usize, act: impl FnOnce(&mut World) -> T) -> T {
        let done = act(&mut self.0[at]);
        self.0[1 - at].disks = self.0[at].disks.clone();
        done
    }

    pub(super) fn live(&mut self) -> [String; 2] {
        [0, 1].map(|at| self.0[at].debug("livenodes"))
    }
}

#[test]
fn two_nodes_see_each_other_come_go_and_come_again() {
    let mut pair = Pair::new();
    let first = pair.with(0, World::start);
    pair.wait(8100);
    assert_eq!(pair.0[0].bench.done(first), Some(Ok(())));
    let second = pair.with(1, World::start);
    pair.wait(4100);
    assert_eq!(pair.live(), ["0 1 \n", "0 1 \n"]);
    pair.wait(6000);
    assert_eq!(pair.0[1].bench.done(second), Some(Ok(())));
    let rmdir = pair.with(1, |world| {
        let rmdir = world.bench.ask_rmdir(REGION);
        world.serve();
        rmdir
    });
    assert_eq!(pair.0[1].bench.done(rmdir), Some(Ok(())));
    pair.wait(2000);
    assert_eq!(pair.live(), ["0 \n", "\n"]);
    let third = pair.with(1, |world| {
        world.region('R');
        world.start()
    });
    pair.wait(2100);
    assert_eq!(pair.live()[0], "0 1 \n");
    pair.wait(8000);
    assert_eq!(pair.0[1].bench.done(third), Some(Ok(())));
    assert_eq!(pair.live(), ["0 1 \n", "0 1 \n"]);
}

#[test]
fn whoever_loses_its_disk_fences_before_the_other_thinks_it_dead() {
    let mut pair = Pair::new();
    pair.with(0, World::start);
    pair.wait(700);
    pair.with(1, World::start);
    pair.wait(30_000);
    assert_eq!(pair.live(), ["0 1 \n", "0 1 \n"]);
    pair.0[1].fault.insert('R', Fault::Write);
    let mut fenced = None;
    for tenth in 0..1000 {
        // Node 1 writes nothing: only node 0's disk changes.
        pair.0[1].disks = pair.0[0].disks.clone();
        pair.0.iter_mut().for_each(|world| world.wait(100));
        fenced = fenced.or((pair.0[1].fences() > 0).then_some(tenth));
        if pair.0[0].debug("livenodes") == "0 \n" {
            assert!(fenced.is_some_and(|fenced| fenced < tenth), "{fenced:?} {tenth}");
            return;
        }
    }
    panic!("never dead");
}
