//! One beat after the other: the own slot, those of others, and when.

use super::*;
use crate::heartbeat::{Cause, Edge};

fn running() -> World {
    let mut world = World::new();
    world.steady('R');
    world.wait(2000);
    world
}

fn other(seq: u64) -> Block {
    Block { seq, node: 2, generation: 3, dead_ms: 62_000 }
}

/// Causes of the events about node 2, as the log has them.
fn heard(world: &World) -> Vec<(Edge, Cause)> {
    let events = world.bench.notes().into_iter().filter_map(|note| match note {
        Note::Event(event) if event.node.num.get() == 2 => Some((event.edge, event.cause)),
        _ => None,
    });
    events.collect()
}

fn listening() -> World {
    let mut world = running();
    world.bench.write_in(View::Sysfs, "fs/o2cb/logmask/HEARTBEAT", "allow").unwrap();
    world
}

#[test]
fn what_differs_in_the_own_slot_is_said_with_both_values() {
    let written = |world: &World| world.slot(0).block;
    for (change, words, generation) in [
        (0, "Another node is heartbeating on device (vda)", 0xabcd),
        (1, "Heartbeat generation mismatch on device (vda)", 0x11),
        (2, "Heartbeat sequence mismatch on device (vda)", 0xabcd),
    ] {
        let mut world = running();
        let expected = written(&world);
        let mut block = Block { generation, ..expected };
        match change {
            0 => (block.node, block.seq) = (5, 1),
            1 => block.seq = 1,
            _ => block.seq -= 2,
        }
        world.put(0, block);
        world.wait(2000);
        let line = alloc::format!(
            "{words}: expected(0:0xabcd, {:#x}), ondisk({}:{generation:#x}, {:#x})",
            expected.seq,
            block.node,
            block.seq
        );
        assert_eq!(world.said(&line).len(), 1, "{line}");
        // It is overwritten by the same beat.
        assert_eq!(written(&world).generation, 0xabcd);
        world.wait(2000);
        assert_eq!(world.said("mismatch").len() + world.said("Another node").len(), 1);
    }
}

#[test]
fn an_emptied_own_slot_is_another_generation() {
    let mut world = running();
    world.put(0, Block::default());
    world.wait(2000);
    assert_eq!(world.said("generation mismatch").len(), 1);
    assert!(world.said("generation mismatch")[0].ends_with("ondisk(0:0x0, 0x0)"));
}

/// An empty slot holds the number 0, which is no proof of a node with that number.
#[test]
fn an_emptied_own_slot_is_no_other_node() {
    let mut world = World::local("n3", &[0, 3]);
    world.region('R');
    world.steady('R');
    world.wait(2000);
    world.put(3, Block::default());
    world.wait(2000);
    assert_eq!(world.said("generation mismatch").len(), 1);
    assert!(world.said("generation mismatch")[0].contains("expected(3:"));
    assert!(world.said("Another node").is_empty());
}

#[test]
fn a_wrong_checksum_in_the_own_slot_is_ignored() {
    let mut world = running();
    let notes = world.bench.notes().len();
    world.spoil(0);
    world.wait(2000);
    assert_eq!(world.bench.notes().len(), notes);
    assert!(world.slot(0).good);
    assert_eq!(world.debug("R/elapsed_time_in_ms"), "0\n");
}

#[test]
fn a_live_node_with_a_wrong_checksum_misses_a_beat_and_others_are_not_spoken_of() {
    let mut world = running();
    world.spoil(3);
    world.beats_of('R', 2, 3, 100..104);
    for _ in 0..30 {
        world.spoil(2);
        world.wait(2000);
        world.spoil(2);
    }
    // Every second one of these samples was spoilt, all of them were missed.
    assert_eq!(world.debug("livenodes"), "0 2 \n");
    assert_eq!(world.said("Node 2 has written a bad crc to vda: seq = 0x67, node = 2").len(), 30);
    assert!(world.said("Node 3").is_empty());
    world.wait(2000);
    assert_eq!(world.debug("livenodes"), "0 \n");
}

