//! What is changed while the network is cut, or instead of it: members by userspace, attributes, addresses, connections.

use crate::nodes::cluster::{Call, REGION, make_node};
use crate::switch::{Filter, frame};

use super::{Must, Run, Since, Step, down, fence, idle, line, stays};

const HALF_OF_TWO: &str = "fencing this node because it is connected to a half-quorum of 1 out of 2 nodes which doesn't include the lowest active node 1";
const ONE_OF_TWO: &str = "not fencing this node, heartbeating: 2, connected: 1, lowest: 1 (reachable)";
const IDLE_1: &str = "o2net: Connection to node n1 (num 1) at 10.9.0.1:7777 has been idle for 5.";
const IDLE_2: &str = "o2net: Connection to node n2 (num 2) at 10.9.0.2:7777 has been idle for 5.";
const IDLE_3: &str = "o2net: Connection to node n3 (num 3) at 10.9.0.3:7777 has been idle for 5.";
const LOST_1: &str = "No longer connected to node n1 (num 1) at 10.9.0.1:7777";
const LOST_2: &str = "No longer connected to node n2 (num 2) at 10.9.0.2:7777";
const LOST_3: &str = "No longer connected to node n3 (num 3) at 10.9.0.3:7777";
const CONNECTED_1: &str = "o2net: Connected to node n1 (num 1) at 10.9.0.1:7777";
const ACCEPTED_2: &str = "o2net: Accepted connection from node n2 (num 2) at 10.9.0.2:7777";
const WRITE: &str = "Heartbeat write timeout to device ";
/// Whom userspace removes, and when.
const REMOVED: (f64, f64) = (30.0, 30.3);

fn remove_2() -> Vec<Call> {
    vec![Call::Unlink(format!("{REGION}/n2"))]
}

fn remove_3() -> Vec<Call> {
    vec![Call::Unlink(format!("{REGION}/n3"))]
}

fn panic() -> Vec<Call> {
    vec![Call::Write("cluster/c/fence_method".into(), "panic".into())]
}

/// Node 2 with another address.
fn moved() -> Vec<Call> {
    let mut calls = vec![Call::Rmdir("cluster/c/node/n2".into())];
    calls.extend(make_node(2));
    for call in &mut calls {
        if let Call::Write(path, value) = call {
            if path.ends_with("ipv4_address") {
                *value = frame::address(22).to_string();
            }
        }
    }
    calls
}

fn moved_itself() -> Vec<Call> {
    let local = |value: &str| Call::Write("cluster/c/node/n2/local".into(), value.into());
    [vec![local("0")], moved(), vec![local("1")]].concat()
}

