//! The end of a region: rmdir, no local node, the end of the program; and what comes too late.

use super::*;
use crate::heartbeat::Edge;
use crate::ids::OpId;

fn running() -> World {
    let mut world = World::new();
    world.steady('R');
    world.wait(2000);
    world
}

fn with_another() -> World {
    let mut world = running();
    world.beats_of('R', 2, 3, 1..4);
    world
}

#[test]
fn rmdir_says_who_is_down_and_then_writes_generation_0_and_closes() {
    let mut world = with_another();
    world.bench.subscribe(Registration::all(1)).unwrap();
    world.bench.log.clear();
    world.seen = 0;
    let rmdir = world.bench.ask_rmdir(REGION);
    world.serve();
    assert_eq!(world.slot(0).block.generation, 0);
    assert!(world.slot(0).block.seq > 0);
    assert_eq!(world.bench.told_short(), [(1, Edge::Down, 0)]);
    world.bench.delivered(1, world.bench.told()[0].1.number);
    assert_eq!(world.bench.answer(rmdir), None);
    assert_eq!(world.bench.told_short(), [(1, Edge::Down, 0), (1, Edge::Down, 2)]);
    world.bench.delivered(1, world.bench.told()[1].1.number);
    assert_eq!(world.bench.done(rmdir), Some(Ok(())));
    assert_eq!(world.closed(), 1);
    let at = |wanted: fn(&Action) -> bool| world.bench.log.iter().position(wanted).unwrap();
    let write = at(|action| matches!(action, Action::Disk(_, DiskRequest::Write { .. })));
    assert!(write < at(|action| matches!(action, Action::Disk(_, DiskRequest::Close))));
    assert_eq!(world.debug("livenodes"), "\n");
}

#[test]
fn the_last_block_goes_behind_the_whole_beat_on_its_way() {
    for during_read in [true, false] {
        let mut world = running();
        world.fault.insert('R', Fault::Slow(500));
        world.wait(if during_read { 2100 } else { 2600 });
        let rmdir = world.bench.ask_rmdir(REGION);
        world.serve();
        let writes = world.writes.len();
        world.wait(if during_read { 1000 } else { 500 });
        // The beat is done; only now the last block is on its way.
        assert_eq!((world.bench.done(rmdir), world.closed()), (None, 0));
        assert_eq!(world.writes.len(), writes + 1);
        world.wait(500);
        assert_eq!((world.bench.done(rmdir), world.closed()), (Some(Ok(())), 1));
        assert_eq!(world.slot(0).block.generation, 0);
        world.wait(10_000);
        assert_eq!(world.slot(0).block.generation, 0);
    }
}

/// With a write timeout of 12 s.
fn quick() -> World {
    let mut world = World::local("n0", &[0, 1, 2, 3]);
    world.bench.write("cluster/c/heartbeat/dead_threshold", "7\n").unwrap();
    world.region('R');
    world.steady('R');
    world.wait(2000);
    world
}

#[test]
fn while_its_disk_hangs_a_node_that_leaves_is_a_member_and_negotiates() {
    let mut world = quick();
    world.fault.insert('R', Fault::Hang);
    world.wait(3000);
    let rmdir = world.bench.ask_rmdir(REGION);
    world.bench.log.clear();
    world.seen = 0;
    // Nobody else is there to ask: it gives itself the time, again and again.
    world.wait(60_000);
    assert_eq!(
        (world.bench.answer(rmdir), world.fences(), world.debug("livenodes")),
        (None, 0, "0 \n".into())
    );
    let hung = world.bench.log.iter().filter(|action| match action {
        Action::Note(note) => note.to_string().starts_with("o2hb: all nodes hb write hung"),
        _ => false,
    });
    assert!((9..=10).contains(&hung.count()));
    world.fault.clear();
    for (_, action) in core::mem::take(&mut world.late) {
        world.carry_out(&action);
    }
    world.serve();
    assert_eq!((world.bench.done(rmdir), world.closed()), (Some(Ok(())), 1));
    assert_eq!((world.slot(0).block.generation, world.debug("livenodes")), (0, "\n".into()));
}

