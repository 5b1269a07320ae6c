//! Sockets of 127.0.0.1, and what is said of them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crossbeam_channel::{Receiver, Sender, unbounded};
use uo2cb_core::ConnectionId;
use uo2cb_core::net::Closing;

use super::*;
use crate::{LogFormat, LogTarget};

const HERE: Address = Address([127, 0, 0, 1]);
const SOON: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Listening(Result<(), Errno>),
    Accepted(ConnectionId),
    Connected(ConnectionId),
    Received(ConnectionId, Vec<u8>),
    Closed(ConnectionId, Closing),
}

/// Says what it is told; with jobs, it sends back what it is sent, as the monitor does: before more is read.
struct Listener(Sender<Said>, std::sync::OnceLock<Arc<Jobs>>);

impl Owner for Listener {
    fn listening(&self, _: RequestId, result: Result<(), Errno>) {
        self.0.send(Said::Listening(result)).unwrap();
    }

    fn net_event(&self, event: NetEvent<'_>) {
        if let (NetEvent::Received(connection, bytes), Some(jobs)) = (event, self.1.get()) {
            return jobs.note(Job::Net(NetRequest::Send { connection, bytes: bytes.to_vec() }));
        }
        let said = match event {
            NetEvent::Accepted { connection, .. } => Said::Accepted(connection),
            NetEvent::Connected { connection, .. } => Said::Connected(connection),
            NetEvent::Received(connection, bytes) => Said::Received(connection, bytes.to_vec()),
            NetEvent::Closed(connection, closing) => Said::Closed(connection, closing),
        };
        self.0.send(said).unwrap();
    }
}

struct Fixture {
    sockets: Sockets,
    said: Receiver<Said>,
    owner: Arc<Listener>,
}

impl Fixture {
    fn new() -> Self {
        let (send, said) = unbounded();
        let owner = Arc::new(Listener(send, std::sync::OnceLock::new()));
        let weak: Weak<dyn Owner> = Arc::downgrade(&owner) as Weak<dyn Owner>;
        let notes = Notes::open(LogTarget::Discard, LogFormat::Text).unwrap();
        let sockets = Sockets::new(notes, Realtime::default(), weak);
        Self { sockets, said, owner }
    }

    fn listen(&self, address: Address, port: u16) -> Result<(), Errno> {
        let wanted = Wanted { request: RequestId(1), caller: Caller::default(), address, port };
        self.sockets.listen(wanted)?;
        self.sockets.go();
        match self.next() {
            Said::Listening(result) => result,
            other => panic!("{other:?}"),
        }
    }

    fn next(&self) -> Said {
        self.said.recv_timeout(SOON).expect("nothing was said")
    }

    fn request(&self, request: NetRequest) {
        self.sockets.request(request);
        self.sockets.go();
    }

    fn connect(&self, number: u64, port: u16) -> ConnectionId {
        let connection = ConnectionId::Made(number);
        self.request(NetRequest::Connect { connection, from: HERE, to: HERE, port });
        connection
    }

    fn send(&self, connection: ConnectionId, bytes: &[u8]) {
        self.request(NetRequest::Send { connection, bytes: bytes.to_vec() });
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.sockets.stop();
    }
}

/// A port that nobody has.
fn free() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[test]
fn a_port_can_be_listened_on_again_at_once() {
    let (fixture, other, port) = (Fixture::new(), Fixture::new(), free());
    for turn in 1..=50 {
        assert_eq!(fixture.listen(HERE, port), Ok(()));
        assert_eq!(other.listen(HERE, port), Err(Errno::EADDRINUSE));
        let peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert_eq!(fixture.next(), Said::Accepted(ConnectionId::Accepted(turn)));
        drop(peer);
        assert!(matches!(fixture.next(), Said::Closed(_, Closing::Ended)));
        fixture.sockets.stop_listening();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        fixture.sockets.go();
    }
    assert_eq!(fixture.listen(Address([192, 0, 2, 1]), port), Err(Errno::EADDRNOTAVAIL));
}

/// Word to stop comes while the port is only being bound.
#[test]
fn who_stops_while_he_begins_does_not_listen() {
    let (fixture, port) = (Fixture::new(), free());
    let wanted = Wanted { request: RequestId(1), caller: Caller::default(), address: HERE, port };
    fixture.sockets.listen(wanted).unwrap();
    fixture.sockets.stop_listening();
    fixture.sockets.go();
    assert_eq!(fixture.next(), Said::Listening(Ok(())));
    let until = Instant::now() + SOON;
    while TcpListener::bind(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "the port is not free");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(fixture.listen(HERE, port), Ok(()), "and can again");
}

