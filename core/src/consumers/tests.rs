//! Who is told of what, in which order, and who waits for it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::{Delivery, Scope, Step};
use crate::heartbeat::Edge::{Down, Up};
use crate::heartbeat::{Cause, NodeEdge, NodeName, RegionName, Telling};
use crate::ids::{ConsumerId, NodeNum};
use crate::testing::{Bench, REGION, Registration, WALL, down, up};
use crate::time::Instant;
use crate::tree::Op;
use crate::{Action, Errno, ItemId, Name, Refusal, View};

#[test]
fn lower_priority_first_and_equals_in_order_of_registration() {
    let mut bench = Bench::user();
    for (consumer, priority) in [(1, 5), (2, 0), (3, 5), (4, -1), (5, 0)] {
        bench.subscribe(Registration { priority, ..Registration::all(consumer) }).unwrap();
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
    bench.subscribe(Registration { edge: Some(Up), ..Registration::all(1) }).unwrap();
    bench.subscribe(Registration { edge: Some(Down), ..Registration::of(2, "R") }).unwrap();
    bench.subscribe(Registration::of(3, "S")).unwrap();
    for (number, edge, region) in [(0, Up, "R"), (1, Up, "S"), (2, Down, "R"), (3, Down, "S")] {
        let request = match edge {
            Up => up(&mut bench, "n1", region),
            Down => down(&mut bench, "n1", region),
        };
        for consumer in 1..=3 {
            bench.delivered(consumer, number);
        }
        assert_eq!(bench.done(request), Some(Ok(())));
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
    let edge = |whole| NodeEdge {
        edge: Up,
        node: node.clone(),
        region: RegionName { id: ItemId(8), name: Name::new(b"R").unwrap() },
        whole,
        telling: Telling::Nodes,
        cause: Cause::Beats,
        at: Duration::ZERO,
    };
    assert_eq!(delivery.queue(edge(false)), None, "a second region is no news of the node");
    assert!(delivery.queue(edge(true)).is_some_and(|event| event.region.is_none()));
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
    bench.subscribe(Registration::all(1)).unwrap();
    bench.subscribe(Registration::all(2)).unwrap();
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
    bench.subscribe(Registration::all(1)).unwrap();
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
    bench.subscribe(Registration::all(1)).unwrap();
    bench.subscribe(Registration::all(2)).unwrap();
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
    bench.subscribe(Registration::all(1)).unwrap();
    up(&mut bench, "n1", "R");
    up(&mut bench, "n2", "R");
    // Event 0 is being delivered, event 1 is queued: both nodes are in the map, neither comes as an event.
    assert_eq!(bench.subscribe(Registration::all(2)), Ok(Vec::from([1, 2])));
    down(&mut bench, "n1", "R");
    assert_eq!(bench.subscribe(Registration::all(3)), Ok(Vec::from([2])));
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
    bench.subscribe(Registration::of(1, "R")).unwrap();
    bench.subscribe(Registration::of(2, "R")).unwrap();
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
    bench.subscribe(Registration::all(1)).unwrap();
    assert_eq!(bench.rmdir(REGION), Ok(()));
    assert_eq!(bench.rmdir("cluster/c/node/n0"), Ok(()));
}

#[test]
fn a_registration_wants_its_region_and_a_local_node() {
    let mut bench = Bench::user();
    assert_eq!(bench.subscribe(Registration::of(1, "none")), Err(Refusal::NoSuchRegion));
    assert_eq!(Refusal::NoSuchRegion.errno(), Errno::ENOENT);
    bench.write("cluster/c/node/n0/local", "0").unwrap();
    assert_eq!(bench.subscribe(Registration::of(1, "R")), Err(Refusal::NoLocalNode));
    assert_eq!(bench.notes().len(), 2);
    assert_eq!(bench.engine.status().consumers, 0);
    assert_eq!(bench.rmdir(REGION), Ok(()));
}

#[test]
fn unsubscribing_in_mid_delivery_lets_the_next_one_run() {
    let mut bench = Bench::user();
    (1..=3).for_each(|consumer| assert!(bench.subscribe(Registration::all(consumer)).is_ok()));
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
fn who_takes_longer_than_its_patience_is_expelled() {
    let mut bench = Bench::user();
    bench.subscribe(Registration { patience: Some(100), ..Registration::of(1, "R") }).unwrap();
    bench.subscribe(Registration::all(2)).unwrap();
    assert_eq!(bench.engine.poll_timeout(), None);
    bench.wait(10);
    let request = up(&mut bench, "n0", "R");
    assert_eq!(bench.engine.poll_timeout(), Some(Instant::at(Duration::from_millis(110))));
    bench.wait(99);
    assert_eq!(bench.told().len(), 1);
    bench.wait(1);
    assert_eq!(bench.logged(&Action::Expelled { consumer: ConsumerId(1) }), 1);
    assert_eq!(bench.told_short(), [(1, Up, 0), (2, Up, 0)]);
    assert_eq!(bench.engine.poll_timeout(), None);
    bench.delivered(2, 0);
    assert_eq!(bench.done(request), Some(Ok(())));
    // Its pins have gone with it, and it hears of nothing more.
    down(&mut bench, "n0", "R");
    bench.delivered(2, 1);
    assert_eq!(bench.rmdir(REGION), Ok(()));
    assert!(bench.told().iter().all(|(consumer, event)| *consumer == 2 || event.number == 0));
}

#[test]
fn patience_begins_anew_with_each_event() {
    let mut bench = Bench::user();
    bench.subscribe(Registration { patience: Some(100), ..Registration::all(1) }).unwrap();
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
    bench.subscribe(Registration { patience: Some(100), ..Registration::all(1) }).unwrap();
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
    bench.subscribe(Registration { patience: Some(100), ..Registration::all(1) }).unwrap();
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
    assert_eq!(bench.subscribe(Registration::of(1, "R")), Ok(Vec::new()));
    assert_eq!(bench.tree(View::Config, Op::List(old)), Err(Refusal::Gone));
}

/// Three stopped clients, and one that is well: the link waits for one patience, not for three.
#[test]
fn silent_consumers_share_one_patience() {
    let mut bench = Bench::user();
    for consumer in 1..=4 {
        bench.subscribe(Registration { patience: Some(1600), ..Registration::all(consumer) }).unwrap();
    }
    let linked = up(&mut bench, "n1", "R");
    // The first one is waited for alone, until it is slow.
    bench.wait(99);
    assert_eq!(bench.told_short(), [(1, Up, 1)]);
    assert_eq!(bench.engine.poll_timeout(), Some(Instant::at(Duration::from_millis(100))));
    bench.wait(1);
    assert_eq!(bench.told_short(), [(1, Up, 1), (2, Up, 1), (3, Up, 1), (4, Up, 1)]);
    assert_eq!(bench.engine.poll_timeout(), Some(Instant::at(Duration::from_millis(1600))));
    bench.delivered(4, 0);
    // Each has its own patience, from when it was told.
    bench.wait(1500);
    assert_eq!(bench.logged(&Action::Expelled { consumer: ConsumerId(1) }), 1);
    bench.wait(99);
    assert_eq!(bench.answer(linked), None);
    bench.wait(1);
    assert_eq!(bench.done(linked), Some(Ok(())));
    let expelled = [1, 2, 3].map(|consumer| Action::Expelled { consumer: ConsumerId(consumer) });
    assert!(expelled.iter().all(|action| bench.logged(action) == 1));
    // Only the one that is well is told of the next.
    up(&mut bench, "n2", "R");
    assert_eq!(bench.told_short()[4..], [(4, Up, 2)]);
}

#[test]
fn nobody_is_told_beside_another_priority_or_one_without_patience() {
    let mut bench = Bench::user();
    let patient =
        |consumer, priority| Registration { patience: Some(1600), priority, ..Registration::all(consumer) };
    bench.subscribe(patient(1, 0)).unwrap();
    bench.subscribe(Registration { priority: 1, ..Registration::all(2) }).unwrap();
    bench.subscribe(patient(3, 1)).unwrap();
    let linked = up(&mut bench, "n0", "R");
    bench.wait(1000);
    assert_eq!(bench.told_short(), [(1, Up, 0)]);
    bench.delivered(1, 0);
    bench.wait(100_000);
    assert_eq!(bench.told_short(), [(1, Up, 0), (2, Up, 0)]);
    assert_eq!(bench.engine.poll_timeout(), None);
    bench.delivered(2, 0);
    bench.delivered(3, 0);
    assert_eq!(bench.told_short(), [(1, Up, 0), (2, Up, 0), (3, Up, 0)]);
    assert_eq!(bench.done(linked), Some(Ok(())));
}
