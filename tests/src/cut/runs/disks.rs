//! Disks whose writes hang without an error (section 1): negotiation. Times count from the last block that a node wrote.

use super::{Must, Run, Since, Step, down};

/// Half the write timeout, at the beginning of a beat's write or a little later.
const HUNG: (f64, f64) = (5.9, 7.2);
/// The write timeout, (dead threshold - 1) x 2 s.
const TIMEOUT: (f64, f64) = (11.9, 12.4);
/// The lowest node looks once more after a second.
const APPROVED: (f64, f64) = (5.9, 8.4);

const HUNG_1: &str = "o2hb: node 1 hb write hung for 6s on region R1 (";
const HUNG_2: &str = "o2hb: node 2 hb write hung for 6s on region R1 (";
const HUNG_3: &str = "o2hb: node 3 hb write hung for 6s on region R1 (";
const WITH_1: &str = "negotiate timeout with node 1.";
const FROM_2: &str = "o2hb: receive negotiate timeout message from node 2 on region R1 (";
const FROM_3: &str = "o2hb: receive negotiate timeout message from node 3 on region R1 (";
const ALL: &str = "o2hb: all nodes hb write hung, maybe region R1 (";
const APPROVAL: &str = "o2hb: negotiate timeout approved by master node on region R1 (";
const WRITE: &str = "Heartbeat write timeout to device ";
const SORRY: &str = "very sorry";

/// The messages of a round between two nodes: asked, answered, given, answered.
const ROUND: &[(u8, u8, &str)] = &[
    (2, 1, "fa55 0001 0001 0000 00000000 00000000 4cd71b4e 00000000 02"),
    (1, 2, "fa56 0000 0001 0000 00000000 00000000 4cd71b4e 00000000"),
    (1, 2, "fa55 0001 0002 0000 00000000 00000000 4cd71b4e 00000000 01"),
    (2, 1, "fa56 0000 0002 0000 00000000 00000000 4cd71b4e 00000000"),
];

const fn since(node: u8, text: &'static str, of: u8, seen: (f64, f64), times: (usize, usize)) -> Must {
    Must::Line { node, text, since: Since::Block(of), seen, times }
}

const fn fence(node: u8, seen: (f64, f64)) -> Must {
    Must::Fence { node, why: WRITE, since: Since::Block(node), seen }
}