#[test]
fn bytes_go_both_ways_in_order() {
    let (fixture, port) = (Fixture::new(), free());
    assert_eq!(fixture.listen(HERE, port), Ok(()));
    let made = fixture.connect(1, port);
    let mut said = [fixture.next(), fixture.next()];
    said.sort_by_key(|said| matches!(said, Said::Accepted(_)));
    let accepted = ConnectionId::Accepted(1);
    assert_eq!(said, [Said::Connected(made), Said::Accepted(accepted)]);
    for (from, to) in [(made, accepted), (accepted, made)] {
        let sent: Vec<u8> = (0..200_000u32).map(|byte| byte as u8).collect();
        sent.chunks(4096).for_each(|part| fixture.send(from, part));
        let mut received = Vec::new();
        while received.len() < sent.len() {
            match fixture.next() {
                Said::Received(of, bytes) if of == to => received.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
        assert!(received == sent);
    }
    fixture.request(NetRequest::Close(made));
    assert_eq!(fixture.next(), Said::Closed(accepted, Closing::Ended));
    // Of what is gone nothing more is said.
    fixture.send(made, b"x");
    fixture.request(NetRequest::Close(made));
    assert!(fixture.said.recv_timeout(Duration::from_millis(50)).is_err());
}

#[test]
fn attempts_that_fail_say_why() {
    let (fixture, port) = (Fixture::new(), free());
    // Who does not listen does not connect.
    assert_eq!(fixture.listen(HERE, free()), Ok(()));
    let made = fixture.connect(1, port);
    assert_eq!(fixture.next(), Said::Closed(made, Closing::Reset(Errno(libc::ECONNREFUSED))));
    let connection = ConnectionId::Made(2);
    let from = Address([192, 0, 2, 1]);
    fixture.request(NetRequest::Connect { connection, from, to: HERE, port });
    assert_eq!(fixture.next(), Said::Closed(connection, Closing::NotTried(Errno::EADDRNOTAVAIL)));
}

#[test]
fn a_reset_is_told_from_an_end() {
    let (fixture, port) = (Fixture::new(), free());
    assert_eq!(fixture.listen(HERE, port), Ok(()));
    let mut peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let accepted = ConnectionId::Accepted(1);
    assert_eq!(fixture.next(), Said::Accepted(accepted));
    peer.write_all(b"half").unwrap();
    assert_eq!(fixture.next(), Said::Received(accepted, b"half".to_vec()));
    fixture.send(accepted, b"unread");
    peer.peek(&mut [0; 6]).unwrap();
    // What it has not read makes its close a reset.
    drop(peer);
    assert_eq!(fixture.next(), Said::Closed(accepted, Closing::Reset(Errno(libc::ECONNRESET))));
}

/// What is sent to somebody who does not read has a limit.
#[test]
fn who_does_not_read_is_closed_in_the_end() {
    let (fixture, port) = (Fixture::new(), free());
    assert_eq!(fixture.listen(HERE, port), Ok(()));
    let mut peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let accepted = ConnectionId::Accepted(1);
    assert_eq!(fixture.next(), Said::Accepted(accepted));
    let piece = [0; 64 * 1024];
    let mut sent = 0;
    while fixture.said.is_empty() {
        assert!(sent < 64 * 1024 * 1024, "no limit");
        fixture.send(accepted, &piece);
        sent += piece.len();
    }
    assert_eq!(fixture.next(), Said::Closed(accepted, Closing::Full));
    let mut rest = Vec::new();
    let _ = peer.read_to_end(&mut rest);
    assert!(!rest.is_empty() && rest.len() < sent);
}

/// Whoever asks and does not read the answers is not listened to any more, until he does.
#[test]
fn who_asks_without_reading_has_to_wait() {
    let (fixture, port) = (Fixture::new(), free());
    assert_eq!(fixture.listen(HERE, port), Ok(()));
    let mut peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let accepted = ConnectionId::Accepted(1);
    assert_eq!(fixture.next(), Said::Accepted(accepted));
    fixture.owner.1.set(Arc::clone(&fixture.sockets.jobs)).unwrap();
    peer.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut asked = 0;
    while let Ok(count) = peer.write(&[7; 64 * 1024]) {
        asked += count;
        assert!(asked < 64 * 1024 * 1024, "it is read without end");
    }
    peer.set_read_timeout(Some(SOON)).unwrap();
    let mut answers = vec![0; asked];
    peer.read_exact(&mut answers).unwrap();
    assert!(asked > 64 * 1024 && answers.iter().all(|byte| *byte == 7));
    assert!(fixture.said.is_empty());
}
