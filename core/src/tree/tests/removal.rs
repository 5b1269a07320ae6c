//! Links, pins, removal, and removal that waits.

use super::*;

#[test]
fn default_groups_come_and_go_with_their_parent_only() {
    let mut bench = Bench::new();
    for path in ["s", "s/x/old", "s/x/new"] {
        assert_eq!(bench.rmdir(path), Err(Refusal::DefaultGroup), "{path}");
    }
    bench.mkdir("s/y").unwrap();
    let gone = [bench.dir("s/y"), bench.dir("s/y/old"), bench.dir("s/y/new")];
    bench.tree.take_changes();
    bench.rmdir("s/y").unwrap();
    let [Change::Removed { items, .. }] = &bench.tree.take_changes()[..] else { panic!() };
    assert!(items.len() == 3 && gone.iter().all(|item| items.contains(item)));
    assert_eq!(bench.ready(&Op::List(gone[1])), Err(Refusal::Gone));
    assert_eq!(bench.toy.calls.last().unwrap(), "drop s/y");
}

#[test]
fn rmdir_looks_at_default_dependents_links_contents_in_this_order() {
    let mut bench = Bench::new();
    let (old, x) = (bench.dir("s/x/old"), bench.dir("s/x"));
    // A default group stays one, pinned or not.
    bench.tree.depend(old).unwrap();
    assert_eq!(bench.rmdir("s/x/old"), Err(Refusal::DefaultGroup));
    bench.tree.undepend(old);
    assert_eq!(bench.rmdir("s/x"), Err(Refusal::NotEmpty));
    bench.tree.depend(x).unwrap();
    assert_eq!(bench.rmdir("s/x"), Err(Refusal::Depended));
    bench.tree.undepend(x);
    // A box that is linked to and holds a link itself: the former is reported.
    bench.link("s/x/new/c", "s/x/old/a/to").unwrap();
    assert_eq!(bench.rmdir("s/x/old/a"), Err(Refusal::NotEmpty));
    bench.link("s/x/old/a", "s/x/new/c/back").unwrap();
    assert_eq!(bench.rmdir("s/x/old/a"), Err(Refusal::LinkedTo));
    let a = bench.dir("s/x/old/a");
    bench.tree.depend(a).unwrap();
    assert_eq!(bench.rmdir("s/x/old/a"), Err(Refusal::Depended));
    assert_eq!(bench.rmdir("s/x/old/a/first"), Err(Refusal::NotADirectory));
    assert_eq!(bench.rmdir("s/x/old/a/to"), Err(Refusal::NotADirectory));
    assert_eq!(bench.rmdir("s/x/old/z"), Err(Refusal::NoSuchEntry));
}

#[test]
fn as_many_undepends_as_depends() {
    let mut bench = Bench::new();
    let a = bench.dir("s/x/old/a");
    bench.tree.depend(a).unwrap();
    bench.tree.depend(a).unwrap();
    bench.tree.undepend(a);
    assert_eq!(bench.rmdir("s/x/old/a"), Err(Refusal::Depended));
    assert_eq!(bench.tree.dependents(a), 1);
    bench.tree.undepend(a);
    assert_eq!(bench.rmdir("s/x/old/a"), Ok(()));
    assert_eq!(bench.tree.depend(a), Err(Refusal::Gone));
}

#[test]
fn a_link_reads_as_the_way_over_the_root() {
    let mut bench = Bench::new();
    bench.link("s/x/new/c", "s/x/old/a/to").unwrap();
    let Some(Object::Link(link)) = bench.object("s/x/old/a/to") else { panic!() };
    let body = b"../../../../s/x/new/c".to_vec();
    assert_eq!(bench.ready(&Op::Readlink(link)), Ok(Answer::Text(body)));
    assert_eq!(bench.ready(&Op::Readlink(bench.dir("s/x"))), Err(Refusal::NotALink));
    assert_eq!(bench.tree.items().target(link), Some(bench.dir("s/x/new/c")));
}

#[test]
fn a_link_pins_its_target_until_unlink() {
    let mut bench = Bench::new();
    bench.link("s/x/new/c", "s/x/old/a/to").unwrap();
    bench.link("s/x/new/c", "s/x/old/b/to").unwrap();
    assert_eq!(bench.rmdir("s/x/new/c"), Err(Refusal::LinkedTo));
    bench.unlink("s/x/old/a/to").unwrap();
    assert_eq!(bench.toy.calls.last().unwrap(), "unlink s/x/old/a");
    assert_eq!(bench.rmdir("s/x/new/c"), Err(Refusal::LinkedTo));
    bench.unlink("s/x/old/b/to").unwrap();
    assert_eq!(bench.rmdir("s/x/new/c"), Ok(()));
}

