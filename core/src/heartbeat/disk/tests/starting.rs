//! From a write to `dev` to a steady region, and to its end.

use super::*;
use crate::heartbeat::Edge;

fn time_to_steady(world: &mut World) -> u64 {
    world.steady('R')
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
    let mut world = World::global("R");
    assert_eq!(time_to_steady(&mut world), 12_000);
    assert_eq!(world.debug("live_regions"), "0 \n");
    assert_eq!(world.debug("quorum_regions"), "\n");
    world.wait(2000);
    assert_eq!(world.debug("quorum_regions"), "0 \n");
}

#[test]
fn a_running_region_shows_device_and_thread_and_who_is_up() {
    let mut world = World::new();
    world.bench.subscribe(Registration::all(1)).unwrap();
    time_to_steady(&mut world);
    assert_eq!(world.bench.read(&alloc::format!("{REGION}/dev")), "vda\n");
    assert_eq!(world.bench.read(&alloc::format!("{REGION}/pid")), "77\n");
    assert_eq!(world.debug("livenodes"), "0 \n");
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
    assert_eq!(world.debug("R/livenodes"), "0 2 \n");
    world.wait(2000 * 30);
    assert_eq!(world.debug("livenodes"), "0 2 \n");
    world.wait(2000);
    assert_eq!(world.debug("livenodes"), "0 \n");
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

#[test]
fn another_node_coming_up_meanwhile_takes_a_period_more() {
    let mut world = World::new();
    let request = world.start();
    let begun = world.bench.mono;
    world.beats_of('R', 1, 9, 100..104);
    let (_, result) = world.until_done(request);
    assert_eq!((result, world.bench.mono - begun), (Ok(()), Duration::from_secs(10)));
    assert_eq!(world.debug("R/livenodes"), "0 1 \n");
}

#[test]
fn a_short_device_and_one_that_cannot_be_read_fail_at_once() {
    for (length, fault) in
        [(BLOCKS * BYTES - 1, Fault::None), (0, Fault::None), (BLOCKS * BYTES, Fault::Read)]
    {
        let mut world = World::new();
        world.disks.get_mut(&'R').unwrap().truncate(length);
        world.fault.insert('R', fault);
        let request = world.start();
        assert_eq!(world.bench.done(request), Some(Err(Refusal::Unreadable)));
        assert_eq!(Refusal::Unreadable.errno(), Errno::EIO);
        assert_eq!((world.closed(), world.said("cannot be read: EIO").len()), (1, 1));
        // As before: it may be tried again, and the other files written.
        world.bench.write(&alloc::format!("{REGION}/blocks"), "8").unwrap();
        world.disks.insert('R', alloc::vec![0; BLOCKS * BYTES]);
        world.fault.clear();
        assert_eq!(time_to_steady(&mut world), 8000);
    }
}

#[test]
fn sectors_of_another_size_are_refused_but_a_file_takes_multiples() {
    for (sector_bytes, regular_file, result) in [
        (4096, false, Some(Err(Refusal::WrongBlockSize(4096)))),
        (256, false, Some(Err(Refusal::WrongBlockSize(256)))),
        (4096, true, Some(Err(Refusal::WrongBlockSize(4096)))),
        (0, true, Some(Err(Refusal::WrongBlockSize(0)))),
        (256, true, None),
        (512, true, None),
        (512, false, None),
    ] {
        let mut world = World::new();
        world.info = DiskInfo { sector_bytes, regular_file, ..world.info };
        let request = world.start();
        assert_eq!(world.bench.done(request), result, "{sector_bytes} {regular_file}");
        let refused = usize::from(result.is_some());
        assert_eq!(
            (world.closed(), world.said("blocksize 512 incorrect for device").len()),
            (refused, refused)
        );
    }
}

#[test]
fn the_local_node_must_have_a_slot() {
    let mut world = World::local("n0", &[0]);
    world.region('R');
    world.bench.node(9);
    let first = world.ask('R');
    let disk = world.opening();
    // Meanwhile this machine becomes another node.
    world.bench.rmdir("cluster/c/node/n0").unwrap();
    world.bench.local("n9");
    world.bench.input(Input::Disk(disk, DiskResult::Opened(Ok(world.info.clone()))));
    assert_eq!(world.bench.done(first), Some(Err(Refusal::BeyondBlocks)));
    assert_eq!(world.closed(), 1);
    let second = world.ask('R');
    assert_eq!(world.bench.done(second), Some(Err(Refusal::BeyondBlocks)));
    assert_eq!(Refusal::BeyondBlocks.errno(), Errno::EINVAL);
}

#[test]
fn a_local_node_removed_while_the_slots_are_read_ends_the_start() {
    let mut world = World::new();
    world.fault.insert('R', Fault::Slow(100));
    let request = world.start();
    world.bench.rmdir("cluster/c/node/n0").unwrap();
    world.wait(100);
    assert_eq!(world.bench.done(request), Some(Err(Refusal::NoLocalNode)));
    assert_eq!((world.closed(), world.bench.engine.poll_timeout()), (1, None));
}

#[test]
fn a_read_only_device_is_given_up_after_nine_beats_and_may_be_tried_again() {
    let mut world = World::new();
    world.fault.insert('R', Fault::Write);
    let request = world.start();
    assert_eq!(world.until_done(request), (16_000, Err(Refusal::Unstable)));
    assert_eq!(Refusal::Unstable.errno(), Errno::EIO);
    assert_eq!(world.writes.len(), 9);
    assert_eq!(world.said("Unable to stabilize heartbeat on region R (vda)").len(), 1);
    assert_eq!((world.closed(), world.fences()), (1, 0));
    assert_eq!(world.bench.read(&alloc::format!("{REGION}/pid")), "");
    assert_eq!(world.bench.rmdir("cluster/c/node/n0"), Ok(()));
    world.bench.node(0);
    world.bench.local("n0");
    world.fault.clear();
    world.wait(2000);
    assert_eq!(time_to_steady(&mut world), 8000);
}

#[test]
fn the_only_region_of_global_heartbeat_is_given_up_after_fifteen_beats() {
    let mut world = World::global("R");
    world.fault.insert('R', Fault::Write);
    let request = world.start();
    assert_eq!(world.until_done(request), (28_000, Err(Refusal::Unstable)));
    assert_eq!(world.debug("live_regions"), "\n");
    assert!(world.said("Heartbeat started").is_empty());
}

#[test]
fn whoever_opens_for_a_caller_that_has_gone_closes_again() {
    let mut world = World::new();
    let first = world.ask('R');
    let disk = world.opening();
    world.bench.input(Input::Cancel(first));
    assert_eq!(world.bench.done(first), Some(Err(Refusal::StartInterrupted)));
    // Until then there is no telling whose device comes.
    let second = world.ask('R');
    assert_eq!(world.bench.done(second), Some(Err(Refusal::RegionStarted)));
    world.bench.input(Input::Disk(disk, DiskResult::Opened(Ok(world.info.clone()))));
    assert_eq!(world.closed(), 1);
    world.seen = world.bench.log.len();
    assert_eq!(time_to_steady(&mut world), 8000);
    // What is said twice closes no device that is in use.
    world.bench.input(Input::Disk(disk, DiskResult::Opened(Ok(world.info.clone()))));
    assert_eq!(world.closed(), 1);
}

#[test]
fn a_device_for_a_region_that_has_gone_is_closed() {
    let mut world = World::new();
    let start = world.ask('R');
    let disk = world.opening();
    let rmdir = world.bench.ask_rmdir(REGION);
    assert_eq!(world.bench.answer(rmdir), None);
    world.bench.input(Input::Cancel(start));
    assert_eq!(world.bench.done(rmdir), Some(Ok(())));
    world.bench.input(Input::Disk(disk, DiskResult::Opened(Ok(world.info.clone()))));
    assert_eq!(world.bench.logged(&Action::Disk(disk, DiskRequest::Close)), 1);
}

#[test]
fn rmdir_waits_for_the_write_to_dev() {
    let mut world = World::new();
    let start = world.start();
    world.wait(3000);
    let rmdir = world.bench.ask_rmdir(REGION);
    assert_eq!(world.until_done(rmdir), (5000, Ok(())));
    assert_eq!(world.bench.done(start), Some(Ok(())));
    assert_eq!(world.slot(0).block.generation, 0);
}

#[test]
fn a_caller_may_be_killed_in_every_phase() {
    for (slow, wait) in [(100, 0), (100, 50), (100, 150), (100, 250), (0, 4000)] {
        let mut world = World::new();
        world.fault.insert('R', Fault::Slow(slow));
        let request = world.start();
        world.wait(wait);
        world.bench.input(Input::Cancel(request));
        world.serve();
        assert_eq!(world.bench.done(request), Some(Err(Refusal::StartInterrupted)), "{slow} {wait}");
        assert_eq!(world.closed(), 1);
        world.wait(10_000);
        world.fault.clear();
        assert!(matches!(time_to_steady(&mut world), 6000 | 8000));
    }
}