#[test]
fn who_leaves_while_only_its_own_disk_hangs_is_fenced_all_the_same() {
    let mut world = quick();
    world.beats_of('R', 2, 3, 1..4);
    world.fault.insert('R', Fault::Hang);
    world.wait(3000);
    let rmdir = world.bench.ask_rmdir(REGION);
    world.wait(8_000);
    assert_eq!((world.bench.answer(rmdir), world.fences()), (None, 0));
    world.wait(2_000);
    assert_eq!((world.bench.answer(rmdir), world.fences()), (None, 1));
}

#[test]
fn who_leaves_while_its_disk_hangs_ends_with_the_local_node() {
    let mut world = running();
    world.fault.insert('R', Fault::Hang);
    world.wait(3000);
    let rmdir = world.bench.ask_rmdir(REGION);
    world.bench.input(Input::Shutdown);
    // At once, though the last block must still wait.
    assert_eq!((world.bench.done(rmdir), world.closed()), (Some(Ok(())), 0));
    world.fault.clear();
    for (_, action) in core::mem::take(&mut world.late) {
        world.carry_out(&action);
    }
    world.serve();
    assert_eq!((world.closed(), world.slot(0).block.generation), (1, 0));
}

#[test]
fn a_region_is_closed_in_the_end_whichever_method_is_active_by_then() {
    let mut world = running();
    world.fault.insert('R', Fault::Slow(500));
    let rmdir = world.bench.ask_rmdir(REGION);
    world.serve();
    assert_eq!((world.bench.answer(rmdir), world.closed()), (None, 0));
    // Nothing of it is left in the tree, so all that stands in the way of another method can go.
    world.bench.rmdir("cluster/c/node/n0").unwrap();
    (1..4).for_each(|num| world.bench.rmdir(&alloc::format!("cluster/c/node/n{num}")).unwrap());
    world.bench.rmdir("cluster/c").unwrap();
    world.bench.write("cluster/heartbeat_mode", "user").unwrap();
    world.wait(1000);
    assert_eq!((world.bench.done(rmdir), world.closed()), (Some(Ok(())), 1));
    assert_eq!(world.slot(0).block.generation, 0);
}

#[test]
fn a_last_block_that_cannot_be_written_ends_it_too() {
    let mut world = running();
    world.fault.insert('R', Fault::Write);
    let rmdir = world.bench.ask_rmdir(REGION);
    world.serve();
    assert_eq!((world.bench.done(rmdir), world.closed()), (Some(Ok(())), 1));
}

#[test]
fn whoever_is_killed_while_the_last_block_hangs_is_answered() {
    let mut world = running();
    world.fault.insert('R', Fault::Hang);
    let rmdir = world.bench.ask_rmdir(REGION);
    world.serve();
    assert_eq!(world.bench.answer(rmdir), None);
    world.bench.input(Input::Cancel(rmdir));
    assert_eq!(world.bench.done(rmdir), Some(Ok(())));
}

#[test]
fn without_a_local_node_a_running_region_stops_cleanly() {
    let mut world = with_another();
    let before = world.bench.dir(REGION);
    world.bench.write("cluster/c/node/n0/local", "0").unwrap();
    world.serve();
    assert_eq!((world.slot(0).block.generation, world.closed()), (0, 1));
    assert_eq!(world.debug("livenodes"), "\n");
    for file in ["dev", "pid"] {
        assert_eq!(world.bench.read(&alloc::format!("{REGION}/{file}")), "");
    }
    assert_eq!(world.bench.dir(REGION), before);
    let refused = world.ask('R');
    assert_eq!(world.bench.done(refused), Some(Err(Refusal::NoLocalNode)));
    // It may be started again, as may another node.
    world.bench.local("n0");
    world.wait(2000);
    assert_eq!(world.steady('R'), 6000);
}

