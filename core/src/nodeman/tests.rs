//! The rules of clusters and nodes, through the engine: each at its limits, and the order of the checks.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::ClusterFile;
use crate::testing::{Bench, Registration};
use crate::tree::Op;
use crate::{Action, Errno, Note, Refusal, RequestId, View};

fn cluster() -> Bench {
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    bench
}

fn with_nodes() -> Bench {
    let mut bench = cluster();
    bench.node(0);
    bench.node(1);
    bench.log.clear();
    bench
}

fn listens(bench: &Bench) -> Vec<RequestId> {
    bench
        .log
        .iter()
        .filter_map(|action| match action {
            Action::Listen { request, .. } => Some(*request),
            _ => None,
        })
        .collect()
}

#[test]
fn a_new_cluster_shows_the_defaults() {
    let mut bench = cluster();
    for (file, text) in [
        ("idle_timeout_ms", "30000\n"),
        ("keepalive_delay_ms", "2000\n"),
        ("reconnect_delay_ms", "2000\n"),
        ("fence_method", "reset\n"),
    ] {
        assert_eq!(bench.read(&alloc::format!("cluster/c/{file}")), text);
    }
    bench.mkdir("cluster/c/node/n").unwrap();
    for (file, text) in
        [("num", "0\n"), ("ipv4_port", "0\n"), ("ipv4_address", "0.0.0.0\n"), ("local", "0\n")]
    {
        assert_eq!(bench.read(&alloc::format!("cluster/c/node/n/{file}")), text);
    }
}

#[test]
fn there_is_one_cluster_and_an_existing_name_comes_first() {
    let mut bench = cluster();
    assert_eq!(bench.mkdir("cluster/d"), Err(Refusal::SecondCluster));
    assert_eq!(bench.mkdir("cluster/c"), Err(Refusal::NameExists));
    assert_eq!(Refusal::SecondCluster.errno(), Errno::ENOSPC);
}

#[test]
fn timeouts_and_fence_method_begin_anew_with_a_new_cluster() {
    let mut bench = cluster();
    bench.write("cluster/c/idle_timeout_ms", "40000\n").unwrap();
    bench.write("cluster/c/fence_method", "panic\n").unwrap();
    bench.rmdir("cluster/c").unwrap();
    bench.mkdir("cluster/c").unwrap();
    assert_eq!(bench.read("cluster/c/idle_timeout_ms"), "30000\n");
    assert_eq!(bench.read("cluster/c/fence_method"), "reset\n");
}

#[test]
fn a_timeout_is_above_0_and_below_4294967295() {
    let mut bench = cluster();
    let file = "cluster/c/reconnect_delay_ms";
    assert_eq!(bench.write(file, "0\n"), Err(Refusal::TimeoutZero));
    assert_eq!(bench.write(file, "\n"), Err(Refusal::TimeoutZero));
    assert_eq!(bench.write(file, "4294967295"), Err(Refusal::TimeoutRange));
    assert_eq!(bench.write(file, "18446744073709551615"), Err(Refusal::TimeoutRange));
    assert_eq!(bench.write(file, "x"), Err(Refusal::NotANumber));
    assert_eq!(bench.write(file, "4294967294"), Ok(10));
    assert_eq!(bench.write(file, "1\n"), Ok(2));
    assert_eq!(bench.read(file), "1\n");
}

#[test]
fn idle_stays_above_keepalive() {
    let mut bench = cluster();
    let (idle, keepalive) = ("cluster/c/idle_timeout_ms", "cluster/c/keepalive_delay_ms");
    assert_eq!(bench.write(idle, "2000"), Err(Refusal::IdleNotAboveKeepalive));
    assert_eq!(bench.write(idle, "2001"), Ok(4));
    assert_eq!(bench.write(keepalive, "2001"), Err(Refusal::IdleNotAboveKeepalive));
    assert_eq!(bench.write(keepalive, "2000"), Ok(4));
    // Zero and range are looked at first.
    assert_eq!(bench.write(idle, "0"), Err(Refusal::TimeoutZero));
    assert_eq!(bench.write(keepalive, "4294967295"), Err(Refusal::TimeoutRange));
}

