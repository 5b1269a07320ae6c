//! Who connects to whom, when, and who is accepted.

use super::*;
use crate::error::Errno;

const REFUSED: Closing = Closing::Reset(Errno(111));

#[test]
fn the_higher_node_connects_when_it_sees_the_lower_one() {
    let mut net = Fixture::new(2);
    net.up(2);
    net.wait(9000);
    assert!(net.done.is_empty(), "of itself: {:?}", net.done);
    net.up(1);
    net.up(5);
    net.wait(0);
    let connection = ConnectionId::Made(1);
    let connect = NetRequest::Connect {
        connection,
        from: Address([10, 9, 0, 2]),
        to: Address([10, 9, 0, 1]),
        port: 7777,
    };
    let asked: Vec<_> = net.done.iter().filter(|(_, effect)| matches!(effect, Effect::Do(_))).collect();
    assert_eq!(asked, [&(9000, Effect::Do(Action::Net(connect)))]);
    assert_eq!(net.pins(), [(1, 1)]);
    net.event(NetEvent::Connected { connection, port: 50_000 });
    // Of a kernel with the same values.
    let greeting = b"\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x01\0\0\x2e\xe0\0\0\x13\x88\0\0\x03\xe8\0\0\x03\xe8";
    assert_eq!(net.sent(connection), greeting);
    assert!(net.said().is_empty() && net.edges().is_empty() && net.net.connected().is_empty());
    net.greet(connection);
    assert_eq!(net.said(), ["o2net: Connected to node n1 (num 1) at 10.9.0.1:7777"]);
    assert_eq!(net.edges(), [(9000, 1, ConnectionEdge::Up)]);
    assert_eq!(net.net.connected().to_string(), "1 ");
}

#[test]
fn the_lower_node_accepts_and_greets_at_once() {
    let mut net = Fixture::new(1);
    net.up(2);
    net.wait(100);
    let connection = net.accept(7, 2);
    assert_eq!(net.sent(connection).len(), HANDSHAKE_BYTES);
    assert!(net.said().is_empty() && net.net.connected().is_empty());
    net.greet(connection);
    assert_eq!(net.said(), ["o2net: Accepted connection from node n2 (num 2) at 10.9.0.2:7777"]);
    assert!(net.attempts().is_empty());
    assert_eq!((net.pins(), net.net.sockets()), (Vec::from([(2, 1)]), 1));
}

#[test]
fn who_may_not_connect_is_closed_at_once_and_named() {
    let (mut net, connection) = Fixture::connected(3, 5);
    let mut refused = |from: u8, line: &str| {
        let before = net.net.sockets();
        net.done.clear();
        let stranger = net.accept(u64::from(from) + 10, from);
        assert_eq!((net.closed(), net.net.sockets()), (Vec::from([(0, stranger)]), before));
        assert!(net.sent(stranger).is_empty() && net.pins().is_empty());
        assert_eq!(net.said(), [line]);
    };
    refused(99, "o2net: Attempt to connect from unknown node at 10.9.0.99:40000");
    refused(
        2,
        "o2net: Unexpected connect attempt seen at node 'n3' (3, 10.9.0.3:7777) from node 'n2' (2, 10.9.0.2:40000)",
    );
    refused(
        3,
        "o2net: Unexpected connect attempt seen at node 'n3' (3, 10.9.0.3:7777) from node 'n3' (3, 10.9.0.3:40000)",
    );
    refused(4, "o2net: attempt to connect from node 'n4' at 10.9.0.4:40000 but it isn't heartbeating");
    refused(
        5,
        "o2net: Attempt to connect from node 'n5' at 10.9.0.5:40000 but it already has an open connection",
    );
    // What happens to those is nobody's.
    net.done.clear();
    net.receive(ConnectionId::Accepted(12), &[0; 64]);
    net.event(NetEvent::Closed(ConnectionId::Accepted(15), Closing::Ended));
    assert!(net.done.is_empty());
    net.message(connection, Wire::KeepaliveRequest);
    assert_eq!(net.sent(connection).len(), 24);
}

