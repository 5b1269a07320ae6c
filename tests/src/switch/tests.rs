use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::*;
use uo2cb_test_support::{not_run, poll};

/// Nothing arrives within this time; long against what a delivery takes.
const SILENCE: Duration = Duration::from_millis(400);

struct Net {
    switch: Switch,
    one: NameSpace,
    two: NameSpace,
    _folder: tempfile::TempDir,
}

/// Node 1 and node 2 on one switch; nothing where that cannot be.
fn net(test: &str) -> Option<Net> {
    let make = || {
        let folder = tempfile::tempdir()?;
        let switch = Switch::start(folder.path())?;
        let [one, two] = [NameSpace::new()?, NameSpace::new()?];
        switch.tap(1, &one)?;
        switch.tap(2, &two)?;
        Ok::<_, Error>(Net { switch, one, two, _folder: folder })
    };
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/net/tun").exists() {
        not_run(&format!("switch, {test}: it needs root and /dev/net/tun"));
        return None;
    }
    Some(make().unwrap())
}

fn to_one() -> SocketAddr {
    (frame::address(1), PORT).into()
}

impl Net {
    fn listen(&self) -> TcpListener {
        self.one.run(|| TcpListener::bind(to_one())).unwrap().unwrap()
    }

    fn connect(&self, limit: Duration) -> io::Result<TcpStream> {
        self.two.run(move || TcpStream::connect_timeout(&to_one(), limit)).unwrap()
    }

    /// A connection: the end of node 1, the end of node 2.
    fn pair(&self) -> (TcpStream, TcpStream) {
        let listener = self.listen();
        let two = self.connect(poll::LIMIT).unwrap();
        let one = listener.accept().unwrap().0;
        for end in [&one, &two] {
            end.set_nodelay(true).unwrap();
            end.set_read_timeout(Some(SILENCE)).unwrap();
        }
        (one, two)
    }

    /// The TCP segments of a capture that carry `data`.
    fn carrying(&self, dropped: bool, data: &[u8]) -> usize {
        let frames = pcap::read(&self.switch.capture(dropped)).unwrap();
        let segments = frames.iter().filter_map(|(_, frame)| frame::segment(frame));
        segments.filter(|segment| segment.data == data).count()
    }
}

fn is_silent(end: &mut TcpStream) -> bool {
    let kind = end.read(&mut [0]).map_err(|error| error.kind());
    matches!(kind, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

fn arrives(end: &mut TcpStream, data: &[u8]) {
    end.set_read_timeout(Some(poll::LIMIT)).unwrap();
    let mut found = vec![0; data.len()];
    end.read_exact(&mut found).unwrap();
    assert_eq!(found, data);
    end.set_read_timeout(Some(SILENCE)).unwrap();
}

#[test]
fn what_is_cut_in_one_direction_goes_in_the_other_and_comes_after_healing() {
    let Some(net) = net("cut in one direction") else { return };
    let (mut one, mut two) = net.pair();
    two.write_all(b"before").unwrap();
    arrives(&mut one, b"before");

    net.switch.cut([(2, 1)]);
    two.write_all(b"cut").unwrap();
    one.write_all(b"other way").unwrap();
    arrives(&mut two, b"other way");
    assert!(is_silent(&mut one));
    assert!(net.carrying(true, b"cut") > 0);
    assert_eq!((net.carrying(false, b"cut"), net.carrying(true, b"other way")), (0, 0));

    net.switch.heal([(2, 1)]);
    // By TCP's own repetition.
    arrives(&mut one, b"cut");
    assert_eq!(net.carrying(false, b"cut"), 1);
}

#[test]
fn groups_are_parted_in_both_directions() {
    let Some(net) = net("groups") else { return };
    let (mut one, mut two) = net.pair();
    net.switch.part(&[&[1, 3], &[2]]);
    one.write_all(b"x").unwrap();
    two.write_all(b"y").unwrap();
    assert!(is_silent(&mut one) && is_silent(&mut two));
    net.switch.heal_all();
    arrives(&mut one, b"y");
    arrives(&mut two, b"x");
}

#[test]
fn a_pair_that_is_cut_does_not_learn_addresses_either() {
    let Some(net) = net("cut from the start") else { return };
    net.switch.part(&[&[1], &[2]]);
    let _listener = net.listen();
    assert_eq!(net.connect(SILENCE).unwrap_err().kind(), ErrorKind::TimedOut);
    net.switch.heal_all();
    net.connect(poll::LIMIT).unwrap();
}

#[test]
fn filters_close_the_port_in_their_three_ways() {
    let Some(net) = net("filters") else { return };
    let listener = net.listen();
    // The address is known from here on, so only the filter decides.
    drop(net.connect(poll::LIMIT).unwrap());
    for (filter, expected) in [
        (Filter::Drop, ErrorKind::TimedOut),
        (Filter::Reset, ErrorKind::ConnectionRefused),
        (Filter::Unreachable, ErrorKind::ConnectionRefused),
    ] {
        net.switch.filter(1, Some(filter));
        let begin = Instant::now();
        let limit = if filter == Filter::Drop { SILENCE } else { poll::LIMIT };
        assert_eq!(net.connect(limit).unwrap_err().kind(), expected, "{filter:?}");
        // Refused by the answer to the first segment, not because the time was over.
        assert!(filter == Filter::Drop || begin.elapsed() < poll::LIMIT, "{filter:?}");
    }
    net.switch.filter(1, None);
    net.connect(poll::LIMIT).unwrap();
    drop(listener);

    let frames = pcap::read(&net.switch.capture(true)).unwrap();
    assert!(frames.iter().all(|(_, frame)| frame::segment(frame).is_some_and(|of| of.to.1 == PORT)));
    assert!(frames.len() >= 3, "{}", frames.len());
}

#[test]
fn a_reset_filter_ends_a_connection() {
    let Some(net) = net("a filter on an open connection") else { return };
    let (mut one, mut two) = net.pair();
    net.switch.filter(1, Some(Filter::Reset));
    two.write_all(b"x").unwrap();
    two.set_read_timeout(Some(poll::LIMIT)).unwrap();
    assert_eq!(two.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(is_silent(&mut one));
}

#[test]
fn groups_become_ordered_pairs() {
    assert_eq!(between(&[&[1, 2], &[3]]).into_iter().collect::<Vec<_>>(), [(1, 3), (2, 3), (3, 1), (3, 2)]);
    assert_eq!(between(&[&[1, 2]]).len(), 0);
}