#[test]
fn with_a_peer_connected_idle_and_keepalive_keep_their_values() {
    let mut manager = super::NodeManager { connected_peers: 1, ..super::NodeManager::default() };
    let name = crate::Name::new(b"c").unwrap();
    manager.make_cluster(crate::ItemId(1), &name).unwrap();
    let mut effects = super::Effects::default();
    for (file, what) in
        [(ClusterFile::IdleTimeout, "idle timeout"), (ClusterFile::KeepaliveDelay, "keepalive delay")]
    {
        assert_eq!(manager.store_cluster(file, b"40000", &mut effects), Err(Refusal::PeerConnected));
        // The kernel's line, with its two spaces.
        let line = alloc::format!(
            "o2net: cannot change {what} after the first peer has agreed to it.  1 connected peers"
        );
        let said = effects.take().into_iter().map(|effect| match effect {
            crate::effect::Effect::Note(note) => note.to_string(),
            other => panic!("{other:?}"),
        });
        assert_eq!(said.collect::<Vec<_>>(), [line]);
    }
    let mut store = |file, data: &[u8]| manager.store_cluster(file, data, &mut super::Effects::default());
    assert_eq!(store(ClusterFile::IdleTimeout, b"30000"), Ok(()));
    assert_eq!(store(ClusterFile::KeepaliveDelay, b"2000"), Ok(()));
    assert_eq!(store(ClusterFile::ReconnectDelay, b"9"), Ok(()));
    assert_eq!(store(ClusterFile::IdleTimeout, b"0"), Err(Refusal::TimeoutZero));
}

#[test]
fn fence_method_is_a_whole_word_with_a_newline() {
    let mut bench = cluster();
    let file = "cluster/c/fence_method";
    for word in ["reset", "panic", "res\n", "panic \n", "panic\n\n", "", "\n", "1\n", "resetx\n"] {
        assert_eq!(bench.write(file, word), Err(Refusal::BadFenceMethod), "{word:?}");
    }
    assert_eq!(bench.write(file, "PANIC\n"), Ok(6));
    assert_eq!(bench.read(file), "panic\n");
    assert_eq!(bench.write(file, "Reset\n"), Ok(6));
    assert_eq!(bench.read(file), "reset\n");
}

#[test]
fn a_fence_method_is_noted_only_when_it_changes() {
    let mut bench = cluster();
    bench.log.clear();
    bench.write("cluster/c/fence_method", "reset\n").unwrap();
    assert!(bench.notes().is_empty());
    bench.write("cluster/c/fence_method", "panic\n").unwrap();
    assert_eq!(
        bench.notes().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["ocfs2: Changing fence method to panic"]
    );
}

#[test]
fn a_node_has_a_name_of_at_most_64_bytes() {
    let mut bench = cluster();
    let name = |length: usize| alloc::format!("cluster/c/node/{}", "n".repeat(length));
    assert_eq!(bench.mkdir(&name(64)), Ok(()));
    assert_eq!(bench.mkdir(&name(65)), Err(Refusal::NodeNameTooLong));
    assert_eq!(bench.mkdir(&name(256)), Err(Refusal::NameTooLong));
}

#[test]
fn a_port_is_1_to_65534_and_set_once() {
    let mut bench = cluster();
    bench.mkdir("cluster/c/node/n").unwrap();
    let file = "cluster/c/node/n/ipv4_port";
    assert_eq!(bench.write(file, "0"), Err(Refusal::PortZero));
    assert_eq!(bench.write(file, "65535"), Err(Refusal::PortRange));
    assert_eq!(bench.write(file, "-1"), Err(Refusal::NotANumber));
    assert_eq!(bench.write(file, "65534"), Ok(5));
    assert_eq!(bench.write(file, "65534"), Err(Refusal::PortSet));
    // The range is looked at before that.
    assert_eq!(bench.write(file, "65535"), Err(Refusal::PortRange));
    assert_eq!(bench.read(file), "65534\n");
}

#[test]
fn an_address_is_unique_and_set_once_and_uniqueness_comes_first() {
    let mut bench = with_nodes();
    let file = "cluster/c/node/n1/ipv4_address";
    assert_eq!(bench.write(file, "10.0.0.0\n"), Err(Refusal::AddressTaken));
    assert_eq!(bench.write(file, "10.0.0.1\n"), Err(Refusal::AddressTaken));
    assert_eq!(bench.write(file, "10.0.0.2\n"), Err(Refusal::AddressSet));
    assert_eq!(bench.write(file, "10.0.0.256"), Err(Refusal::OctetRange));
    assert_eq!(bench.write(file, "10.0.0"), Err(Refusal::BadAddress));
    // A refused one is not taken; one whose node has gone is free again.
    bench.mkdir("cluster/c/node/n2").unwrap();
    assert_eq!(bench.write("cluster/c/node/n2/ipv4_address", "10.0.0.2\n"), Ok(9));
    bench.rmdir("cluster/c/node/n2").unwrap();
    bench.mkdir("cluster/c/node/n3").unwrap();
    assert_eq!(bench.write("cluster/c/node/n3/ipv4_address", "10.0.0.2\n"), Ok(9));
}