#[test]
fn a_refused_port_is_tried_once_a_second_and_named_each_time() {
    let mut net = Fixture::new(2);
    net.up(1);
    for _ in 0..11 {
        net.wait(1);
        let attempt = net.attempt();
        net.event(NetEvent::Closed(attempt, REFUSED));
        net.wait(999);
    }
    let times: Vec<_> = net.attempts().iter().map(|(at, _)| *at).take(11).collect();
    assert_eq!(times, (0..11).map(|second| second * 1000).collect::<Vec<_>>());
    let (expired, refused): (Vec<_>, Vec<_>) =
        net.lines().into_iter().partition(|(_, line)| line.contains("No connection"));
    assert_eq!(refused.len(), 11);
    let line = "o2net: Connection to node n1 (num 1) at 10.9.0.1:7777 shutdown, state 7";
    assert!(refused.iter().all(|(_, said)| said == line));
    assert!((1..=2).contains(&expired.len()), "{expired:?}");
    assert!(net.closed().is_empty() && net.edges().is_empty());
}

#[test]
fn a_port_that_does_not_answer_is_tried_once_an_idle_time() {
    let mut net = Fixture::new(2);
    net.up(1);
    net.wait(16_000);
    let times: Vec<_> = net.attempts().iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 5000, 10_000, 15_000]);
    let line = "o2net: No connection established with node 1 after 5.0 seconds, check network and cluster configuration.";
    assert_eq!(net.lines(), [5000, 10_000, 15_000].map(|at| (at, line.to_string())));
    assert_eq!((net.closed().len(), net.pins()), (3, Vec::from([(1, 1)])));
}

#[test]
fn the_lower_node_says_as_well_that_nobody_connects() {
    let mut net = Fixture::new(1);
    net.up(2);
    net.wait(10_000);
    assert_eq!(net.lines().iter().map(|(at, _)| *at).collect::<Vec<_>>(), [5000, 10_000]);
    assert!(net.attempts().is_empty());
}

#[test]
fn a_refused_handshake_waits_for_the_end_of_the_idle_time_since_the_first_attempt() {
    let mut net = Fixture::new(2);
    net.up(1);
    net.wait(300);
    for turn in 0..3 {
        let connection = net.attempt();
        net.event(NetEvent::Connected { connection, port: 1 });
        let theirs = Timing { heartbeat: Duration::from_secs(16), ..TIMING };
        net.receive(connection, &theirs.handshake().encode());
        assert_eq!(net.closed().last(), Some(&(300 + turn * 5000, connection)));
        net.wait(5000);
    }
    let times: Vec<_> = net.attempts().iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 5000, 10_000, 15_000]);
    let line = "o2net: node n1 (num 1) at 10.9.0.1:7777 uses a heartbeat timeout of 16000 ms, but we use 12000 ms \
                locally. Disconnecting.";
    assert_eq!(net.said().iter().filter(|said| *said == line).count(), 3);
    assert!(net.edges().is_empty(), "a refused peer leads to no fence");
}

#[test]
fn in_user_mode_the_heartbeat_timeout_is_0_and_does_not_fit_that_of_disks() {
    let mut net = Fixture::new(1);
    net.timing = Timing { heartbeat: Duration::ZERO, quorum_delay: None, ..TIMING };
    net.up(2);
    let connection = net.accept(1, 2);
    net.greet(connection);
    let line = "o2net: node n2 (num 2) at 10.9.0.2:7777 uses a heartbeat timeout of 12000 ms, but we use 0 ms \
                locally. Disconnecting.";
    assert_eq!(net.said(), [line]);
}

#[test]
fn half_a_handshake_counts_for_nothing() {
    let mut net = Fixture::new(1);
    net.up(2);
    let connection = net.accept(1, 2);
    let greeting = TIMING.handshake().encode();
    net.receive(connection, &greeting[..31]);
    net.wait(5000);
    assert_eq!((net.closed().len(), net.net.sockets(), net.pins().len()), (1, 0, 0));
    // Byte by byte it is one.
    let connection = net.accept(2, 2);
    greeting.iter().for_each(|byte| net.receive(connection, &[*byte]));
    assert_eq!(net.net.connected().len(), 1);
}