#[test]
fn rmdir_waits_also_for_a_last_block_that_it_did_not_ask_for() {
    let mut world = running();
    world.fault.insert('R', Fault::Slow(500));
    world.bench.write("cluster/c/node/n0/local", "0").unwrap();
    world.serve();
    let rmdir = world.bench.ask_rmdir(REGION);
    assert_eq!(world.bench.answer(rmdir), None);
    world.wait(500);
    assert_eq!(world.bench.done(rmdir), Some(Ok(())));
}

#[test]
fn without_a_local_node_a_start_ends() {
    for wait in [0, 150, 3000] {
        let mut world = World::new();
        world.fault.insert('R', Fault::Slow(100));
        let request = world.start();
        world.wait(wait);
        world.bench.write("cluster/c/node/n0/local", "0").unwrap();
        assert_eq!(world.bench.done(request), Some(Err(Refusal::StartStopped)));
        assert_eq!(world.closed(), 1);
    }
}

#[test]
fn the_program_ends_only_behind_the_last_blocks() {
    for (wait, last) in [(0, false), (150, false), (250, false), (4000, false), (30_000, true)] {
        let mut world = World::new();
        world.fault.insert('R', Fault::Slow(100));
        let request = world.start();
        world.wait(wait);
        world.bench.input(Input::Shutdown);
        world.serve();
        assert!(world.bench.done(request).is_some());
        assert_eq!(world.bench.logged(&Action::Stopped), usize::from(!last), "{wait}");
        world.wait(200);
        assert_eq!(world.bench.logged(&Action::Stopped), 1, "{wait}");
        assert_eq!(world.closed(), 1);
        assert_eq!(world.slot(0).block.generation == 0, last || wait < 300);
        let writes = world.writes.len();
        world.wait(10_000);
        assert_eq!(world.writes.len(), writes);
        assert_eq!(world.bench.log.last(), Some(&Action::Stopped));
    }
}

#[test]
fn an_open_device_is_closed_when_the_program_ended_meanwhile() {
    let mut world = World::new();
    let request = world.ask('R');
    let disk = world.opening();
    world.bench.input(Input::Shutdown);
    assert_eq!(world.bench.done(request), Some(Err(Refusal::StartStopped)));
    world.bench.input(Input::Disk(disk, DiskResult::Opened(Ok(world.info.clone()))));
    assert_eq!(world.closed(), 1);
}

#[test]
fn results_that_nobody_waits_for_do_nothing() {
    let mut world = running();
    world.fault.insert('R', Fault::Slow(500));
    world.wait(2100);
    let disk = world.bench.dir(REGION);
    let on_its_way = world.late[0].1.clone();
    let Action::Disk(_, DiskRequest::Read { op, .. }) = on_its_way else { panic!() };
    let log = world.bench.log.len();
    for other in [OpId(0), OpId(op.0 - 1), OpId(op.0 + 1), OpId(u64::MAX)] {
        for disk in [disk, ItemId(u64::MAX)] {
            world.bench.input(Input::Disk(disk, DiskResult::Read(other, Err(Errno::EIO))));
            world.bench.input(Input::Disk(disk, DiskResult::Read(other, Ok(&[]))));
            world.bench.input(Input::Disk(disk, DiskResult::Written(other, Ok(()))));
            world.bench.input(Input::Disk(disk, DiskResult::Written(other, Err(Errno::EIO))));
        }
    }
    // The right name, but not what was asked for.
    world.bench.input(Input::Disk(disk, DiskResult::Written(op, Err(Errno::EIO))));
    assert_eq!(world.bench.log.len(), log);
    world.carry_out(&on_its_way);
    let log = world.bench.log.len();
    world.carry_out(&on_its_way);
    assert_eq!(world.bench.log.len(), log);
    let rmdir = world.bench.ask_rmdir(REGION);
    world.late.clear();
    world.fault.clear();
    world.serve();
    // That beat's write was asked for before the rmdir, and is done now.
    assert_eq!(world.bench.done(rmdir), Some(Ok(())));
    let log = world.bench.log.len();
    world.carry_out(&on_its_way);
    assert_eq!(world.bench.log.len(), log);
}
