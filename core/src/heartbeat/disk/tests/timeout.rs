//! The write timeout: (dead_threshold - 1) x 2 s behind the last good beat.

use super::*;

/// dead_threshold 7: a write timeout of 12 s.
fn quick() -> World {
    with_threshold(7)
}

fn with_threshold(dead_threshold: u32) -> World {
    let mut world = World::local("n0", &[0, 1, 2, 3]);
    world.bench.write("cluster/c/heartbeat/dead_threshold", &dead_threshold.to_string()).unwrap();
    world.region('R');
    world
}

fn running() -> World {
    let mut world = quick();
    world.steady('R');
    world.wait(2000);
    world
}

/// The same beside node 1, which is live: who is alone gives itself time for ever.
fn beside_another() -> World {
    let mut world = running();
    world.beats_of('R', 1, 9, 1..4);
    assert_eq!(world.debug("livenodes"), "0 1 \n");
    world
}

#[test]
fn errors_and_hangs_fence_after_the_timeout() {
    for fault in [Fault::Read, Fault::Write, Fault::Hang] {
        let mut world = beside_another();
        world.fault.insert('R', fault);
        world.wait(11_999);
        assert_eq!(world.fences(), 0, "{fault:?}");
        assert!(world.said("Heartbeat write timeout").is_empty());
        world.wait(1);
        assert_eq!(world.fences(), 1, "{fault:?}");
        assert_eq!(world.said("Heartbeat write timeout to device vda after 12000 milliseconds").len(), 1);
        let errors = if fault == Fault::Hang { 0 } else { 5 };
        assert_eq!(world.said("Beat of region R (vda) failed: EIO").len(), errors, "{fault:?}");
        let writes = world.writes.len();
        world.fault.clear();
        world.wait(100_000);
        assert_eq!((world.writes.len(), world.fences()), (writes, 1));
    }
}

/// Write timeout, log and debugfs count from one moment: the beginning of the last good write.
#[test]
fn two_slow_writes_in_a_row_end_with_the_whole_timeout_in_the_log_and_in_debugfs_before() {
    let mut world = beside_another();
    // A beat of 7 s, of which the write takes the last 3.5: begun at 5.5, done at 9 s from the last good one.
    world.fault.insert('R', Fault::Slow(3500));
    world.wait(2000 + 7000);
    world.fault.insert('R', Fault::Hang);
    let last_good = world.bench.mono - Duration::from_millis(3500);
    assert_eq!(world.debug("R/elapsed_time_in_ms"), "3500\n");
    let status = world.bench.engine.status().regions.remove(0).disk.unwrap();
    let since = status.last_good.map(Instant::since_start);
    assert_eq!((since, status.write_timeout), (Some(last_good), Duration::from_secs(12)));
    while world.fences() == 0 {
        let elapsed = (world.bench.mono - last_good).as_millis();
        assert_eq!(world.debug("R/elapsed_time_in_ms"), alloc::format!("{elapsed}\n"));
        assert!(elapsed < 12_000, "{elapsed}");
        world.wait(100);
    }
    assert_eq!(world.bench.mono - last_good, Duration::from_secs(12));
    assert_eq!(world.said("Heartbeat write timeout to device vda after 12000 milliseconds").len(), 1);
    assert_eq!(world.said("no good beat of region R (vda) for 12000 milliseconds").len(), 1);
}

#[test]
fn beats_that_find_the_own_slot_changed_do_not_count() {
    let mut world = beside_another();
    while world.fences() == 0 {
        world.put(0, Block { seq: 1, node: 0, generation: 1, dead_ms: 1 });
        world.wait(1000);
    }
    assert_eq!(world.said("after 12000 milliseconds").len(), 1);
    assert_eq!(world.said("generation mismatch").len(), 5);
}

/// As the kernel does: the writes of all live nodes hang, and that is this one.
#[test]
fn who_is_alone_is_not_fenced_for_a_hang_or_a_spoilt_slot() {
    for hang in [true, false] {
        let mut world = running();
        if hang {
            world.fault.insert('R', Fault::Hang);
        }
        for _ in 0..60 {
            if !hang {
                world.put(0, Block { seq: 1, node: 0, generation: 1, dead_ms: 1 });
            }
            world.wait(1000);
        }
        assert_eq!(world.fences(), 0);
        assert_eq!(world.said("node 0 hb write hung for 6s on region R (vda).").len(), 10);
        assert_eq!(world.said("all nodes hb write hung, maybe region R (vda) is down.").len(), 10);
    }
}

/// The least dead threshold: half of its write timeout is no more than a period.
#[test]
fn healthy_writes_do_not_hang() {
    for dead_threshold in [3, 4] {
        let mut world = with_threshold(dead_threshold);
        world.steady('R');
        world.fault.insert('R', Fault::Slow(300));
        world.wait(30_000);
        assert_eq!(world.said("hb write hung").len(), 0, "{dead_threshold}");
        world.fault.insert('R', Fault::Hang);
        world.wait(3600);
        assert_eq!(world.said("node 0 hb write hung for 3s on region R (vda).").len(), 1, "{dead_threshold}");
    }
}

