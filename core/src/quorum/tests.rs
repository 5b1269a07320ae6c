//! The rule, the holds, and what real kernels decided (`reference/o2net-observed.md`, sections 2 to 4, 8 to 10).

use alloc::string::ToString;
use alloc::vec::Vec;

use super::*;

fn node(num: u8) -> NodeNum {
    NodeNum::new(num.into()).unwrap()
}

/// Node `own` of a cluster of `count` nodes, numbered from 1, all of which heartbeat and are connected.
fn whole(own: u8, count: u8) -> Quorum {
    let mut quorum = Quorum::new(node(own));
    assert_eq!(quorum.connection_up(node(own)), None);
    for num in 1..=count {
        assert_eq!(quorum.heartbeat_up(node(num)), None);
        assert_eq!(quorum.connection_up(node(num)), None);
    }
    assert!(quorum.held().is_empty() && !quorum.pending());
    quorum
}

/// Cuts all pairs of nodes of different groups; the delay ends in order of numbers. What each node says.
fn partition(groups: &[&[u8]]) -> Vec<(u8, Decision)> {
    let count = groups.iter().map(|group| group.len() as u8).sum();
    let decide = |own: u8, group: &[u8]| {
        let mut quorum = whole(own, count);
        let lost: Vec<u8> = (1..=count).filter(|num| !group.contains(num)).collect();
        lost.iter().for_each(|num| quorum.connection_error(node(*num)));
        let said: Vec<_> = lost.iter().filter_map(|num| quorum.still_up(node(*num))).collect();
        assert!(said.len() == 1 && !quorum.pending(), "one decision: {said:?}");
        (own, said[0])
    };
    groups.iter().flat_map(|group| group.iter().map(|own| decide(*own, group))).collect()
}

fn fenced(groups: &[&[u8]]) -> Vec<u8> {
    let said = partition(groups).into_iter();
    said.filter(|(_, decision)| decision.fences()).map(|(own, _)| own).collect()
}

#[test]
fn a_clean_partition_leaves_one_group() {
    for (groups, gone) in [
        (&[&[1][..], &[2]][..], &[2][..]),
        (&[&[1], &[2, 3]], &[1]),
        (&[&[3], &[1, 2]], &[3]),
        (&[&[1, 2], &[3, 4]], &[3, 4]),
        (&[&[1, 4], &[2, 3]], &[2, 3]),
        (&[&[1], &[2, 3, 4]], &[1]),
        (&[&[1, 2], &[3, 4, 5]], &[1, 2]),
        // Three groups without a majority: nobody is left.
        (&[&[1], &[2], &[3]], &[1, 2, 3]),
        // Half of the nodes with the lowest number goes on, also beside several others.
        (&[&[1, 2], &[3], &[4]], &[3, 4]),
    ] {
        assert_eq!(fenced(groups), gone, "{groups:?}");
    }
}

#[test]
fn in_any_clean_partition_into_two_one_group_goes_on() {
    for count in 2..=9u8 {
        for cut in 1..(1u32 << count) - 1 {
            let (here, there): (Vec<u8>, Vec<u8>) = (1..=count).partition(|num| cut >> (num - 1) & 1 == 1);
            let gone = fenced(&[&here, &there]);
            let wanted = match here.len().cmp(&there.len()) {
                core::cmp::Ordering::Less => &here,
                core::cmp::Ordering::Greater => &there,
                core::cmp::Ordering::Equal if here.contains(&1) => &there,
                core::cmp::Ordering::Equal => &here,
            };
            assert_eq!(&gone, wanted, "{here:?} {there:?}");
        }
    }
}

#[test]
fn the_lines_are_those_of_the_kernel() {
    let said = |groups: &[&[u8]], own| {
        let all = partition(groups);
        all.iter().find(|(num, _)| *num == own).unwrap().1.to_string()
    };
    assert_eq!(
        said(&[&[1], &[2, 3]], 1),
        "fencing this node because it is only connected to 1 nodes and 2 is needed to make a quorum out of 3 \
         heartbeating nodes"
    );
    assert_eq!(
        said(&[&[1, 2], &[3, 4]], 4),
        "fencing this node because it is connected to a half-quorum of 2 out of 4 nodes which doesn't include the \
         lowest active node 1"
    );
    assert_eq!(
        said(&[&[1], &[2, 3]], 3),
        "not fencing this node, heartbeating: 3, connected: 2, lowest: 1 (unreachable)"
    );
    assert_eq!(
        said(&[&[1, 2], &[3, 4]], 2),
        "not fencing this node, heartbeating: 4, connected: 2, lowest: 1 (reachable)"
    );
}

/// 2a: one pair is cut. Both stay; the second "still up" of the lasting silence decides nothing.
#[test]
fn one_pair_cut_costs_nobody_his_life() {
    for (own, other, reachable) in [(1, 2, true), (2, 1, false)] {
        let mut quorum = whole(own, 3);
        quorum.connection_error(node(other));
        // Each further expiry of the idle time says it again.
        quorum.connection_error(node(other));
        assert_eq!(quorum.held().iter().collect::<Vec<_>>(), [node(other)]);
        let decision = quorum.still_up(node(other)).unwrap();
        assert_eq!((decision.fences(), decision.reachable), (false, reachable));
        assert_eq!(quorum.still_up(node(other)), None);
    }
}

