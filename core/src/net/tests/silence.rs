//! Keepalives, silence, and the quorum delay.

use super::*;

const IDLE: &str = "o2net: Connection to node n2 (num 2) at 10.9.0.2:7777 has been idle for 5.0 secs.";

#[test]
fn a_quiet_peer_is_asked_and_any_message_puts_silence_off() {
    let (mut net, connection) = Fixture::connected(1, 2);
    net.wait(999);
    assert!(net.done.is_empty());
    net.wait(1);
    let ask = Wire::KeepaliveRequest.header().unwrap();
    assert_eq!(net.sent(connection), ask);
    for _ in 0..100 {
        net.message(connection, Wire::KeepaliveAnswer);
        net.wait(1000);
    }
    assert_eq!(net.sent(connection), ask.repeat(101));
    assert!(net.said().is_empty() && net.edges().is_empty());
}

#[test]
fn who_asks_is_answered_and_not_asked() {
    let (mut net, connection) = Fixture::connected(1, 2);
    for _ in 0..10 {
        net.wait(900);
        net.message(connection, Wire::KeepaliveRequest);
    }
    assert_eq!(net.sent(connection), Wire::KeepaliveAnswer.header().unwrap().repeat(10));
}

#[test]
fn silence_is_said_each_idle_time_and_decided_once_in_a_quorum_delay() {
    let (mut net, connection) = Fixture::connected(1, 2);
    net.wait(50_000);
    let (idle, half): (Vec<_>, Vec<_>) = net.lines().into_iter().partition(|(_, line)| line == IDLE);
    assert_eq!(
        idle.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
        (1..=10).map(|n| n * 5000).collect::<Vec<_>>()
    );
    let warning = "o2net: Connection to node n2 (num 2) at 10.9.0.2:7777 has been silent for 2.500 secs, half of its \
                   idle time";
    assert_eq!(half, [(2500, warning.to_string())], "once in a silence");
    let still_up: Vec<_> =
        net.edges().into_iter().filter(|(_, _, edge)| *edge == ConnectionEdge::StillUp).collect();
    // The second one is asked for by the first expiry behind the first one.
    assert_eq!(still_up, [(23_000, 2, ConnectionEdge::StillUp), (43_000, 2, ConnectionEdge::StillUp)]);
    assert_eq!(net.edges().len(), 12);
    // One more question with each expiry, and the connection stays.
    assert_eq!((net.sent(connection).len() / 24, net.closed().len()), (10, 0));
    assert_eq!(net.net.connected().to_string(), "2 ");
}

#[test]
fn who_is_heard_again_before_the_decision_calls_it_off() {
    let (mut net, connection) = Fixture::connected(1, 2);
    net.wait(22_999);
    net.message(connection, Wire::KeepaliveRequest);
    assert_eq!(net.edges().last(), Some(&(22_999, 2, ConnectionEdge::Up)));
    net.done.clear();
    net.wait(5000);
    assert_eq!(net.edges(), [(27_999, 2, ConnectionEdge::Error)]);
    net.wait(17_999);
    assert!(net.edges().iter().all(|(_, _, edge)| *edge != ConnectionEdge::StillUp));
    net.wait(1);
    assert_eq!(net.edges().last(), Some(&(45_999, 2, ConnectionEdge::StillUp)));
}

#[test]
fn parts_of_a_message_are_no_sign_of_life() {
    let (mut net, connection) = Fixture::connected(1, 2);
    let request = Wire::KeepaliveRequest.header().unwrap();
    for byte in &request[..23] {
        net.receive(connection, &[*byte]);
        net.wait(700);
    }
    assert_eq!(net.said().iter().filter(|line| *line == IDLE).count(), 3);
    net.receive(connection, &request[23..]);
    assert_eq!(net.edges().last().map(|(_, _, edge)| *edge), Some(ConnectionEdge::Up));
}

#[test]
fn a_down_calls_the_decision_off() {
    let (mut net, _) = Fixture::connected(1, 2);
    net.wait(20_000);
    net.down(2);
    net.wait(60_000);
    assert!(net.edges().iter().all(|(_, _, edge)| *edge != ConnectionEdge::StillUp));
}

#[test]
fn a_new_connection_is_not_silent_because_the_old_one_was() {
    let (mut net, connection) = Fixture::connected(1, 2);
    net.wait(6000);
    net.event(NetEvent::Closed(connection, Closing::Ended));
    let again = net.accept(2, 2);
    net.greet(again);
    net.done.clear();
    net.message(again, Wire::KeepaliveAnswer);
    assert!(net.edges().is_empty(), "it is up already");
}

#[test]
fn without_quorum_silence_is_said_and_nothing_is_decided() {
    let (mut net, _) = Fixture::connected(1, 2);
    net.timing.quorum_delay = None;
    net.wait(60_000);
    assert_eq!(net.said().iter().filter(|line| *line == IDLE).count(), 12);
    assert!(net.edges().iter().all(|(_, _, edge)| *edge == ConnectionEdge::Error));
}

/// A process that was stopped has not read what came meanwhile.
#[test]
fn after_a_pause_what_was_received_comes_first() {
    let (mut net, connection) = Fixture::connected(1, 2);
    net.wait(6000);
    assert_eq!(net.edges(), [(5000, 2, ConnectionEdge::Error)]);
    // Until behind the decision.
    net.now = 30_000;
    net.tell(|net, cx| net.timeout(cx));
    assert_eq!(net.edges().len(), 1);
    net.message(connection, Wire::KeepaliveAnswer);
    net.wait(4000);
    assert_eq!(net.edges()[1..], [(30_000, 2, ConnectionEdge::Up)]);

    // If there is nothing, it is put off once and not longer.
    let (mut net, _) = Fixture::connected(1, 2);
    net.wait(6000);
    for now in [30_000, 40_000] {
        net.now = now;
        net.tell(|net, cx| net.timeout(cx));
    }
    assert_eq!(net.edges().last().map(|(at, _, edge)| (*at, *edge)), Some((40_000, ConnectionEdge::StillUp)));
}
