//! The generic layer, the registry of methods, both methods.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::Edge::{Down, Up};
use super::*;
use crate::ids::{ConsumerId, NodeNum};
use crate::testing::{Bench, CALLER, WALL, Wish};
use crate::time::{Instant, Now};
use crate::tree::Op;
use crate::{Action, Errno, Input, View};

const REGION: &str = "cluster/c/heartbeat/R";

fn up(bench: &mut Bench, node: &str, region: &str) -> crate::RequestId {
    let link = alloc::format!("cluster/c/heartbeat/{region}/{node}");
    bench.ask_link(&alloc::format!("cluster/c/node/{node}"), &link)
}

fn down(bench: &mut Bench, node: &str, region: &str) -> crate::RequestId {
    bench.ask_unlink(&alloc::format!("cluster/c/heartbeat/{region}/{node}"))
}

// Registry

#[test]
fn the_first_method_registered_is_active() {
    let mut heartbeat = Heartbeat::default();
    assert_eq!(heartbeat.active_name(), None);
    heartbeat.register(Box::new(User::default()));
    heartbeat.register(Box::new(Disk::default()));
    assert_eq!(heartbeat.active_name(), Some("user"));
    assert!(heartbeat.available().eq(["user", "disk"]));
}

#[test]
fn unregistering_the_active_method_leaves_none() {
    let mut heartbeat = Heartbeat::default();
    heartbeat.register(Box::new(Disk::default()));
    heartbeat.register(Box::new(User::default()));
    heartbeat.unregister("disk");
    assert_eq!(heartbeat.active_name(), None);
    assert_eq!(heartbeat.select(b"user", false), Ok("user"));
}

#[test]
fn unregistering_another_method_keeps_the_active_one() {
    let mut heartbeat = Heartbeat::default();
    heartbeat.register(Box::new(Disk::default()));
    heartbeat.register(Box::new(User::default()));
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
    assert_eq!(bench.write(file, "0x10"), Err(Refusal::NotANumber));
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
        bench.mkdir(&alloc::format!("cluster/c/heartbeat/{num}")).unwrap();
    }
    assert_eq!(bench.mkdir("cluster/c/heartbeat/x"), Err(Refusal::TooManyRegions));
    assert_eq!(Refusal::TooManyRegions.errno(), Errno::EFBIG);
    bench.rmdir("cluster/c/heartbeat/5").unwrap();
    bench.mkdir("cluster/c/heartbeat/x").unwrap();
    assert_eq!(bench.read_in(View::Debugfs, "o2hb/x/num"), "5\n");
    assert_eq!(bench.read_in(View::Debugfs, "o2hb/31/num"), "31\n");
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
    let open = Action::OpenDevice { request, caller: CALLER, descriptor: 3 };
    assert_eq!((bench.logged(&open), bench.answer(request)), (1, None));
    bench.input(Input::DeviceOpened { request, result: Err(Refusal::NotABlockDevice) });
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
    assert_eq!(bench.write(file, "\n"), Err(Refusal::NotANumber));
    assert_eq!(bench.write(file, "18446744073709551616"), Err(Refusal::NotANumber));
    assert_eq!(bench.write(file, "18446744073709551615"), Ok(20));
    assert_eq!(bench.read(file), "18446744073709551615\n");
}

// Method user

