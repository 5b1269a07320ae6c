//! The registry of methods, and what each method supplies.

use alloc::boxed::Box;
use alloc::string::ToString;
use core::time::Duration;

use super::Edge::{Down, Up};
use super::disk::{DiskRequest, DiskResult};
use super::{Cause, Disk, Heartbeat, User};
use crate::ids::NodeNum;
use crate::testing::{Bench, CALLER, REGION, Registration, WALL, down, up};
use crate::{Action, Errno, Input, Refusal, View};

#[test]
fn the_first_method_registered_is_active() {
    let mut heartbeat = Heartbeat::default();
    assert_eq!(heartbeat.active_name(), None);
    heartbeat.register(Box::new(User));
    heartbeat.register(Box::new(Disk::default()));
    assert_eq!(heartbeat.active_name(), Some("user"));
    assert!(heartbeat.available().eq(["user", "disk"]));
}

#[test]
fn unregistering_the_active_method_leaves_none() {
    let mut heartbeat = Heartbeat::default();
    heartbeat.register(Box::new(Disk::default()));
    heartbeat.register(Box::new(User));
    heartbeat.unregister("disk");
    assert_eq!(heartbeat.active_name(), None);
    assert_eq!(heartbeat.select(b"user", false), Ok("user"));
}

#[test]
fn unregistering_another_method_keeps_the_active_one() {
    let mut heartbeat = Heartbeat::default();
    heartbeat.register(Box::new(Disk::default()));
    heartbeat.register(Box::new(User));
    heartbeat.select(b"user", false).unwrap();
    heartbeat.unregister("disk");
    assert_eq!(heartbeat.active_name(), Some("user"));
}

#[test]
fn heartbeat_mode_takes_a_whole_name_with_or_without_newline() {
    let mut bench = Bench::new();
    let file = "cluster/heartbeat_mode";
    for word in ["", "\n", "use", "users", "user\n\n", "USER", " user", "none\n"] {
        assert_eq!(bench.write(file, word), Err(Refusal::UnknownMode), "{word:?}");
        assert_eq!(bench.read(file), "disk\n");
    }
    assert_eq!(bench.write(file, "user\n"), Ok(5));
    assert_eq!(bench.read(file), "user\n");
    assert_eq!(bench.write(file, "disk"), Ok(4));
    assert_eq!(bench.read("cluster/heartbeat_available_modes"), "disk\nuser\n");
}

#[test]
fn heartbeat_mode_stays_while_a_cluster_exists() {
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    for word in ["user", "disk", "nonsense"] {
        assert_eq!(bench.write("cluster/heartbeat_mode", word), Err(Refusal::ModeInUse));
    }
    bench.rmdir("cluster/c").unwrap();
    assert_eq!(bench.write("cluster/heartbeat_mode", "user"), Ok(4));
}

#[test]
fn the_active_method_supplies_the_group() {
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    assert_eq!(bench.list(View::Config, "cluster/c/heartbeat"), ["mode", "dead_threshold"]);
    bench.rmdir("cluster/c").unwrap();
    bench.write("cluster/heartbeat_mode", "user").unwrap();
    bench.mkdir("cluster/c").unwrap();
    assert!(bench.list(View::Config, "cluster/c/heartbeat").is_empty());
}

// Method disk

#[test]
fn dead_threshold_is_ignored_up_to_2_and_while_a_region_exists() {
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    let file = "cluster/c/heartbeat/dead_threshold";
    for (text, shown) in [
        ("2", "31\n"),
        ("\n", "31\n"),
        ("3", "3\n"),
        ("4294967298", "3\n"),
        ("4294967300", "4\n"),
        ("010", "10\n"),
    ] {
        assert_eq!(bench.write(file, text), Ok(text.len()));
        assert_eq!(bench.read(file), shown, "{text:?}");
    }
    assert_eq!(bench.write(file, "0x10"), Err(Refusal::NotDecimal));
    bench.mkdir(REGION).unwrap();
    assert_eq!(bench.write(file, "7"), Ok(1));
    assert_eq!(bench.write("cluster/c/heartbeat/mode", "global"), Ok(6));
    assert_eq!(bench.read(file), "10\n");
    assert_eq!(bench.read("cluster/c/heartbeat/mode"), "local\n");
    assert_eq!(bench.write("cluster/c/heartbeat/mode", "nonsense"), Err(Refusal::BadDiskMode));
}