/// A write took longer than half of the timeout, and is good all the same: said once while it hung, not when it returned.
#[test]
fn a_write_that_has_returned_does_not_hang() {
    let mut world = beside_another();
    world.fault.insert('R', Fault::Slow(1));
    world.wait(2000);
    world.fault.insert('R', Fault::Slow(6500));
    world.wait(1 + 6499);
    assert_eq!(world.said("hb write hung").len(), 1);
    world.fault.clear();
    world.wait(5000);
    assert_eq!((world.said("hb write hung").len(), world.fences()), (1, 0));
}

#[test]
fn one_good_beat_in_time_arms_it_anew() {
    let mut world = running();
    for _ in 0..20 {
        world.fault.insert('R', Fault::Write);
        world.wait(6000);
        world.fault.clear();
        // The first beat after them finds that a write was lost, the second is good.
        world.wait(4000);
    }
    assert_eq!((world.fences(), world.said("sequence mismatch").len()), (0, 20 * 3));
}

#[test]
fn before_it_is_steady_nothing_fences_and_from_then_on_it_does() {
    let mut world = quick();
    world.fault.insert('R', Fault::Hang);
    let request = world.start();
    world.wait(200_000);
    assert_eq!((world.fences(), world.bench.done(request)), (0, None));

    let mut world = quick();
    world.steady('R');
    world.fault.insert('R', Fault::Write);
    world.wait(12_000);
    assert_eq!(world.fences(), 1);
}

/// Others count as dead whom they have not seen for so long, whatever the disk says in the end.
#[test]
fn a_write_that_takes_as_long_as_the_timeout_makes_nothing_good() {
    let mut world = quick();
    world.fault.insert('R', Fault::Slow(12_000));
    let request = world.start();
    world.wait(300_000);
    assert!(world.bench.done(request).is_some_and(|result| result.is_err()));
    assert_eq!(world.fences(), 0);

    let mut world = quick();
    world.fault.insert('R', Fault::Slow(3_000));
    let request = world.start();
    world.wait(100_000);
    assert!(world.bench.done(request).is_some_and(|result| result.is_ok()));
    assert_eq!(world.fences(), 0);
}

#[test]
fn whoever_wakes_up_too_late_fences_first_whatever_comes_first() {
    for first in 0..4 {
        let mut world = running();
        world.fault.insert('R', Fault::Slow(1000));
        world.wait(2000);
        world.serve();
        let (_, late) = world.late.pop().unwrap();
        world.bench.mono += Duration::from_secs(12);
        world.bench.log.clear();
        world.seen = 0;
        match first {
            0 => world.bench.wait(0),
            1 => world.carry_out(&late),
            2 => drop(world.bench.ask_rmdir(REGION)),
            _ => world.bench.input(Input::Shutdown),
        }
        let written =
            world.bench.log.iter().any(|action| matches!(action, Action::Disk(_, DiskRequest::Write { .. })));
        // Before all else but the lines that say why.
        let head = world.bench.log.iter().find(|action| !matches!(action, Action::Note(_)));
        let fenced = matches!(head, Some(Action::Fence { .. }));
        assert!(!written && fenced, "{first}: {:?}", world.bench.log);
    }
}

#[test]
fn a_fence_also_silences_a_region_that_is_stopping() {
    let mut world = running();
    world.region('S');
    world.steady('S');
    world.fault = BTreeMap::from([('R', Fault::Hang), ('S', Fault::Write)]);
    world.wait(2000);
    // R waits for its hanging beat before it can say goodbye; meanwhile S fences.
    let rmdir = world.bench.ask_rmdir(REGION);
    world.wait(12_000);
    assert_eq!((world.fences(), world.bench.answer(rmdir)), (1, None));
    let writes = world.writes.len();
    world.fault.clear();
    for (_, action) in core::mem::take(&mut world.late) {
        world.carry_out(&action);
    }
    world.serve();
    world.wait(10_000);
    assert_eq!(world.writes.len(), writes);
}

#[test]
fn the_fence_names_region_and_device_and_the_method() {
    let mut world = running();
    world.bench.write("cluster/c/fence_method", "panic\n").unwrap();
    world.fault.insert('R', Fault::Write);
    world.wait(12_000);
    let fence = world.bench.log.iter().find_map(|action| match action {
        Action::Fence { method, reason } => Some((*method, reason.to_string())),
        _ => None,
    });
    let reason = "no good beat of region R (vda) for 12000 milliseconds".to_string();
    assert_eq!(fence, Some((crate::FenceMethod::Panic, reason)));
}