#[test]
fn a_link_brings_up_and_its_removal_down() {
    let mut bench = Bench::user();
    bench.subscribe(Wish::all(1)).unwrap();
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
    bench.subscribe(Wish::of(1, "R")).unwrap();
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

// Callbacks

#[test]
fn lower_priority_first_and_equals_in_order_of_registration() {
    let mut bench = Bench::user();
    for (consumer, priority) in [(1, 5), (2, 0), (3, 5), (4, -1), (5, 0)] {
        bench.subscribe(Wish { priority, ..Wish::all(consumer) }).unwrap();
    }
    let linked = up(&mut bench, "n1", "R");
    for consumer in [4, 2, 5, 1, 3] {
        assert_eq!(bench.told().last().unwrap().0, consumer);
        assert_eq!(bench.answer(linked), None);
        bench.delivered(consumer, 0);
    }
    assert_eq!(bench.told().len(), 5);
    assert_eq!(bench.done(linked), Some(Ok(())));
}

#[test]
fn only_the_wanted_edge_and_scope() {
    let mut bench = Bench::user();
    bench.mkdir("cluster/c/heartbeat/S").unwrap();
    bench.subscribe(Wish { edge: Some(Up), ..Wish::all(1) }).unwrap();
    bench.subscribe(Wish { edge: Some(Down), ..Wish::of(2, "R") }).unwrap();
    bench.subscribe(Wish::of(3, "S")).unwrap();
    let mut number = 0;
    for (edge, region) in [(Up, "R"), (Up, "S"), (Down, "R"), (Down, "S")] {
        let request = match edge {
            Up => up(&mut bench, "n1", region),
            Down => down(&mut bench, "n1", region),
        };
        for consumer in 1..=3 {
            bench.delivered(consumer, number);
        }
        assert_eq!(bench.done(request), Some(Ok(())));
        number += 1;
    }
    assert_eq!(bench.told_short(), [(1, Up, 1), (1, Up, 1), (3, Up, 1), (2, Down, 1), (3, Down, 1)]);
}

#[test]
fn an_event_without_a_region_is_for_everybody() {
    let mut delivery = Delivery::default();
    let region = ItemId(9);
    delivery.register(ConsumerId(1), Scope::Region(region), None, 0, None);
    delivery.register(ConsumerId(2), Scope::Everything, None, 0, None);
    let node = NodeName { num: NodeNum::new(3).unwrap(), name: Name::new(b"n3").unwrap() };
    delivery.queue(Up, node, None, Cause::Linked(1), Now::default());
    for consumer in [ConsumerId(1), ConsumerId(2)] {
        let Some(Step::Deliver(to, _)) = delivery.step(Instant::default()) else { panic!() };
        assert_eq!(to, consumer);
        assert_eq!(delivery.step(Instant::default()), None);
        assert!(delivery.done(to, 0));
    }
    assert_eq!(delivery.step(Instant::default()), None);
    assert_eq!(delivery.delivered(), 1);
}

#[test]
fn one_event_at_a_time_in_the_order_of_queueing() {
    let mut bench = Bench::user();
    bench.subscribe(Wish::all(1)).unwrap();
    bench.subscribe(Wish::all(2)).unwrap();
    let first = up(&mut bench, "n1", "R");
    let second = up(&mut bench, "n2", "R");
    assert_eq!(bench.told_short(), [(1, Up, 1)]);
    bench.delivered(1, 0);
    assert_eq!(bench.told_short(), [(1, Up, 1), (2, Up, 1)]);
    assert_eq!(bench.answer(first), None);
    bench.delivered(2, 0);
    // Now the first caller returns, and only then the second event is told.
    assert_eq!((bench.done(first), bench.answer(second)), (Some(Ok(())), None));
    bench.delivered(1, 1);
    bench.delivered(2, 1);
    assert_eq!(bench.told_short(), [(1, Up, 1), (2, Up, 1), (1, Up, 2), (2, Up, 2)]);
    assert_eq!(bench.done(second), Some(Ok(())));
}

#[test]
fn calls_that_make_no_event_do_not_wait_for_others() {
    let mut bench = Bench::user();
    bench.subscribe(Wish::all(1)).unwrap();
    up(&mut bench, "n1", "R");
    assert_eq!(bench.mkdir("cluster/c/node/x"), Ok(()));
    assert_eq!(bench.link("cluster/c/node/n1", "cluster/c/heartbeat/R/again"), Err(Refusal::NodeLinked));
    assert_eq!(bench.engine.waiting(), 1);
}

#[test]
fn without_consumers_nobody_waits() {
    let mut bench = Bench::user();
    assert_eq!(bench.link("cluster/c/node/n1", "cluster/c/heartbeat/R/n1"), Ok(()));
    assert_eq!(bench.unlink("cluster/c/heartbeat/R/n1"), Ok(()));
}

#[test]
fn only_the_one_whose_turn_it_is_can_say_delivered() {
    let mut bench = Bench::user();
    bench.subscribe(Wish::all(1)).unwrap();
    bench.subscribe(Wish::all(2)).unwrap();
    let request = up(&mut bench, "n1", "R");
    for (consumer, event) in [(2, 0), (1, 1), (3, 0)] {
        bench.delivered(consumer, event);
    }
    assert_eq!(bench.told_short(), [(1, Up, 1)]);
    bench.delivered(1, 0);
    bench.delivered(1, 0);
    assert_eq!((bench.told().len(), bench.answer(request)), (2, None));
}

#[test]
fn a_registration_sees_a_node_in_the_map_or_as_an_event() {
    let mut bench = Bench::user();
    bench.subscribe(Wish::all(1)).unwrap();
    up(&mut bench, "n1", "R");
    up(&mut bench, "n2", "R");
    // Event 0 is being delivered, event 1 is queued: both nodes are in the map, neither comes as an event.
    assert_eq!(bench.subscribe(Wish::all(2)), Ok(Vec::from([1, 2])));
    down(&mut bench, "n1", "R");
    assert_eq!(bench.subscribe(Wish::all(3)), Ok(Vec::from([2])));
    bench.delivered(1, 0);
    bench.delivered(1, 1);
    bench.delivered(1, 2);
    bench.delivered(2, 2);
    assert_eq!(bench.told_short(), [(1, Up, 1), (1, Up, 2), (1, Down, 1), (2, Down, 1)]);
    let third = up(&mut bench, "n3", "R");
    for consumer in 1..=3 {
        bench.delivered(consumer, 3);
    }
    assert_eq!(bench.done(third), Some(Ok(())));
    assert_eq!(bench.told().len(), 7);
}

#[test]
fn a_map_says_since_when() {
    let mut bench = Bench::user();
    bench.wait(1500);
    up(&mut bench, "n1", "R");
    bench.wait(1500);
    assert_eq!(bench.engine.status().regions[0].up[0].1, WALL + Duration::from_millis(1500));
}

#[test]
fn a_consumer_of_one_region_pins_it_and_the_local_node() {
    let mut bench = Bench::user();
    bench.subscribe(Wish::of(1, "R")).unwrap();
    bench.subscribe(Wish::of(2, "R")).unwrap();
    assert_eq!(bench.engine.status().regions[0].holds, 2);
    bench.unsubscribe(1);
    assert_eq!(bench.rmdir(REGION), Err(Refusal::Depended));
    assert_eq!(bench.rmdir("cluster/c/node/n0"), Err(Refusal::Depended));
    assert_eq!(bench.rmdir("cluster/c/node/n1"), Ok(()));
    bench.unsubscribe(2);
    bench.unsubscribe(2);
    assert_eq!(bench.rmdir(REGION), Ok(()));
    assert_eq!(bench.rmdir("cluster/c/node/n0"), Ok(()));
}

#[test]
fn a_consumer_of_all_regions_pins_nothing() {
    let mut bench = Bench::user();
    bench.subscribe(Wish::all(1)).unwrap();
    assert_eq!(bench.rmdir(REGION), Ok(()));
    assert_eq!(bench.rmdir("cluster/c/node/n0"), Ok(()));
}

#[test]
fn a_registration_wants_its_region_and_a_local_node() {
    let mut bench = Bench::user();
    assert_eq!(bench.subscribe(Wish::of(1, "none")), Err(Refusal::NoSuchRegion));
    assert_eq!(Refusal::NoSuchRegion.errno(), Errno::ENOENT);
    bench.write("cluster/c/node/n0/local", "0").unwrap();
    assert_eq!(bench.subscribe(Wish::of(1, "R")), Err(Refusal::NoLocalNode));
    assert_eq!(bench.notes().len(), 2);
    assert_eq!(bench.engine.status().consumers, 0);
    assert_eq!(bench.rmdir(REGION), Ok(()));
}

#[test]
fn unsubscribing_in_mid_delivery_lets_the_next_one_run() {
    let mut bench = Bench::user();
    (1..=3).for_each(|consumer| assert!(bench.subscribe(Wish::all(consumer)).is_ok()));
    let request = up(&mut bench, "n1", "R");
    bench.unsubscribe(2);
    assert_eq!(bench.told().len(), 1);
    bench.unsubscribe(1);
    assert_eq!(bench.told_short(), [(1, Up, 1), (3, Up, 1)]);
    bench.unsubscribe(3);
    assert_eq!(bench.done(request), Some(Ok(())));
    // An answer that comes too late means nothing.
    bench.delivered(1, 0);
    assert_eq!(bench.told().len(), 2);
}

#[test]
fn who_takes_longer_than_its_patience_is_struck_off() {
    let mut bench = Bench::user();
    bench.subscribe(Wish { patience: Some(100), ..Wish::of(1, "R") }).unwrap();
    bench.subscribe(Wish::all(2)).unwrap();
    assert_eq!(bench.engine.poll_timeout(), None);
    bench.wait(10);
    let request = up(&mut bench, "n1", "R");
    assert_eq!(bench.engine.poll_timeout(), Some(Instant::at(Duration::from_millis(110))));
    bench.wait(99);
    assert_eq!(bench.told().len(), 1);
    bench.wait(1);
    assert_eq!(bench.logged(&Action::Expelled { consumer: ConsumerId(1) }), 1);
    assert_eq!(bench.told_short(), [(1, Up, 1), (2, Up, 1)]);
    assert_eq!(bench.engine.poll_timeout(), None);
    bench.delivered(2, 0);
    assert_eq!(bench.done(request), Some(Ok(())));
    // Its pins have gone with it, and it hears of nothing more.
    down(&mut bench, "n1", "R");
    bench.delivered(2, 1);
    assert_eq!(bench.rmdir(REGION), Ok(()));
    assert!(bench.told().iter().all(|(consumer, event)| *consumer == 2 || event.number == 0));
}

#[test]
fn patience_begins_anew_with_each_event() {
    let mut bench = Bench::user();
    bench.subscribe(Wish { patience: Some(100), ..Wish::all(1) }).unwrap();
    up(&mut bench, "n1", "R");
    up(&mut bench, "n2", "R");
    bench.wait(90);
    bench.delivered(1, 0);
    bench.wait(99);
    assert_eq!(bench.engine.status().consumers, 1);
    bench.wait(1);
    assert_eq!(bench.engine.status().consumers, 0);
}

#[test]
fn calls_of_the_timer_out_of_turn_do_nothing() {
    let mut bench = Bench::user();
    bench.wait(1000);
    bench.subscribe(Wish { patience: Some(100), ..Wish::all(1) }).unwrap();
    up(&mut bench, "n1", "R");
    bench.log.clear();
    for _ in 0..5 {
        bench.wait(10);
    }
    assert_eq!(bench.log, []);
}

#[test]
fn an_answer_at_the_last_moment_counts() {
    let mut bench = Bench::user();
    bench.subscribe(Wish { patience: Some(100), ..Wish::all(1) }).unwrap();
    up(&mut bench, "n1", "R");
    bench.mono += Duration::from_millis(100);
    bench.delivered(1, 0);
    assert_eq!(bench.engine.status().consumers, 1);
}

#[test]
fn events_are_noted_only_when_asked_for() {
    let mut bench = Bench::user();
    up(&mut bench, "n1", "R");
    assert!(bench.notes().is_empty());
    bench.write_in(View::Sysfs, "fs/o2cb/logmask/HEARTBEAT", "allow").unwrap();
    down(&mut bench, "n1", "R");
    let notes: Vec<String> = bench.notes().iter().map(ToString::to_string).collect();
    assert_eq!(notes, ["o2hb: node n1 (1) down in region R, unlinked by pid 7"]);
}

#[test]
fn a_region_can_be_made_again() {
    let mut bench = Bench::user();
    up(&mut bench, "n1", "R");
    bench.unlink("cluster/c/heartbeat/R/n1").unwrap();
    let old = bench.dir(REGION);
    bench.rmdir(REGION).unwrap();
    bench.mkdir(REGION).unwrap();
    assert_ne!(bench.dir(REGION), old);
    assert_eq!(bench.subscribe(Wish::of(1, "R")), Ok(Vec::new()));
    assert_eq!(bench.tree(View::Config, Op::List(old)), Err(Refusal::Gone));
}