#[test]
fn dead_threshold_and_mode_outlive_the_cluster() {
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    bench.write("cluster/c/heartbeat/dead_threshold", "7").unwrap();
    bench.write("cluster/c/heartbeat/mode", "g").unwrap();
    bench.rmdir("cluster/c").unwrap();
    bench.mkdir("cluster/d").unwrap();
    assert_eq!(bench.read("cluster/d/heartbeat/dead_threshold"), "7\n");
    assert_eq!(bench.read("cluster/d/heartbeat/mode"), "global\n");
}

#[test]
fn global_mode_numbers_32_regions_and_takes_the_lowest_free() {
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    bench.write("cluster/c/heartbeat/mode", "global").unwrap();
    for num in 0..32 {
        bench.mkdir(&alloc::format!("cluster/c/heartbeat/G{num}")).unwrap();
    }
    assert_eq!(bench.mkdir("cluster/c/heartbeat/x"), Err(Refusal::TooManyRegions));
    assert_eq!(Refusal::TooManyRegions.errno(), Errno::EFBIG);
    bench.rmdir("cluster/c/heartbeat/G5").unwrap();
    bench.mkdir("cluster/c/heartbeat/x").unwrap();
    assert_eq!(bench.read_in(View::Debugfs, "o2hb/x/num"), "5\n");
    assert_eq!(bench.read_in(View::Debugfs, "o2hb/G31/num"), "31\n");
}

#[test]
fn local_mode_numbers_nothing() {
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    for num in 0..40 {
        bench.mkdir(&alloc::format!("cluster/c/heartbeat/{num}")).unwrap();
    }
    assert_eq!(bench.read_in(View::Debugfs, "o2hb/39/num"), "0\n");
}

#[test]
fn a_region_has_a_name_of_at_most_32_bytes_in_both_methods() {
    for mode in ["disk", "user"] {
        let mut bench = Bench::new();
        bench.write("cluster/heartbeat_mode", mode).unwrap();
        bench.mkdir("cluster/c").unwrap();
        let name = |length: usize| alloc::format!("cluster/c/heartbeat/{}", "r".repeat(length));
        assert_eq!(bench.mkdir(&name(33)), Err(Refusal::RegionNameTooLong));
        assert_eq!(bench.mkdir(&name(32)), Ok(()));
    }
}

#[test]
fn a_disk_region_holds_no_links_and_shows_nothing_before_its_start() {
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    bench.node(0);
    bench.mkdir(REGION).unwrap();
    assert_eq!(bench.link("cluster/c/node/n0", "cluster/c/heartbeat/R/n0"), Err(Refusal::NoLinksHere));
    for (file, text) in
        [("block_bytes", "0\n"), ("start_block", "0\n"), ("blocks", "0\n"), ("dev", ""), ("pid", "")]
    {
        assert_eq!(bench.read(&alloc::format!("{REGION}/{file}")), text);
    }
}

#[test]
fn dev_wants_a_local_node_then_a_number_then_the_other_three() {
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    bench.node(0);
    bench.mkdir(REGION).unwrap();
    let dev = "cluster/c/heartbeat/R/dev";
    assert_eq!(bench.write(dev, "x"), Err(Refusal::NoLocalNode));
    bench.local("n0");
    assert_eq!(bench.write(dev, "x"), Err(Refusal::NotANumber));
    assert_eq!(bench.write(dev, "2147483648"), Err(Refusal::BadDescriptor));
    for (file, value) in [("block_bytes", "512"), ("start_block", "1"), ("blocks", "255")] {
        assert_eq!(bench.write(dev, "3"), Err(Refusal::RegionIncomplete));
        bench.write(&alloc::format!("{REGION}/{file}"), value).unwrap();
    }
    let request = bench.ask_write(dev, "3\n");
    let disk = bench.dir(REGION);
    let (block_bytes, start_block, blocks) = (512, 1, 255);
    let open = Action::Disk(
        disk,
        DiskRequest::Open { request, caller: CALLER, descriptor: 3, block_bytes, start_block, blocks },
    );
    assert_eq!((bench.logged(&open), bench.answer(request)), (1, None));
    bench.input(Input::Disk(disk, DiskResult::Opened(Err(Refusal::NotABlockDevice))));
    assert_eq!(bench.done(request), Some(Err(Refusal::NotABlockDevice)));
    assert_eq!(bench.rmdir(REGION), Ok(()));
}