#[test]
fn a_number_needs_address_and_port_is_unique_and_set_once() {
    let mut bench = with_nodes();
    bench.mkdir("cluster/c/node/n").unwrap();
    let file = "cluster/c/node/n/num";
    assert_eq!(bench.write(file, "x"), Err(Refusal::NotANumber));
    assert_eq!(bench.write(file, "255"), Err(Refusal::NumberRange));
    assert_eq!(bench.write(file, "254"), Err(Refusal::NumberNeedsAddress));
    bench.write("cluster/c/node/n/ipv4_address", "1.1.1.1").unwrap();
    assert_eq!(bench.write(file, "0"), Err(Refusal::NumberNeedsAddress));
    bench.write("cluster/c/node/n/ipv4_port", "1").unwrap();
    assert_eq!(bench.write(file, "1"), Err(Refusal::NumberTaken));
    assert_eq!(bench.write(file, "254\n"), Ok(4));
    assert_eq!(bench.write(file, "254"), Err(Refusal::NumberTaken));
    assert_eq!(bench.write(file, "253"), Err(Refusal::NumberSet));
}

#[test]
fn a_removed_node_frees_its_number_and_address() {
    let mut bench = with_nodes();
    bench.rmdir("cluster/c/node/n1").unwrap();
    bench.node(1);
    assert_eq!(bench.read("cluster/c/node/n1/num"), "1\n");
}

#[test]
fn local_needs_the_other_three_also_to_be_unset() {
    let mut bench = cluster();
    bench.mkdir("cluster/c/node/n").unwrap();
    let file = "cluster/c/node/n/local";
    assert_eq!(bench.write(file, "x"), Err(Refusal::NotANumber));
    assert_eq!(bench.write(file, "1"), Err(Refusal::LocalNeedsAll));
    assert_eq!(bench.write(file, "0"), Err(Refusal::LocalNeedsAll));
    bench.node(0);
    assert_eq!(bench.write("cluster/c/node/n0/local", "0\n"), Ok(2));
}

#[test]
fn local_listens_and_is_answered_with_the_result() {
    let mut bench = with_nodes();
    let request = bench.ask_local("n0", "255\n");
    assert_eq!(listens(&bench), [request]);
    assert_eq!(bench.answer(request), None);
    assert_eq!(bench.read("cluster/c/node/n0/local"), "0\n");
    bench.listening(request, Ok(()));
    assert_eq!(bench.done(request), Some(Ok(())));
    assert_eq!(bench.read("cluster/c/node/n0/local"), "1\n");
    // A second store has no effect.
    assert_eq!(bench.write("cluster/c/node/n0/local", "1"), Ok(1));
    assert_eq!(bench.write("cluster/c/node/n1/local", "1"), Err(Refusal::OtherLocal));
    assert_eq!(bench.write("cluster/c/node/n1/local", "0"), Ok(1));
    assert_eq!(listens(&bench).len(), 1);
    assert_eq!(bench.logged(&Action::StopListening), 0);
}

#[test]
fn a_failed_bind_is_the_result_and_leaves_no_local_node() {
    let mut bench = with_nodes();
    let request = bench.ask_local("n0", "1\n");
    bench.log.clear();
    bench.listening(request, Err(Errno(99)));
    assert_eq!(bench.done(request), Some(Err(Refusal::System(Errno(99)))));
    let [Note::Refused { call, path, value, caller, .. }] = bench.notes()[..] else {
        panic!("{:?}", bench.notes())
    };
    assert_eq!((*call, &path[..]), ("store", &b"cluster/c/node/n0/local"[..]));
    assert_eq!((value.as_deref(), *caller), (Some(&b"1\n"[..]), crate::testing::CALLER));
    assert_eq!(bench.read("cluster/c/node/n0/local"), "0\n");
    // Another node may become the local one, or the same in a second attempt.
    bench.local("n1");
}

#[test]
fn while_a_bind_is_pending_no_other_node_becomes_local() {
    let mut bench = with_nodes();
    let request = bench.ask_local("n0", "1");
    assert_eq!(bench.write("cluster/c/node/n1/local", "1"), Err(Refusal::OtherLocal));
    bench.listening(request, Ok(()));
    assert_eq!(bench.read("cluster/c/node/n0/local"), "1\n");
}

#[test]
fn unset_while_the_bind_is_pending_it_does_not_become_local() {
    let mut bench = with_nodes();
    let request = bench.ask_local("n0", "1");
    assert_eq!(bench.write("cluster/c/node/n0/local", "0"), Ok(1));
    assert_eq!(bench.logged(&Action::StopListening), 1);
    bench.listening(request, Ok(()));
    assert_eq!(bench.done(request), Some(Ok(())));
    assert_eq!(bench.read("cluster/c/node/n0/local"), "0\n");
    bench.local("n1");
}

#[test]
fn the_answer_to_an_older_bind_says_nothing_about_a_newer_one() {
    let mut bench = with_nodes();
    let old = bench.ask_local("n0", "1");
    bench.write("cluster/c/node/n0/local", "0").unwrap();
    let new = bench.ask_local("n0", "1");
    bench.listening(old, Ok(()));
    assert_eq!(bench.read("cluster/c/node/n0/local"), "0\n");
    bench.listening(new, Err(Errno(98)));
    assert_eq!(bench.done(new), Some(Err(Refusal::System(Errno(98)))));
    assert_eq!(bench.read("cluster/c/node/n0/local"), "0\n");
}