#[test]
fn another_dead_threshold_is_said_once_for_each_coming() {
    let mut world = running();
    for generation in [3, 4] {
        for seq in 1..6 {
            let seq = generation * 10 + seq;
            world.put(2, Block { dead_ms: 14_000, generation, ..other(seq) });
            world.wait(2000);
        }
    }
    let lines = world.said("Node 2 on device vda has a dead count of 14000 ms, but our count is 62000 ms");
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains("'O2CB_HEARTBEAT_THRESHOLD'"));
    // Who says nothing about it is not asked.
    world.put(2, Block { dead_ms: 0, generation: 9, ..other(90) });
    world.wait(2000);
    world.put(2, Block { dead_ms: 0, generation: 9, ..other(91) });
    world.wait(2000);
    assert_eq!(world.said("dead count").len(), 2);
}

#[test]
fn a_restart_is_down_and_up_again_one_beat_later() {
    let mut world = listening();
    world.beats_of('R', 2, 3, 1..4);
    world.beats_of('R', 2, 4, 4..5);
    assert_eq!(world.debug("livenodes"), "0 \n");
    world.beats_of('R', 2, 4, 5..6);
    assert_eq!(world.debug("livenodes"), "0 2 \n");
    let expected = [(Edge::Up, Cause::Beats), (Edge::Down, Cause::Restarted), (Edge::Up, Cause::Beats)];
    assert_eq!(heard(&world), expected);
}

#[test]
fn generation_0_is_down_at_the_next_beat() {
    let mut world = listening();
    world.beats_of('R', 2, 3, 1..4);
    world.beats_of('R', 2, 0, 4..5);
    assert_eq!(world.debug("livenodes"), "0 \n");
    assert_eq!(heard(&world), [(Edge::Up, Cause::Beats), (Edge::Down, Cause::Stopped)]);
    world.wait(100_000);
    assert_eq!(world.debug("livenodes"), "0 \n");
}

#[test]
fn silence_ends_at_the_dead_threshold() {
    let mut world = World::local("n0", &[0, 1, 2, 3]);
    world.bench.write("cluster/c/heartbeat/dead_threshold", "7").unwrap();
    world.bench.write_in(View::Sysfs, "fs/o2cb/logmask/HEARTBEAT", "allow").unwrap();
    world.region('R');
    world.steady('R');
    assert_eq!(world.slot(0).block.dead_ms, 14_000);
    world.beats_of('R', 2, 3, 1..4);
    world.wait(6 * 2000);
    assert_eq!(world.debug("livenodes"), "0 2 \n");
    world.wait(2000);
    assert_eq!(world.debug("livenodes"), "0 \n");
    assert_eq!(heard(&world).last(), Some(&(Edge::Down, Cause::Silent)));
}

#[test]
fn the_node_number_in_the_slot_of_another_is_not_looked_at() {
    let mut world = running();
    for seq in 1..4 {
        world.put(2, Block { node: 99, ..other(seq) });
        world.wait(2000);
    }
    assert_eq!(world.debug("livenodes"), "0 2 \n");
}

#[test]
fn who_is_not_configured_is_ignored_unless_still_live() {
    let mut world = World::local("n0", &[0, 2, 3]);
    world.region('R');
    world.steady('R');
    world.beats_of('R', 1, 3, 1..5);
    assert_eq!(world.debug("livenodes"), "0 \n");
    world.beats_of('R', 2, 3, 1..4);
    assert_eq!(world.debug("livenodes"), "0 2 \n");
    world.bench.rmdir("cluster/c/node/n2").unwrap();
    world.bench.rmdir("cluster/c/node/n3").unwrap();
    world.beats_of('R', 2, 3, 4..6);
    assert_eq!(world.debug("livenodes"), "0 2 \n");
    assert_eq!(world.reads.last(), Some(&('R', 0, 3)));
    world.beats_of('R', 2, 0, 6..7);
    assert_eq!(world.debug("livenodes"), "0 \n");
    world.beats_of('R', 2, 4, 7..12);
    assert_eq!(world.debug("livenodes"), "0 \n");
    assert_eq!(world.reads.last(), Some(&('R', 0, 1)));
}

