//! What status says of regions and their disks.

use super::*;
use crate::ids::{NodeNum, NodeSet};
use crate::status::RegionStatus;
use crate::time::Instant;

impl World {
    fn region_status(&self) -> RegionStatus {
        self.bench.engine.status().regions.remove(0)
    }

    fn phase(&self) -> DiskPhase {
        self.region_status().phase.unwrap()
    }

    fn disk_status(&self) -> DiskStatus {
        self.region_status().disk.unwrap()
    }

    fn now(&self) -> Instant {
        Instant::at(self.bench.mono)
    }

    fn silent_ms(&self) -> Option<u128> {
        self.disk_status().silent(self.now()).map(|silent| silent.as_millis())
    }
}

fn nodes(nums: &[u64]) -> NodeSet {
    nums.iter().filter_map(|num| NodeNum::new(*num)).collect()
}

#[test]
fn each_phase_is_told_from_the_others() {
    let mut world = World::new();
    world.bench.mkdir("cluster/c/heartbeat/S").unwrap();
    let phases = |world: &World| {
        let regions = world.bench.engine.status().regions;
        regions.into_iter().map(|region| region.phase.unwrap()).collect::<Vec<_>>()
    };
    let (bare, numbered) = (DiskPhase::NoDevice { numbered: false }, DiskPhase::NoDevice { numbered: true });
    assert_eq!(phases(&world), [numbered, bare]);
    assert_eq!(world.region_status().disk, None);
    let request = world.ask('R');
    assert_eq!(phases(&world), [DiskPhase::Opening, bare]);
    world.fault.insert('R', Fault::Slow(500));
    world.serve();
    assert_eq!(world.phase(), DiskPhase::Reading);
    world.wait(500);
    assert_eq!(world.phase(), DiskPhase::Starting);
    let (_, result) = world.until_done(request);
    assert_eq!((result, world.phase()), (Ok(()), DiskPhase::Steady));
    world.fault.insert('R', Fault::Hang);
    world.bench.ask_rmdir(REGION);
    world.serve();
    // Its directory is gone, and its name is not.
    let status = world.bench.engine.status();
    let stopping: Vec<_> =
        status.stopping.iter().map(|of| (of.region.to_string(), of.device.as_str())).collect();
    assert_eq!((status.regions.len(), &stopping[..]), (1, &[("R".to_string(), "vda")][..]));
}

#[test]
fn a_region_that_stops_with_the_local_node_says_so() {
    let mut world = World::new();
    world.steady('R');
    world.fault.insert('R', Fault::Hang);
    world.bench.input(Input::Shutdown);
    assert_eq!(world.phase(), DiskPhase::Stopping);
    assert_eq!(world.region_status().disk, None);
}

#[test]
fn a_start_says_how_long_it_takes_at_least_and_at_most() {
    let mut world = World::new();
    let request = world.start();
    let mut bounds = Vec::new();
    let mut took = 0;
    let result = loop {
        if let Some(result) = world.bench.done(request) {
            break result;
        }
        bounds.push((took, world.disk_status().start_takes(world.now()).unwrap()));
        assert!(!world.disk_status().start_is_lost());
        world.wait(100);
        took += 100;
    };
    assert_eq!((result, bounds.len()), (Ok(()), 80));
    assert_eq!(world.disk_status().start_takes(world.now()), None);
    for (at, (least, most)) in bounds {
        let left = Duration::from_millis(took - at);
        assert!(least <= left && left <= most && most < Duration::from_secs(18), "{at}: {least:?} {most:?}");
        assert!(least + Duration::from_millis(2100) >= left, "{at}: {least:?} of {left:?}");
    }
}

#[test]
fn a_start_that_cannot_succeed_is_lost() {
    let mut world = World::new();
    world.fault.insert('R', Fault::Write);
    let request = world.start();
    let mut lost = 0;
    while world.bench.done(request).is_none() {
        lost += u32::from(world.disk_status().start_is_lost());
        world.wait(1000);
    }
    assert_eq!(lost, 4, "for the last two of nine beats");
}

#[test]
fn a_steady_region_is_silent_when_no_good_beat_came_in_time() {
    let mut world = World::new();
    world.steady('R');
    for _ in 0..40 {
        world.wait(100);
        assert_eq!(world.silent_ms(), None);
    }
    world.beats_of('R', 1, 9, 1..4);
    world.fault.insert('R', Fault::Hang);
    let last = world.disk_status().last_good.unwrap();
    let mut said = 0;
    while world.fences() == 0 {
        let silent = world.now().since(last);
        let expected = (silent > Duration::from_secs(3)).then_some(silent.as_millis());
        assert_eq!(world.silent_ms(), expected);
        assert_eq!(world.disk_status().write_timeout, Duration::from_secs(60));
        said += u32::from(expected.is_some());
        world.wait(100);
    }
    assert!(said > 500, "{said}");
}

#[test]
fn a_failing_disk_and_its_last_error_are_known() {
    let mut world = World::new();
    world.steady('R');
    assert_eq!(world.disk_status().findings, Findings::default());
    world.fault.insert('R', Fault::Write);
    world.wait(2000);
    let (at, errno) = world.disk_status().findings.failed.unwrap();
    assert_eq!(errno, Errno::EIO);
    assert!(at > Duration::ZERO);
}