#[test]
fn an_answer_that_nobody_waits_for_is_noted_and_ignored() {
    let mut bench = with_nodes();
    let request = bench.ask_local("n0", "1");
    bench.listening(request, Ok(()));
    bench.log.clear();
    bench.listening(request, Err(Errno(98)));
    assert_eq!(bench.log, [Action::Note(Note::Stale(request))]);
    assert_eq!(bench.read("cluster/c/node/n0/local"), "1\n");
}

#[test]
fn rmdir_of_a_node_waits_for_its_bind_and_then_stops_listening() {
    let mut bench = with_nodes();
    let store = bench.ask_local("n0", "1");
    let rmdir = bench.ask_rmdir("cluster/c/node/n0");
    assert_eq!((bench.answer(store), bench.answer(rmdir)), (None, None));
    assert_eq!(bench.engine.waiting(), 2);
    bench.log.clear();
    bench.listening(store, Ok(()));
    assert_eq!((bench.done(store), bench.done(rmdir)), (Some(Ok(())), Some(Ok(()))));
    assert_eq!(bench.logged(&Action::StopListening), 1);
    assert_eq!(bench.find(View::Config, "cluster/c/node/n0"), None);
    assert_eq!(bench.engine.waiting(), 0);
}

#[test]
fn rmdir_of_a_node_whose_bind_fails_has_nothing_to_stop() {
    let mut bench = with_nodes();
    let store = bench.ask_local("n0", "1");
    let rmdir = bench.ask_rmdir("cluster/c/node/n0");
    bench.listening(store, Err(Errno(98)));
    assert_eq!(bench.done(rmdir), Some(Ok(())));
    assert_eq!(bench.logged(&Action::StopListening), 0);
}

#[test]
fn a_removal_that_was_parked_is_named_behind_its_change() {
    let mut bench = with_nodes();
    let store = bench.ask_local("n0", "1");
    let rmdir = bench.ask_rmdir("cluster/c/node/n0");
    bench.log.clear();
    bench.listening(store, Ok(()));
    let changes = bench.log.iter().filter_map(|action| match action {
        Action::Changed { view: View::Config, request, .. } => Some(*request),
        _ => None,
    });
    assert_eq!(changes.collect::<Vec<_>>(), [Some(rmdir)]);
}

#[test]
fn rmdir_of_the_local_node_stops_listening_unless_it_is_pinned() {
    let mut bench = Bench::user();
    bench.subscribe(Registration::of(1, "R")).unwrap();
    assert_eq!(bench.rmdir("cluster/c/node/n0"), Err(Refusal::Depended));
    assert_eq!(bench.logged(&Action::StopListening), 0);
    bench.unsubscribe(1);
    assert_eq!(bench.rmdir("cluster/c/node/n0"), Ok(()));
    assert_eq!(bench.logged(&Action::StopListening), 1);
}

#[test]
fn local_1_0_1_works_also_for_another_node() {
    let mut bench = with_nodes();
    bench.local("n0");
    assert_eq!(bench.write("cluster/c/node/n0/local", "0"), Ok(1));
    assert_eq!(bench.logged(&Action::StopListening), 1);
    bench.local("n1");
    assert_eq!(bench.write("cluster/c/node/n1/local", "0"), Ok(1));
    bench.local("n0");
}

#[test]
fn status_says_what_is_configured() {
    let bench = Bench::user();
    let cluster = bench.engine.status().cluster.unwrap();
    assert_eq!(cluster.name.as_bytes(), b"c");
    let nodes: Vec<_> = cluster
        .nodes
        .iter()
        .map(|node| (node.name.to_string(), node.num.unwrap().get(), node.local))
        .collect();
    assert_eq!(nodes[0], ("n0".to_string(), 0, true));
    assert_eq!(nodes[3], ("n3".to_string(), 3, false));
    assert!(bench.engine.tree(View::Config).items().name(bench.dir("cluster/c")).is_some());
}

#[test]
fn behind_a_removed_node_there_is_nothing() {
    let mut bench = with_nodes();
    let item = bench.dir("cluster/c/node/n1");
    bench.rmdir("cluster/c/node/n1").unwrap();
    let store = Op::Store { item, attribute: 0, data: b"1" };
    assert_eq!(bench.tree(View::Config, store), Err(Refusal::Gone));
    assert_eq!(bench.tree(View::Config, Op::Show { item, attribute: 0 }), Err(Refusal::Gone));
    assert_eq!(Refusal::Gone.errno(), Errno::ENOENT);
}