#[test]
fn start_block_has_its_own_number_syntax() {
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    bench.mkdir(REGION).unwrap();
    let file = "cluster/c/heartbeat/R/start_block";
    assert_eq!(bench.write(file, "+7\n"), Ok(3));
    assert_eq!(bench.write(file, "\n"), Err(Refusal::NotStrictNumber));
    assert_eq!(bench.write(file, "18446744073709551616"), Err(Refusal::NotStrictNumber));
    assert_eq!(bench.write(file, "18446744073709551615"), Ok(20));
    assert_eq!(bench.read(file), "18446744073709551615\n");
}

// Method user

#[test]
fn a_link_brings_up_and_its_removal_down() {
    let mut bench = Bench::user();
    bench.subscribe(Registration::all(1)).unwrap();
    bench.wait(500);
    let linked = up(&mut bench, "n1", "R");
    assert_eq!(bench.read("cluster/c/heartbeat/R/n1"), "../../../../cluster/c/node/n1");
    let (_, event) = bench.told().pop().unwrap();
    assert_eq!((event.edge, event.node.num.get(), event.node.name.as_bytes()), (Up, 1, &b"n1"[..]));
    assert_eq!(event.region.unwrap().name.as_bytes(), b"R");
    assert_eq!((event.cause, event.at), (Cause::Linked(CALLER.pid), WALL + Duration::from_millis(500)));
    assert_eq!(bench.answer(linked), None);
    bench.delivered(1, 0);
    assert_eq!(bench.done(linked), Some(Ok(())));
    let unlinked = down(&mut bench, "n1", "R");
    assert_eq!(bench.answer(unlinked), None);
    let (_, event) = bench.told().pop().unwrap();
    assert_eq!((event.number, event.edge, event.cause), (1, Down, Cause::Unlinked(CALLER.pid)));
    bench.delivered(1, 1);
    assert_eq!(bench.done(unlinked), Some(Ok(())));
}

#[test]
fn only_a_numbered_node_is_linked_and_once_a_region() {
    let mut bench = Bench::user();
    bench.mkdir("cluster/c/node/new").unwrap();
    let mut link = |target: &str, name: &str| bench.link(target, &alloc::format!("{REGION}/{name}"));
    assert_eq!(link("cluster/c/node/new", "x"), Err(Refusal::NodeUnnumbered));
    for target in ["cluster", "cluster/c", "cluster/c/node", "cluster/c/heartbeat", REGION] {
        assert_eq!(link(target, "x"), Err(Refusal::LinkNotToNode), "{target}");
    }
    assert_eq!(link("cluster/c/node/n1", "any name"), Ok(()));
    assert_eq!(link("cluster/c/node/n1", "x"), Err(Refusal::NodeLinked));
    assert_eq!(link("cluster/c/node/n1/num", "x"), Err(Refusal::TargetNotADirectory));
    assert_eq!(bench.rmdir("cluster/c/node/n1"), Err(Refusal::LinkedTo));
    assert_eq!(bench.rmdir(REGION), Err(Refusal::NotEmpty));
    bench.unlink("cluster/c/heartbeat/R/any name").unwrap();
    assert_eq!(bench.link("cluster/c/node/n1", "cluster/c/heartbeat/R/x"), Ok(()));
}

#[test]
fn regions_know_nothing_of_each_other() {
    let mut bench = Bench::user();
    bench.mkdir("cluster/c/heartbeat/S").unwrap();
    bench.subscribe(Registration::of(1, "R")).unwrap();
    for region in ["R", "S"] {
        up(&mut bench, "n1", region);
    }
    bench.delivered(1, 0);
    down(&mut bench, "n1", "S");
    assert_eq!(bench.told_short(), [(1, Up, 1)]);
    let status = bench.engine.status();
    assert!(status.cluster.unwrap().up.contains(NodeNum::new(1).unwrap()));
    assert_eq!((status.regions[0].up.len(), status.regions[1].up.len()), (1, 0));
}

#[test]
fn up_in_all_is_the_union() {
    let mut bench = Bench::user();
    bench.mkdir("cluster/c/heartbeat/S").unwrap();
    for (node, region) in [("n1", "R"), ("n2", "S"), ("n1", "S")] {
        up(&mut bench, node, region);
    }
    let union = |bench: &Bench| bench.engine.status().cluster.unwrap().up.to_string();
    assert_eq!(union(&bench), "1 2 ");
    down(&mut bench, "n1", "R");
    assert_eq!(union(&bench), "1 2 ");
    down(&mut bench, "n1", "S");
    assert_eq!(union(&bench), "2 ");
}
