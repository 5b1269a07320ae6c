//! Requests and their answers, and what is no message.

use super::wire::{PAYLOAD_MAX, Ticket};
use super::*;

const USER: User = User::Region(ItemId(77));
const KIND: Kind = Kind { message: 1, key: 0x4cd7_1b4e };

impl Fixture {
    fn send(&mut self, to: u8, payload: &[u8]) {
        let request = Outgoing { user: USER, to: node(to), kind: KIND, payload: payload.to_vec() };
        self.tell(|net, cx| net.send(&request, cx));
    }

    fn answers(&self) -> Vec<Result<i32, SendError>> {
        let answers = self.done.iter().filter_map(|(_, effect)| match effect {
            Effect::Answered { user: USER, kind: KIND, result, .. } => Some(*result),
            _ => None,
        });
        answers.collect()
    }

    fn requests(&self) -> Vec<Incoming> {
        let requests = self.done.iter().filter_map(|(_, effect)| match effect {
            Effect::Message(incoming) => Some(incoming.clone()),
            _ => None,
        });
        requests.collect()
    }
}

fn status(number: u32, system: SystemStatus, status: i32) -> Wire<'static> {
    Wire::Status { kind: KIND, ticket: number.into(), system, status }
}

#[test]
fn a_request_goes_to_its_handler_whose_answer_goes_back() {
    let (mut net, connection) = Fixture::connected(1, 2);
    assert!(net.net.register(KIND, 1, USER));
    let ticket = Ticket { number: 9, pad: 0xabcd };
    net.message(connection, Wire::Request { kind: KIND, ticket, payload: &[2] });
    let [request] = &net.requests()[..] else { panic!("{:?}", net.done) };
    let expected =
        Incoming { user: USER, connection, from: node(2), kind: KIND, ticket, payload: Vec::from([2]) };
    assert_eq!(*request, expected);
    let request = request.clone();
    net.tell(|net, cx| net.answer(&request, Ok(-3), cx));
    let answer = Wire::Status { kind: KIND, ticket, system: SystemStatus::Ok, status: -3 };
    assert_eq!(net.sent(connection), answer.header().unwrap());
    // To whom it matters no more, nothing is said.
    net.down(2);
    net.done.clear();
    net.tell(|net, cx| net.answer(&request, Ok(0), cx));
    assert!(net.done.is_empty());
}

#[test]
fn a_request_without_a_handler_is_answered_as_by_the_kernel() {
    let (mut net, connection) = Fixture::connected(1, 2);
    assert!(net.net.register(KIND, 1, USER));
    // DLM query join, as a kernel that mounts sends it.
    let mut request = Vec::from(*b"\xfa\x55\0\x68\x01\xfe\x12\x34\0\0\0\x07\0\0\0\x08flar\0\0\0\x09");
    request.extend_from_slice(&[0; 104]);
    net.receive(connection, &request);
    assert_eq!(net.sent(connection), b"\xfa\x56\0\0\x01\xfe\x12\x34\0\0\0\x01\0\0\0\0flar\0\0\0\x09");
    for (length, system) in [(0, None), (1, None), (2, Some(2)), (PAYLOAD_MAX, Some(2))] {
        net.done.clear();
        net.message(
            connection,
            Wire::Request { kind: KIND, ticket: 1.into(), payload: &[0; PAYLOAD_MAX][..length] },
        );
        let sent = net.sent(connection);
        assert_eq!(sent.get(8..12).map(|bytes| bytes[3]), system, "{length}");
        assert_eq!(net.requests().len(), usize::from(system.is_none()));
    }
}

#[test]
fn requests_are_numbered_and_each_is_answered_once() {
    let (mut net, connection) = Fixture::connected(1, 2);
    for payload in [b"a", b"b", b"c"] {
        net.send(2, payload);
    }
    let sent = net.sent(connection);
    let numbers: Vec<_> = sent.chunks(25).map(|message| (message[23], message[24])).collect();
    assert_eq!(numbers, [(0, b'a'), (1, b'b'), (2, b'c')]);
    net.message(connection, status(1, SystemStatus::Ok, 5));
    net.message(connection, status(1, SystemStatus::Ok, 6));
    net.message(connection, status(0, SystemStatus::NoHandler, 0));
    net.message(connection, status(99, SystemStatus::Ok, 0));
    assert_eq!(net.answers(), [Ok(5), Err(SendError::System(SystemStatus::NoHandler))]);
    net.event(NetEvent::Closed(connection, Closing::Ended));
    assert_eq!(net.answers()[2..], [Err(SendError::System(SystemStatus::Died))]);
    net.down(2);
    assert_eq!(net.answers().len(), 3);
    let errors = net.answers().into_iter().filter_map(Result::err);
    assert_eq!(errors.map(|error| error.to_string()).collect::<Vec<_>>(), ["-92", "-112"]);
}