#[test]
fn a_symlink_looks_at_its_place_before_its_target() {
    let mut bench = Bench::new();
    assert_eq!(bench.link("nowhere", "s/x/old/l"), Err(Refusal::NoLinksHere));
    assert_eq!(bench.link("nowhere", "s/x/old/a/first"), Err(Refusal::NameExists));
    assert_eq!(bench.link("nowhere", "s/x/old/a/l"), Err(Refusal::TargetMissing));
    assert_eq!(bench.link("s/x/a", "s/x/old/a/l"), Err(Refusal::TargetNotADirectory));
    assert_eq!(bench.link("", "s/x/old/a/l"), Err(Refusal::TargetIsRoot));
    // Then the subsystem decides.
    assert_eq!(bench.link("s/x", "s/x/old/a/l"), Err(REFUSED));
    assert_eq!(bench.link("s/x/old/a", "s/x/old/a/l"), Ok(()));
}

#[test]
fn unlink_takes_links_only() {
    let mut bench = Bench::new();
    assert_eq!(bench.unlink("s/x"), Err(Refusal::IsADirectory));
    assert_eq!(bench.unlink("s/x/a"), Err(Refusal::AttributeStays));
    assert_eq!(bench.unlink("s/x/z"), Err(Refusal::NoSuchEntry));
}

#[test]
fn rmdir_waits_for_a_store_in_flight() {
    let mut bench = Bench::new();
    let store = bench.slow("s/x/old/a");
    let rmdir = bench.parked("s/x/old/a");
    assert_eq!(store, rmdir);
    assert!(bench.object("s/x/old/a").is_some());
    // To other calls the item is gone already.
    let a = bench.dir("s/x/old/a");
    assert_eq!(bench.rmdir("s/x/old/a"), Err(Refusal::BeingRemoved));
    assert_eq!(bench.store("s/x/old/a/first", b"1"), Outcome::Ready(Err(Refusal::BeingRemoved)));
    assert_eq!(bench.link("s/x/old/a", "s/x/new/c/l"), Err(Refusal::TargetMissing));
    assert_eq!(bench.tree.depend(a), Err(Refusal::BeingRemoved));
    assert_eq!(bench.finish(store), Some(rmdir));
    assert_eq!(bench.object("s/x/old/a"), None);
    assert_eq!(bench.finish(store), None);
}

#[test]
fn rmdir_waits_for_the_last_of_several_stores() {
    let mut bench = Bench::new();
    let (one, two) = (bench.slow("s/x/old/a"), bench.slow("s/x/old/a"));
    let rmdir = bench.parked("s/x/old/a");
    assert_eq!(bench.finish(two), None);
    assert_eq!(bench.finish(one), Some(rmdir));
}

#[test]
fn what_stands_in_the_way_is_said_at_once_and_not_after_the_store() {
    let mut bench = Bench::new();
    let store = bench.slow("s/x/old/a");
    bench.link("s/x/old/a", "s/x/new/c/l").unwrap();
    assert_eq!(bench.rmdir("s/x/old/a"), Err(Refusal::LinkedTo));
    assert_eq!(bench.finish(store), None);
}

#[test]
fn a_waiting_rmdir_can_be_given_up() {
    let mut bench = Bench::new();
    let store = bench.slow("s/x/old/a");
    let rmdir = bench.parked("s/x/old/a");
    bench.tree.give_up_removing(rmdir);
    assert_eq!(bench.store("s/x/old/a/first", b"1"), Outcome::Ready(Ok(Answer::Stored(1))));
    assert_eq!(bench.finish(store), None);
    assert_eq!(bench.rmdir("s/x/old/a"), Ok(()));
}

#[test]
fn a_store_does_not_keep_its_neighbours() {
    let mut bench = Bench::new();
    bench.slow("s/x/old/a");
    assert_eq!(bench.rmdir("s/x/old/b"), Ok(()));
    assert_eq!(bench.rmdir("s/x"), Err(Refusal::NotEmpty));
}

#[test]
fn a_refused_slow_store_is_not_in_flight() {
    let mut bench = Bench::new();
    assert_eq!(bench.store("s/x/old/a/slow", b"no"), Outcome::Ready(Err(REFUSED)));
    assert_eq!(bench.rmdir("s/x/old/a"), Ok(()));
}
