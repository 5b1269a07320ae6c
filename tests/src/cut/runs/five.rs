//! Odd clusters of five, and partitions of four that are not clean.

use super::{Must, Run, Step, down, fence, stays};

const HALF: &str = "fencing this node because it is connected to a half-quorum of 2 out of 4 nodes which doesn't include the lowest active node 1";
const ONE: &str = "fencing this node because it is only connected to 1 nodes and 3 is needed to make a quorum out of 5 heartbeating nodes";
const TWO: &str = "fencing this node because it is only connected to 2 nodes and 3 is needed to make a quorum out of 5 heartbeating nodes";
const THREE: &str = "not fencing this node, heartbeating: 5, connected: 3, lowest: 1 (reachable)";
const THREE_ALONE: &str = "not fencing this node, heartbeating: 5, connected: 3, lowest: 1 (unreachable)";
const FOUR_ALONE: &str = "not fencing this node, heartbeating: 5, connected: 4, lowest: 1 (unreachable)";
const FOUR_OF_FIVE: &str = "not fencing this node, heartbeating: 5, connected: 4, lowest: 1 (reachable)";

pub(super) const RUNS: &[Run] = &[
    Run {
        name: "5a",
        what: "five nodes, {1,2,3} and {4,5}",
        nodes: 5,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Part(&[&[1, 2, 3], &[4, 5]]))],
        until: 60.0,
        must: &[
            fence(4, TWO),
            fence(5, TWO),
            stays(1, THREE),
            stays(2, THREE),
            stays(3, THREE),
            down(1, 4),
            down(2, 5),
            Must::Lists { node: 1, live: &[1, 2, 3], connected: &[2, 3] },
            Must::Lists { node: 3, live: &[1, 2, 3], connected: &[1, 2] },
            Must::NoSyn,
        ],
    },
    Run {
        name: "5b",
        what: "five nodes, {1,2} and {3,4,5}",
        nodes: 5,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Part(&[&[1, 2], &[3, 4, 5]]))],
        until: 60.0,
        must: &[
            fence(1, TWO),
            fence(2, TWO),
            stays(3, THREE_ALONE),
            stays(4, THREE_ALONE),
            stays(5, THREE_ALONE),
            down(3, 1),
            down(5, 2),
            Must::Lists { node: 3, live: &[3, 4, 5], connected: &[4, 5] },
            Must::Lists { node: 5, live: &[3, 4, 5], connected: &[3, 4] },
            Must::NoSyn,
        ],
    },
    Run {
        name: "5c",
        what: "five nodes, the lowest cut off",
        nodes: 5,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Part(&[&[1], &[2, 3, 4, 5]]))],
        until: 44.0,
        must: &[
            fence(1, ONE),
            stays(2, FOUR_ALONE),
            stays(5, FOUR_ALONE),
            down(2, 1),
            down(5, 1),
            Must::Lists { node: 2, live: &[2, 3, 4, 5], connected: &[3, 4, 5] },
            Must::NoSyn,
        ],
    },
    Run {
        name: "5d",
        what: "five nodes, cut 1-2, 1-3 and 1-4",
        nodes: 5,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Part(&[&[1], &[2, 3, 4]]))],
        until: 44.0,
        must: &[
            fence(1, TWO),
            stays(2, FOUR_ALONE),
            stays(4, FOUR_ALONE),
            // Its connections are all alive, until that of 1 is lost or silent.
            Must::Never { nodes: &[5], text: "fencing this node because" },
            down(2, 1),
            down(5, 1),
            Must::Lists { node: 5, live: &[2, 3, 4, 5], connected: &[2, 3, 4] },
            Must::NoSyn,
        ],
    },
    Run {
        name: "5e",
        what: "five nodes, cut 4-5",
        nodes: 5,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Part(&[&[4], &[5]]))],
        until: 44.0,
        must: &[
            stays(4, FOUR_OF_FIVE),
            stays(5, FOUR_OF_FIVE),
            Must::Never { nodes: &[1, 2, 3], text: "o2net:" },
            Must::Lists { node: 4, live: &[1, 2, 3, 4, 5], connected: &[1, 2, 3, 5] },
            Must::NoSyn,
        ],
    },
    Run {
        name: "3c",
        what: "four nodes, cut 1-3, 1-4 and 2-4: a chain",
        nodes: 4,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Cut(&[(1, 3), (3, 1), (1, 4), (4, 1), (2, 4), (4, 2)]))],
        until: 44.0,
        must: &[
            fence(4, HALF),
            stays(1, "not fencing this node, heartbeating: 4, connected: 2, lowest: 1 (reachable)"),
            stays(2, "not fencing this node, heartbeating: 4, connected: 3, lowest: 1 (reachable)"),
            stays(3, "not fencing this node, heartbeating: 4, connected: 3, lowest: 1 (unreachable)"),
            down(1, 4),
            down(3, 4),
            Must::Lists { node: 1, live: &[1, 2, 3], connected: &[2, 3] },
            Must::Lists { node: 3, live: &[1, 2, 3], connected: &[1, 2] },
            Must::NoSyn,
        ],
    },
];