#[test]
fn a_lost_connection_is_tried_again_when_its_loss_has_been_said() {
    for (closing, state) in [(Closing::Ended, 8), (REFUSED, 7)] {
        let mut net = Fixture::new(2);
        net.up(1);
        net.wait(0);
        let connection = net.attempt();
        net.event(NetEvent::Connected { connection, port: 1 });
        net.greet(connection);
        net.wait(700);
        net.done.clear();
        net.event(NetEvent::Closed(connection, closing));
        let place = "node n1 (num 1) at 10.9.0.1:7777";
        assert_eq!(
            net.said(),
            [
                format!("o2net: Connection to {place} shutdown, state {state}"),
                format!("o2net: No longer connected to {place}")
            ]
        );
        assert_eq!(net.edges(), [(700, 1, ConnectionEdge::Error)]);
        net.wait(30_000);
        // The reconnect delay after the attempt at 0 ends at 1000, and nothing is tried then.
        assert_eq!(net.attempts().first().map(|(at, _)| *at), Some(6000));
        assert_eq!(net.edges()[1..], [(18_700, 1, ConnectionEdge::StillUp)]);
    }
}

#[test]
fn the_lower_node_takes_a_lost_peer_back_at_once() {
    let (mut net, connection) = Fixture::connected(1, 2);
    net.event(NetEvent::Closed(connection, REFUSED));
    let again = net.accept(2, 2);
    net.greet(again);
    assert_eq!(net.net.connected().len(), 1);
    let edges: Vec<_> = net.edges().into_iter().map(|(_, _, edge)| edge).collect();
    assert_eq!(edges, [ConnectionEdge::Error, ConnectionEdge::Up]);
}

#[test]
fn a_node_that_is_down_is_closed_and_forgotten() {
    let (mut net, connection) = Fixture::connected(1, 2);
    net.down(2);
    assert_eq!(net.closed(), [(0, connection)]);
    assert_eq!(net.said(), ["o2net: No longer connected to node n2 (num 2) at 10.9.0.2:7777"]);
    assert_eq!((net.net.next_timeout(), net.net.sockets(), net.pins()), (None, 0, Vec::from([(2, -1)])));
    net.done.clear();
    net.message(connection, Wire::KeepaliveRequest);
    net.wait(60_000);
    assert!(net.done.is_empty());
    // Up again, it is as new.
    net.up(2);
    let again = net.accept(2, 2);
    net.greet(again);
    assert_eq!(net.net.connected().len(), 1);
}

#[test]
fn an_attempt_that_cannot_be_made_is_said_and_made_again() {
    let mut net = Fixture::new(2);
    net.up(1);
    net.wait(0);
    let attempt = net.attempt();
    net.event(NetEvent::Closed(attempt, Closing::NotTried(Errno(101))));
    let line = "o2net: Connect attempt to node n1 (num 1) at 10.9.0.1:7777 failed with errno -101";
    assert_eq!(net.said(), [line]);
    net.wait(1000);
    assert_eq!(net.attempts().len(), 2);
}

#[test]
fn who_listens_late_finds_those_that_are_up_and_who_stops_is_rid_of_them() {
    let mut net = Fixture::new(3);
    net.tell(|net, cx| net.stop(cx));
    net.up(1);
    net.accept(1, 5);
    assert!(net.net.next_timeout().is_none() && net.net.sockets() == 0);
    let up: NodeSet = [node(1), node(3), node(5)].into_iter().collect();
    net.tell(|net, cx| net.start(node(3), &up, cx));
    net.wait(0);
    let five = net.accept(2, 5);
    assert_eq!((net.attempts().len(), net.net.sockets()), (1, 2));
    net.done.clear();
    net.tell(|net, cx| net.stop(cx));
    assert_eq!(net.closed(), [(0, ConnectionId::Made(1)), (0, five)]);
    assert_eq!(net.net.next_timeout(), None);
}