#[test]
fn two_writers_on_the_own_slot_are_told_apart_from_lost_writes() {
    let mut world = World::new();
    world.steady('R');
    let own = world.slot(0).block;
    for (beats, (block, own, words)) in (1..).zip([
        (Block { node: 3, seq: 9, ..own }, Own::OtherNode, "another node"),
        (Block { generation: 0x77, ..own }, Own::Generation, "two daemons use its number"),
        (Block { seq: own.seq - 1, ..own }, Own::Seq, "lost a write"),
        (Block::default(), Own::Generation, "emptied"),
    ]) {
        world.put(0, block);
        world.wait(2000);
        let found = world.disk_status().findings.own_slot.unwrap();
        assert_eq!((found.own, found.found, found.beats), (own, block, beats));
        assert!(found.meaning().contains(words), "{}", found.meaning());
    }
    let at = world.disk_status().findings.own_slot.unwrap().at;
    world.wait(10_000);
    assert_eq!(world.disk_status().findings.own_slot.map(|found| found.at), Some(at), "the last time");
}

#[test]
fn who_lives_without_being_configured_is_listed_and_marked() {
    let mut world = World::new();
    world.steady('R');
    world.beats_of('R', 2, 7, 100..104);
    let up = |world: &World| {
        let region = world.region_status();
        let up: Vec<_> = region.up.iter().map(|(node, _)| node.name.to_string()).collect();
        (up, region.unconfigured)
    };
    let both = || ["n0", "n2"].map(ToString::to_string).to_vec();
    assert_eq!(up(&world), (both(), nodes(&[])));
    world.bench.rmdir("cluster/c/node/n2").unwrap();
    assert_eq!(up(&world), (both(), nodes(&[2])));
    world.beats_of('R', 2, 7, 104..107);
    assert_eq!(up(&world), (both(), nodes(&[2])));
    // It is live, so it is no stranger.
    assert_eq!(world.disk_status().findings.strangers, nodes(&[]));
}

#[test]
fn who_writes_without_being_configured_is_found_where_slots_are_read() {
    let mut world = World::local("n0", &[0, 5]);
    world.region('R');
    let block = |node, seq, generation| Block { seq, node, generation, dead_ms: 62_000 };
    // From before: it is not known that anybody still writes.
    world.put(2, block(2, 5, 7));
    world.steady('R');
    assert_eq!(world.disk_status().findings.strangers, nodes(&[]));
    world.beats_of('R', 2, 7, 100..101);
    world.beats_of('R', 7, 7, 100..101);
    assert_eq!(world.disk_status().findings.strangers, nodes(&[2]), "7 is beyond what is read");
    // Nothing follows from it, and it is forgotten when it is silent.
    assert_eq!(world.region_status().up.len(), 1);
    world.wait(2000 * 8);
    assert_eq!(world.disk_status().findings.strangers, nodes(&[]));
    // A clean stop is no writer, and what is spoilt is none either.
    world.put(3, block(3, 200, 0));
    world.put(4, block(4, 200, 9));
    world.spoil(4);
    world.wait(2000);
    assert_eq!(world.disk_status().findings.strangers, nodes(&[]));
    // Configured meanwhile: not a stranger, at once.
    world.beats_of('R', 2, 7, 101..102);
    assert_eq!(world.disk_status().findings.strangers, nodes(&[2]));
    world.bench.node(2);
    assert_eq!(world.disk_status().findings.strangers, nodes(&[]));
}

/// A sample of a slot that nobody judges must not count when its node is configured: as in the kernel.
#[test]
fn looking_at_strangers_changes_nothing_for_them() {
    let mut world = World::local("n0", &[0, 5]);
    world.region('R');
    world.steady('R');
    world.beats_of('R', 2, 7, 100..110);
    world.bench.node(2);
    // It has been silent since; its block still differs from the baseline, which is one change and not two.
    world.wait(2000 * 6);
    assert_eq!(world.region_status().up.len(), 1);
    world.beats_of('R', 2, 7, 110..112);
    assert_eq!(world.region_status().up.len(), 2);
}

#[test]
fn peers_with_another_dead_threshold_are_named() {
    let mut world = World::new();
    world.steady('R');
    let mut put = |node: u8, seq, dead_ms| {
        world.put(usize::from(node), Block { seq, node, generation: 7, dead_ms });
        if node == 2 {
            world.wait(2000);
        }
    };
    for seq in 1..6 {
        put(1, seq, 62_000);
        put(2, seq, 20_000);
    }
    let status = world.disk_status();
    assert_eq!(status.findings.dead_ms, [(NodeNum::new(2).unwrap(), 20_000)]);
    assert_eq!(status.dead_ms, 62_000);
    // Gone with the node.
    world.wait(2000 * 33);
    assert_eq!(world.disk_status().findings.dead_ms, []);
}

#[test]
fn pins_of_global_mode_are_not_holders() {
    let mut world = World::global("RTU");
    for region in ['R', 'T', 'U'] {
        world.start_of(region);
    }
    world.wait(14_000);
    world.bench.subscribe(Registration::of(1, "R")).unwrap();
    let regions = world.bench.engine.status().regions;
    let counts: Vec<_> = regions.iter().map(|region| (region.holds, region.pins)).collect();
    assert_eq!(counts, [(1, 1), (0, 1), (0, 1)]);
}

#[test]
fn regions_come_in_parts() {
    let mut world = World::local("n0", &[0]);
    let names: Vec<_> = (0..10).map(|num| alloc::format!("cluster/c/heartbeat/R{num}")).collect();
    names.iter().for_each(|name| world.bench.mkdir(name).unwrap());
    let engine = &world.bench.engine;
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let part = engine.regions_after(after, 3);
        let Some(last) = part.last() else { break };
        assert!(part.len() <= 3);
        after = Some(last.id);
        all.extend(part);
    }
    assert_eq!(all, engine.status().regions);
    assert_eq!((all.len(), engine.overview().regions.len()), (10, 0));
    // The one that a part ended with may be gone.
    let fourth = all[3].id;
    world.bench.rmdir("cluster/c/heartbeat/R3").unwrap();
    assert_eq!(world.bench.engine.regions_after(Some(fourth), 1)[0].id, all[4].id);
}
