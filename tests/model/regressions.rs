//! Lists that once failed, shrunk.

use crate::ops::Op::{self, *};
use crate::run::run;

fn check(ops: &[Op]) {
    if let Err(difference) = run(ops) {
        panic!("{difference}");
    }
}

#[test]
fn the_list_of_methods_is_no_switch() {
    // `user` written to heartbeat_available_modes, past its mode bits.
    check(&[Store(1, 54)]);
}

#[test]
fn a_bind_that_was_taken_back_makes_no_local_node() {
    check(&[
        Cluster(0),
        Node(0),
        Complete(0, 1),
        Local(0, true),
        Local(0, false),
        Local(0, true),
        Listening(0, true),
        Listening(0, false),
    ]);
}

#[test]
fn a_node_is_removed_when_the_bind_it_waited_for_has_failed() {
    check(&[Cluster(0), Node(0), Complete(0, 1), Local(0, true), RemoveNode(0), Listening(0, false)]);
}

#[test]
fn a_removal_given_up_leaves_the_node_usable() {
    check(&[
        Cluster(0),
        Node(0),
        Complete(0, 1),
        Local(0, true),
        RemoveNode(0),
        Cancel(0),
        Listening(0, true),
        Local(0, false),
        RemoveNode(0),
    ]);
}

#[test]
fn a_local_node_that_is_going_is_not_pinned_any_more() {
    // Two binds of one node; the older one is still awaited when the node, local by then, is removed.
    check(&[
        Mode(1),
        Cluster(0),
        Node(0),
        Complete(0, 1),
        Region(0),
        Local(0, true),
        Local(0, false),
        Local(0, true),
        Listening(1, true),
        RemoveNode(0),
        Subscribe(4, 0, 0, 1),
        Cancel(0),
        Subscribe(4, 0, 0, 1),
        RemoveNode(0),
        RemoveRegion(0),
        Listening(0, true),
    ]);
}