#[test]
fn only_slots_from_the_lowest_to_the_highest_node_are_read() {
    let mut world = World::local("n3", &[3, 5]);
    world.region('R');
    world.steady('R');
    assert_eq!(world.reads[0], ('R', 0, 8));
    assert!(world.reads[1..].iter().all(|read| *read == ('R', 3, 3)));
    assert!(world.writes.iter().all(|write| *write == ('R', 3)));
}

#[test]
fn slots_beyond_the_region_are_never_touched() {
    let mut world = World::local("n0", &[0, 7, 8, 200]);
    world.region('R');
    world.steady('R');
    assert!(world.reads.iter().all(|read| *read == ('R', 0, 8)));
    assert!(world.writes.iter().all(|write| *write == ('R', 0)));
    assert_eq!(world.said("Nodes with numbers from 8 on have no slot in region R (vda)").len(), 1);
}

#[test]
fn two_beats_are_a_whole_period_apart_however_late_the_timer_is() {
    let mut world = running();
    let (mut last, writes) = (world.bench.mono, world.writes.len());
    for beat in 0..10_000u64 {
        // Late by up to a second, never two times alike. Wake-ups before may look at the write timeout.
        let mut due = world.bench.engine.poll_timeout().unwrap().since_start();
        while due < last + Duration::from_secs(2) {
            world.bench.wait((due - world.bench.mono).as_millis() as u64);
            due = world.bench.engine.poll_timeout().unwrap().since_start();
        }
        assert_eq!(due, last + Duration::from_secs(2));
        let late = Duration::from_millis(beat * 37 % 1000);
        world.bench.wait((due + late - world.bench.mono).as_millis() as u64);
        last = world.bench.mono;
        world.serve();
        world.bench.log.clear();
        world.seen = 0;
    }
    assert_eq!(world.writes.len() - writes, 10_000);
}

#[test]
fn a_slow_disk_beats_at_once_and_then_with_the_others_again() {
    let mut world = running();
    let begun = world.bench.mono;
    world.fault.insert('R', Fault::Slow(1600));
    let writes = world.writes.len();
    // Reading and writing take 3.2 s: from 2 to 5.2.
    world.wait(4000);
    world.fault.clear();
    assert_eq!(world.writes.len(), writes);
    world.wait(1200);
    // Done at 5.2, and the next one at once.
    assert_eq!((world.bench.mono - begun, world.writes.len()), (Duration::from_millis(5200), writes + 2));
    world.wait(799);
    assert_eq!(world.writes.len(), writes + 2);
    world.wait(1);
    assert_eq!(world.writes.len(), writes + 3);
    world.wait(2000);
    assert_eq!(world.writes.len(), writes + 4);
}

#[test]
fn a_slow_disk_becomes_steady_by_beats_at_least_a_period_apart() {
    let mut world = World::new();
    world.put(0, Block { seq: 5, node: 0, generation: 9, dead_ms: 62_000 });
    world.fault.insert('R', Fault::Slow(1900));
    let request = world.start();
    world.wait(1900 + 3800);
    world.fault.clear();
    let mut starts = Vec::new();
    while world.bench.done(request).is_none() {
        let asked = |world: &World| {
            world
                .bench
                .log
                .iter()
                .filter(|action| matches!(action, Action::Disk(_, DiskRequest::Read { .. })))
                .count()
        };
        let before = asked(&world);
        world.wait(10);
        if asked(&world) > before {
            starts.push(world.bench.mono.as_millis());
        }
    }
    // The beat of 1.9 s ended at 5.7, and its successor came at once; from there on it is two seconds again.
    assert_eq!(starts, [7700, 9700]);
}