pub(super) const RUNS: &[Run] = &[
    Run {
        name: "u",
        what: "userspace: the cable of 3 cut, removed by 1 and 2 after 30 s",
        nodes: 3,
        user: true,
        before: &[],
        steps: &[
            (0.0, Step::Hold(&[1, 2])),
            (0.0, Step::Part(&[&[1, 2], &[3]])),
            (30.0, Step::Call(&[1, 2], remove_3)),
        ],
        until: 40.0,
        must: &[
            idle(1, IDLE_3, (4, 6)),
            idle(3, IDLE_1, (6, 8)),
            Must::Told { node: 1, text: " down, ", since: Since::Begin, seen: REMOVED, times: (1, 1) },
            Must::Told { node: 2, text: " down, ", since: Since::Begin, seen: REMOVED, times: (1, 1) },
            line(1, LOST_3, REMOVED, (1, 1)),
            line(2, LOST_3, REMOVED, (1, 1)),
            Must::Never { nodes: &[3], text: "No longer connected" },
            Must::Never { nodes: &[1, 2, 3], text: "fencing this node" },
            Must::Never { nodes: &[1, 2, 3], text: "o2quo" },
            Must::Lists { node: 1, live: &[1, 2], connected: &[2] },
            Must::Lists { node: 2, live: &[1, 2], connected: &[1] },
            Must::Lists { node: 3, live: &[1, 2, 3], connected: &[1, 2] },
            Must::NoSyn,
        ],
    },
    Run {
        name: "u2",
        what: "userspace: two nodes, 2 cut, nobody removes it; healed after 40 s",
        nodes: 2,
        user: true,
        before: &[],
        steps: &[(0.0, Step::Hold(&[1, 2])), (0.0, Step::Part(&[&[1], &[2]])), (40.0, Step::Heal)],
        until: 75.0,
        must: &[
            idle(1, IDLE_2, (7, 12)),
            idle(2, IDLE_1, (7, 12)),
            Must::Told { node: 1, text: " down, ", since: Since::Begin, seen: (0.0, 75.0), times: (0, 0) },
            Must::Told { node: 2, text: " down, ", since: Since::Begin, seen: (0.0, 75.0), times: (0, 0) },
            Must::Never { nodes: &[1, 2], text: "No longer connected" },
            Must::Never { nodes: &[1, 2], text: "o2quo" },
            Must::Lists { node: 1, live: &[1, 2], connected: &[2] },
            Must::Lists { node: 2, live: &[1, 2], connected: &[1] },
            Must::NoSyn,
        ],
    },
    Run {
        name: "u3",
        what: "userspace: two nodes, what 2 sends to 1 is reset; 1 removes 2 after 20 s",
        nodes: 2,
        user: true,
        before: &[],
        steps: &[
            (0.0, Step::Hold(&[1])),
            (0.0, Step::Filter(1, Filter::Reset)),
            (20.0, Step::Call(&[1], remove_2)),
        ],
        until: 30.0,
        must: &[
            // The answer to its own messages is filtered as well: for it the connection is silent.
            idle(1, IDLE_2, (3, 5)),
            line(1, LOST_2, (20.0, 20.3), (1, 1)),
            line(2, LOST_1, (0.0, 1.5), (1, 1)),
            Must::Told { node: 1, text: " down, ", since: Since::Begin, seen: (20.0, 20.3), times: (1, 1) },
            Must::Never { nodes: &[1, 2], text: "o2quo" },
            Must::Lists { node: 1, live: &[1], connected: &[] },
            Must::Lists { node: 2, live: &[1, 2], connected: &[] },
        ],
    },
    Run {
        name: "5-method",
        what: "two nodes, cut; 2 switches its fence_method to panic 10 s later",
        nodes: 2,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Part(&[&[1], &[2]])), (10.0, Step::Call(&[2], panic))],
        until: 44.0,
        must: &[fence(2, HALF_OF_TWO), stays(1, ONE_OF_TWO), down(1, 2), Must::NoSyn],
    },
    Run {
        name: "7-reset",
        what: "two nodes, what 2 sends to 1 is reset for 8 s",
        nodes: 2,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Filter(1, Filter::Reset)), (8.0, Step::Open(1))],
        until: 45.0,
        must: &[
            line(
                2,
                "o2net: Connection to node n1 (num 1) at 10.9.0.1:7777 shutdown, state 7",
                (0.0, 1.5),
                (2, 8),
            ),
            line(2, LOST_1, (0.0, 1.5), (1, 1)),
            // Its own segments are not answered until the port is open: TCP repeats them ever more slowly.
            line(
                1,
                "o2net: Connection to node n2 (num 2) at 10.9.0.2:7777 shutdown, state 7",
                (8.0, 15.0),
                (1, 1),
            ),
            line(1, LOST_2, (8.0, 15.0), (1, 1)),
            line(2, CONNECTED_1, (8.0, 16.0), (1, 1)),
            line(1, ACCEPTED_2, (8.0, 16.0), (1, 1)),
            Must::Never { nodes: &[1, 2], text: "fencing this node because" },
            Must::Lists { node: 1, live: &[1, 2], connected: &[2] },
            Must::Lists { node: 2, live: &[1, 2], connected: &[1] },
        ],
    },
    Run {
        name: "1-reset",
        what: "two nodes, both hang, the connection is reset from 3 s to 10 s",
        nodes: 2,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Hang(&[1, 2])), (3.0, Step::Filter(1, Filter::Reset)), (10.0, Step::Open(1))],
        until: 22.0,
        must: &[
            line(2, LOST_1, (3.0, 4.5), (1, 1)),
            line(2, "negotiate timeout with node 1.", (4.0, 8.0), (1, 1)),
            // Not repeated when the connection is back.
            line(2, "send NEGO_TIMEOUT msg to node 1 fail -107", (4.0, 8.0), (1, 1)),
            Must::Messages { round: &[(2, 1, "")], times: (0, 0) },
            Must::Fence { node: 1, why: WRITE, since: Since::Block(1), seen: (11.9, 12.4) },
            Must::Fence { node: 2, why: WRITE, since: Since::Block(2), seen: (11.9, 12.4) },
        ],
    },
    Run {
        name: "6-address",
        what: "two nodes, 2 comes back with another address, which 1 learns later",
        nodes: 2,
        user: false,
        before: &[],
        steps: &[
            (0.0, Step::Address(2, 22)),
            (0.0, Step::Leave(2)),
            (4.0, Step::Call(&[2], moved_itself)),
            (5.0, Step::Start(2)),
            (20.0, Step::Call(&[1], moved)),
        ],
        until: 35.0,
        must: &[
            line(1, LOST_2, (0.0, 2.2), (1, 1)),
            line(1, "o2net: Attempt to connect from unknown node at 10.9.0.22:", (7.0, 18.0), (3, 14)),
            line(
                1,
                "o2net: Accepted connection from node n2 (num 2) at 10.9.0.22:7777",
                (20.0, 22.0),
                (1, 1),
            ),
            line(2, CONNECTED_1, (20.0, 22.0), (1, 1)),
            Must::Never { nodes: &[1, 2], text: "fencing this node because" },
            Must::Lists { node: 1, live: &[1, 2], connected: &[2] },
            Must::Lists { node: 2, live: &[1, 2], connected: &[1] },
        ],
    },
];