pub(super) const RUNS: &[Run] = &[
    Run {
        name: "1a",
        what: "two nodes, both hang, released after 50 s",
        nodes: 2,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Hang(&[1, 2])), (50.0, Step::Release(&[1, 2]))],
        until: 60.0,
        must: &[
            since(1, HUNG_1, 1, HUNG, (6, 8)),
            since(2, HUNG_2, 2, HUNG, (6, 8)),
            since(2, WITH_1, 2, HUNG, (6, 8)),
            since(1, FROM_2, 2, HUNG, (6, 8)),
            since(1, ALL, 1, APPROVED, (6, 8)),
            since(2, APPROVAL, 1, APPROVED, (6, 8)),
            Must::Messages { round: ROUND, times: (6, 8) },
            Must::Never { nodes: &[1, 2], text: SORRY },
            Must::Never { nodes: &[1, 2], text: "o2net:" },
            Must::Lists { node: 1, live: &[1, 2], connected: &[2] },
            Must::Lists { node: 2, live: &[1, 2], connected: &[1] },
            Must::NoSyn,
        ],
    },
    Run {
        name: "1b",
        what: "two nodes, only the lower hangs",
        nodes: 2,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Hang(&[1]))],
        until: 22.0,
        must: &[
            since(1, HUNG_1, 1, HUNG, (1, 1)),
            fence(1, TIMEOUT),
            Must::Never { nodes: &[1], text: ALL },
            Must::Never { nodes: &[2], text: "o2hb: " },
            Must::Messages { round: ROUND, times: (0, 0) },
            down(2, 1),
            Must::Lists { node: 2, live: &[2], connected: &[] },
        ],
    },
    Run {
        name: "1c",
        what: "two nodes, only the higher hangs",
        nodes: 2,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Hang(&[2]))],
        until: 22.0,
        must: &[
            since(2, WITH_1, 2, HUNG, (1, 1)),
            since(1, FROM_2, 2, HUNG, (1, 1)),
            Must::Never { nodes: &[1], text: ALL },
            Must::Never { nodes: &[2], text: APPROVAL },
            Must::Messages { round: ROUND.split_at(2).0, times: (1, 1) },
            fence(2, TIMEOUT),
            down(1, 2),
            Must::Lists { node: 1, live: &[1], connected: &[] },
        ],
    },
    Run {
        name: "1d",
        what: "three nodes, all hang",
        nodes: 3,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Hang(&[1, 2, 3]))],
        until: 20.0,
        must: &[
            since(1, HUNG_1, 1, HUNG, (2, 3)),
            since(2, HUNG_2, 2, HUNG, (2, 3)),
            since(3, HUNG_3, 3, HUNG, (2, 3)),
            since(1, FROM_2, 2, HUNG, (2, 3)),
            since(1, FROM_3, 3, HUNG, (2, 3)),
            since(2, APPROVAL, 1, APPROVED, (1, 3)),
            since(3, APPROVAL, 1, APPROVED, (1, 3)),
            Must::Never { nodes: &[1, 2, 3], text: SORRY },
        ],
    },
    Run {
        name: "1d2",
        what: "three nodes, 1 and 3 hang",
        nodes: 3,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Hang(&[1, 3]))],
        until: 22.0,
        must: &[
            fence(1, TIMEOUT),
            fence(3, TIMEOUT),
            Must::Never { nodes: &[3], text: APPROVAL },
            Must::Never { nodes: &[2], text: SORRY },
            down(2, 1),
            down(2, 3),
            Must::Lists { node: 2, live: &[2], connected: &[] },
        ],
    },
    Run {
        name: "1e",
        what: "two nodes, both hang, and the network is cut",
        nodes: 2,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Hang(&[1, 2])), (0.0, Step::Part(&[&[1], &[2]]))],
        until: 17.0,
        must: &[
            since(1, HUNG_1, 1, HUNG, (1, 1)),
            since(2, WITH_1, 2, HUNG, (1, 1)),
            Must::Never { nodes: &[1], text: FROM_2 },
            Must::Messages { round: ROUND, times: (0, 0) },
            fence(1, TIMEOUT),
            fence(2, TIMEOUT),
        ],
    },
    Run {
        name: "1f",
        what: "two nodes, both hang, the lower goes on after 17 s",
        nodes: 2,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Hang(&[1, 2])), (17.0, Step::Release(&[1]))],
        until: 36.0,
        must: &[
            // Approved twice before.
            since(2, APPROVAL, 2, APPROVED, (2, 2)),
            since(1, FROM_2, 2, HUNG, (3, 3)),
            fence(2, (25.0, 28.0)),
            Must::Never { nodes: &[1], text: SORRY },
            Must::Lists { node: 1, live: &[1], connected: &[] },
        ],
    },
    Run {
        name: "1h",
        what: "two nodes, both hang, the higher goes on after 17 s",
        nodes: 2,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Hang(&[1, 2])), (17.0, Step::Release(&[2]))],
        until: 34.0,
        must: &[
            fence(1, (23.0, 26.0)),
            Must::Never { nodes: &[2], text: SORRY },
            Must::Lists { node: 2, live: &[2], connected: &[] },
        ],
    },
    Run {
        name: "1g",
        what: "three nodes, all hang, the lowest is killed after 10 s",
        nodes: 3,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Hang(&[1, 2, 3])), (10.0, Step::Kill(1))],
        until: 26.0,
        must: &[
            since(2, APPROVAL, 1, APPROVED, (1, 1)),
            since(3, APPROVAL, 1, APPROVED, (1, 1)),
            since(2, WITH_1, 2, HUNG, (2, 2)),
            // From the approval, which came 7 to 8.4 s after the last block.
            fence(2, (17.9, 20.8)),
            fence(3, (17.9, 20.8)),
        ],
    },
    Run {
        name: "1i",
        what: "three nodes, all hang, the lowest begins to leave after 20 s, released after 50 s",
        nodes: 3,
        user: false,
        before: &[],
        steps: &[
            (0.0, Step::Hang(&[1, 2, 3])),
            (20.0, Step::BeginToLeave(1)),
            (50.0, Step::Release(&[1, 2, 3])),
        ],
        until: 65.0,
        must: LEAVING,
    },
    Run {
        name: "1i-long",
        what: "three nodes, all hang, the lowest begins to leave after 20 s, released after 10 min",
        nodes: 3,
        user: false,
        before: &[],
        steps: &[
            (0.0, Step::Hang(&[1, 2, 3])),
            (20.0, Step::BeginToLeave(1)),
            (600.0, Step::Release(&[1, 2, 3])),
        ],
        until: 615.0,
        must: LEAVING,
    },
    Run {
        name: "1j",
        what: "three nodes, 1 and 2 hang, the writes of 3 fail; released after 30 s",
        nodes: 3,
        user: false,
        before: &[],
        steps: &[(0.0, Step::Hang(&[1, 2])), (0.0, Step::Fail(&[3])), (30.0, Step::Release(&[1, 2]))],
        until: 40.0,
        must: &[
            // It asks for nothing, and so time is given to nobody.
            Must::Never { nodes: &[1], text: FROM_3 },
            Must::Never { nodes: &[1], text: ALL },
            fence(1, TIMEOUT),
            fence(2, TIMEOUT),
            fence(3, TIMEOUT),
        ],
    },
];

/// The end of the region waits for the disk, and the node takes its part in the negotiation meanwhile.
const LEAVING: &[Must] = &[
    Must::Never { nodes: &[1, 2, 3], text: SORRY },
    since(2, APPROVAL, 1, APPROVED, (6, 90)),
    since(3, APPROVAL, 1, APPROVED, (6, 90)),
    Must::Lists { node: 1, live: &[], connected: &[] },
    Must::Lists { node: 2, live: &[2, 3], connected: &[3] },
    Must::Lists { node: 3, live: &[2, 3], connected: &[2] },
];