#[test]
fn a_request_waits_for_a_connection_that_is_being_made() {
    let mut net = Fixture::new(1);
    net.up(2);
    net.send(2, b"x");
    assert!(net.answers().is_empty());
    let connection = net.accept(1, 2);
    net.greet(connection);
    assert_eq!(net.sent(connection)[HANDSHAKE_BYTES + 24..], *b"x");
    net.message(connection, status(0, SystemStatus::Ok, 0));
    assert_eq!(net.answers(), [Ok(0)]);
}

#[test]
fn without_a_connection_in_time_or_a_peer_it_fails() {
    let mut net = Fixture::new(1);
    net.send(2, b"x");
    assert_eq!(net.answers(), [Err(SendError::NotConnected)]);
    net.up(2);
    net.send(2, b"x");
    net.wait(4999);
    assert_eq!(net.answers().len(), 1);
    net.wait(1);
    assert_eq!(net.answers()[1..], [Err(SendError::NotConnected)]);
    let (mut net, connection) = Fixture::connected(1, 2);
    net.event(NetEvent::Closed(connection, Closing::Ended));
    net.send(2, b"x");
    assert_eq!(net.answers(), [Err(SendError::NotConnected)]);
}

/// Userspace says who is gone: a lost connection does not.
#[test]
fn without_quorum_requests_wait_until_the_node_is_down() {
    let (mut net, connection) = Fixture::connected(1, 2);
    net.timing.quorum_delay = None;
    net.send(2, b"x");
    net.event(NetEvent::Closed(connection, Closing::Ended));
    net.send(2, b"y");
    net.wait(100_000);
    assert!(net.answers().is_empty());
    let again = net.accept(2, 2);
    net.timing = Timing { quorum_delay: None, ..TIMING };
    net.greet(again);
    assert_eq!(net.sent(again)[HANDSHAKE_BYTES + 20..], *b"\0\0\0\x01y", "x is not sent twice");
    net.message(again, status(1, SystemStatus::Ok, 0));
    net.down(2);
    assert_eq!(net.answers(), [Ok(0), Err(SendError::System(SystemStatus::Died))]);
}

#[test]
fn what_is_no_message_ends_the_connection() {
    for (bytes, why) in [
        (&[0x12, 0x34][..], "a message cannot begin with 0x1234"),
        (&[0xfa, 0x55, 0x0f, 0xe9], "a payload of 4073 bytes, and 4072 is the limit"),
    ] {
        let (mut net, connection) = Fixture::connected(1, 2);
        let mut header = [0; 24];
        header[..bytes.len()].copy_from_slice(bytes);
        net.receive(connection, &header[..23]);
        assert!(net.closed().is_empty(), "it is judged as a whole");
        net.receive(connection, &header[23..]);
        assert_eq!(net.closed(), [(0, connection)]);
        let place = "node n2 (num 2) at 10.9.0.2:7777";
        assert_eq!(
            net.said(),
            [
                format!("o2net: Connection to {place} closed: {why}"),
                format!("o2net: No longer connected to {place}")
            ]
        );
        assert_eq!(net.edges().len(), 1);
    }
}

#[test]
fn a_handshake_and_messages_may_come_in_any_parts() {
    let mut stream = Vec::from(TIMING.handshake().encode());
    let payload = [7; 300];
    for message in [
        Wire::KeepaliveRequest,
        Wire::Request { kind: KIND, ticket: 3.into(), payload: &payload },
        Wire::KeepaliveAnswer,
        Wire::Request { kind: KIND, ticket: 4.into(), payload: &[] },
    ] {
        stream.extend_from_slice(&message.header().unwrap());
        stream.extend_from_slice(message.payload());
    }
    for size in [1, 2, 7, 31, 33, 100, 1000] {
        let mut net = Fixture::new(1);
        net.net.register(KIND, 300, USER);
        net.up(2);
        let connection = net.accept(1, 2);
        stream.chunks(size).for_each(|part| net.receive(connection, part));
        let numbers: Vec<_> = net.requests().iter().map(|request| request.ticket.number).collect();
        assert_eq!((numbers, net.requests()[0].payload.len()), (Vec::from([3, 4]), 300), "{size}");
        assert_eq!(net.sent(connection).len(), HANDSHAKE_BYTES + 24);
    }
}