/// 8b: whoever is heard again calls the decision off.
#[test]
fn a_connection_that_comes_back_calls_the_decision_off() {
    let mut quorum = whole(2, 2);
    quorum.connection_error(node(1));
    assert_eq!(quorum.connection_up(node(1)), None);
    assert!(quorum.held().is_empty() && !quorum.pending());
}

/// A killed node: its hold goes with it, and nothing is decided.
#[test]
fn a_node_that_dies_takes_its_hold_with_it() {
    let mut quorum = whole(2, 2);
    quorum.connection_error(node(1));
    assert_eq!(quorum.heartbeat_down(node(1)), None);
    assert!(quorum.held().is_empty());
    assert!(!quorum.connected().contains(node(1)));
}

/// A node that beats but never connects blocks the decision about others until it goes.
#[test]
fn a_standing_hold_blocks_every_decision() {
    let mut quorum = whole(2, 3);
    assert_eq!(quorum.heartbeat_up(node(4)), None);
    quorum.connection_error(node(1));
    quorum.connection_error(node(3));
    assert_eq!(quorum.still_up(node(1)), None);
    assert_eq!(quorum.still_up(node(3)), None);
    assert!(quorum.pending() && quorum.held().iter().eq([node(4)]));
    let decision = quorum.heartbeat_down(node(4)).unwrap();
    assert_eq!(decision.verdict, Verdict::FewerThanNeeded { needed: 2 });
    assert_eq!((decision.heartbeating, decision.connected), (3, 1));
}

/// 9: a filtered port. Up, never connected, never an error.
#[test]
fn a_peer_that_never_connected_is_held_and_no_reason_to_fence() {
    let mut quorum = whole(1, 1);
    assert_eq!(quorum.heartbeat_up(node(2)), None);
    quorum.connection_error(node(2));
    assert!(quorum.held().contains(node(2)) && !quorum.pending());
    assert_eq!(quorum.connection_up(node(2)), None);
    assert!(quorum.held().is_empty());
}

/// 10: the region of this node is stopped while its network is gone: no decision.
#[test]
fn who_stops_heartbeating_is_not_fenced() {
    let mut quorum = whole(1, 2);
    quorum.connection_error(node(2));
    assert_eq!(quorum.heartbeat_down(node(1)), None);
    assert_eq!(quorum.still_up(node(2)).map(|decision| decision.verdict), Some(Verdict::Stay));
}

/// Before it beats, a node that listens holds itself; a connection of one that does not beat yet is held as well.
#[test]
fn connected_and_not_yet_up_is_held() {
    let mut quorum = Quorum::new(node(0));
    assert_eq!(quorum.connection_up(node(0)), None);
    assert_eq!(quorum.connection_up(node(9)), None);
    assert_eq!(quorum.held().iter().collect::<Vec<_>>(), [node(0), node(9)]);
    assert_eq!(quorum.heartbeat_up(node(0)), None);
    assert_eq!(quorum.heartbeat_up(node(9)), None);
    assert!(quorum.held().is_empty());
}

#[test]
fn the_last_one_that_beats_stays() {
    let mut quorum = whole(2, 3);
    for num in [1, 3] {
        quorum.connection_error(node(num));
        assert_eq!(quorum.heartbeat_down(node(num)), None);
    }
    // A hold that came and went with a decision pending.
    assert_eq!(quorum.still_up(node(3)), None);
    assert_eq!(quorum.connection_up(node(3)), None);
    let decision = quorum.heartbeat_up(node(3)).unwrap();
    assert_eq!((decision.verdict, decision.heartbeating), (Verdict::Stay, 2));
}

/// Any events in any order: the holds are what the rule says, and what is decided follows from the numbers.
#[test]
fn any_order_of_events_keeps_the_books() {
    let mut seed = 1u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    let (mut stayed, mut gone) = (0, 0);
    for _ in 0..2000 {
        let mut quorum = whole(random(6) as u8 + 1, 6);
        for _ in 0..40 {
            let num = node(random(6) as u8 + 1);
            let before = quorum;
            let decision = match random(5) {
                0 => quorum.heartbeat_up(num),
                1 => quorum.heartbeat_down(num),
                2 => quorum.connection_up(num),
                3 => {
                    quorum.connection_error(num);
                    None
                }
                _ => quorum.still_up(num),
            };
            if let Some(decision) = decision {
                assert!(quorum.held().is_empty() && !quorum.pending(), "{before:?}");
                assert_eq!(before.held().len(), 1, "the last hold: {before:?}");
                let (heartbeating, connected) = (decision.heartbeating, decision.connected);
                let more = 2 * connected > heartbeating;
                let half = 2 * connected == heartbeating && decision.reachable;
                let alone = !quorum.heartbeating().contains(quorum.own) || heartbeating == 1;
                assert_eq!(decision.fences(), !(more || half || alone), "{decision:?}");
                if decision.fences() { gone += 1 } else { stayed += 1 }
            }
            if quorum.pending() && quorum.held().is_empty() {
                assert!(before.held().is_empty(), "only by a silence that lasts: {before:?}");
            }
        }
    }
    assert!(stayed > 100 && gone > 10, "both outcomes: {stayed} {gone}");
}
