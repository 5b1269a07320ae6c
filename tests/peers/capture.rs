//! What two nodes send one another, against what two kernels sent: `two-kernels.pcap` beside this file, Linux 6.1 with the
//! same timeouts, connection, keepalives, a clean leave, a rejoin and a cut cable.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use uo2cb_tests::guest::Error;
use uo2cb_tests::nodes::{Node as _, Ours, numbers, wait};
use uo2cb_tests::program::format_disk;
use uo2cb_tests::switch::{PORT, Switch, frame, pcap};

use crate::wire::{HANDSHAKE, HEADER, Handshake, Header, KEEP_ANSWER, KEEP_REQUEST};
use crate::world::LIMIT;

const KERNELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/two-kernels.pcap");
/// Keepalives of a side that are waited for.
const KEEPALIVES: usize = 4;

type End = (Ipv4Addr, u16);

/// What went through a connection in both directions.
#[derive(Default)]
struct Connection {
    /// Of the side that connects, and of the side that accepts.
    sides: [Side; 2],
}

#[derive(Default)]
struct Side {
    /// The number of its first byte.
    first: u32,
    bytes: Vec<u8>,
}

/// What one side of a connection said.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    handshake: Vec<u8>,
    messages: Vec<Vec<u8>>,
}

/// All connections to the port of nodes, in their order.
fn connections(capture: &Path) -> Result<Vec<Connection>, Error> {
    let mut all: Vec<Connection> = Vec::new();
    let mut open: BTreeMap<(End, End), usize> = BTreeMap::new();
    for (_, frame) in pcap::read(capture)? {
        let Some(segment) = frame::segment(&frame) else { continue };
        let connector = segment.to.1 == PORT;
        let ends = if connector { (segment.from, segment.to) } else { (segment.to, segment.from) };
        if segment.flags == frame::SYN {
            open.insert(ends, all.len());
            all.push(Connection::default());
        }
        let Some(side) = open.get(&ends).map(|at| &mut all[*at].sides[usize::from(!connector)]) else {
            continue;
        };
        if segment.flags & frame::SYN != 0 {
            side.first = segment.seq.wrapping_add(1);
            continue;
        }
        // What was sent again has been seen; nothing overtakes.
        let offset = segment.seq.wrapping_sub(side.first) as usize;
        if let Some(new) = side.bytes.len().checked_sub(offset).and_then(|known| segment.data.get(known..)) {
            side.bytes.extend_from_slice(new);
        }
    }
    Ok(all)
}

impl Side {
    fn said(&self) -> Result<Said, Error> {
        let (handshake, mut rest) =
            self.bytes.split_at_checked(HANDSHAKE).ok_or_else(|| "no handshake".to_owned())?;
        let mut messages = Vec::new();
        while let Some(header) = rest.first_chunk::<HEADER>() {
            let length = HEADER + usize::from(Header::read(header).length);
            let (message, next) = rest.split_at_checked(length).ok_or_else(|| "half a message".to_owned())?;
            messages.push(message.to_vec());
            rest = next;
        }
        if rest.is_empty() {
            Ok(Said { handshake: handshake.to_vec(), messages })
        } else {
            Err(format!("{} bytes behind the messages", rest.len()).into())
        }
    }
}

/// Both sides of all connections that got as far as a handshake.
fn said(capture: &Path) -> Result<Vec<[Said; 2]>, Error> {
    let all = connections(capture)?;
    let good = all.iter().filter(|connection| connection.sides.iter().all(|side| !side.bytes.is_empty()));
    good.map(|connection| Ok([connection.sides[0].said()?, connection.sides[1].said()?])).collect()
}

/// The kernels' connections are understood, and ours say the same.
pub(crate) fn compare(uo2cb: &Path) -> Result<(), Error> {
    let kernels = said(Path::new(KERNELS))?;
    let kinds = |all: &[[Said; 2]]| -> Vec<Vec<u8>> {
        let mut kinds: Vec<_> = all.iter().flatten().flat_map(|side| side.messages.clone()).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    };
    let expected = kinds(&kernels);
    let fields: Vec<_> = expected.iter().filter_map(|bytes| bytes.first_chunk()).map(Header::read).collect();
    let keepalive = |magic| Header { magic, ..Header::default() };
    if kernels.len() < 2 || fields != [keepalive(KEEP_REQUEST), keepalive(KEEP_ANSWER)] {
        return Err(format!("{} connections of kernels, and messages {fields:?}", kernels.len()).into());
    }
    let ours = ours(uo2cb)?;
    for side in ours.iter().flatten() {
        let theirs = &kernels[0][0].handshake;
        if side.handshake != *theirs || *theirs != Handshake::RIGHT.bytes() {
            return Err(format!("handshake {:02x?}, and a kernel's {theirs:02x?}", side.handshake).into());
        }
    }
    if kinds(&ours) != expected {
        return Err(format!("messages {:02x?}, and those of kernels {expected:02x?}", kinds(&ours)).into());
    }
    // As many answers as questions, but for one that the end of the connection overtook.
    for connection in &ours {
        for (asks, answers) in [(0, 1), (1, 0)] {
            let count = |side: usize, magic: u16| {
                let of = connection[side].messages.iter();
                of.filter(|bytes| bytes.starts_with(&magic.to_be_bytes())).count()
            };
            let (asked, answered) = (count(asks, KEEP_REQUEST), count(answers, KEEP_ANSWER));
            if answered > asked || asked > answered + 1 {
                return Err(format!("{asked} questions of side {asks}, and {answered} answers").into());
            }
        }
    }
    Ok(())
}

/// Two of our nodes connect, keep alive, and one of them leaves.
fn ours(uo2cb: &Path) -> Result<Vec<[Said; 2]>, Error> {
    let folders = [tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?, tempfile::tempdir()?];
    let (image, folder) = (folders[0].path().join("image"), folders[1].path());
    format_disk(uo2cb, &image)?;
    let switch = Switch::start(folder)?;
    let mut nodes = Vec::new();
    for node in [1, 2] {
        nodes.push(Ours::start(uo2cb, node, 2, &switch, &image, folder, None)?);
    }
    std::thread::scope(|scope| {
        let starts: Vec<_> = nodes.iter_mut().map(|node| scope.spawn(|| node.start())).collect();
        starts
            .into_iter()
            .try_for_each(|start| start.join().map_err(|_| "a start has panicked".to_owned())?)
    })?;
    let capture = switch.capture(false);
    for (node, peer) in nodes.iter_mut().zip([2, 1]) {
        wait("connected", LIMIT, || Ok(numbers(&node.debug("o2net/connected_nodes")?).contains(&peer)))?;
    }
    wait("keepalives", LIMIT, || {
        let messages = |side: &Side| side.bytes.len().saturating_sub(HANDSHAKE) / HEADER;
        Ok(connections(&capture)?.iter().any(|of| of.sides.iter().all(|side| messages(side) >= KEEPALIVES)))
    })?;
    nodes[1].leave()?;
    wait("the leave", LIMIT, || Ok(numbers(&nodes[0].debug("o2net/connected_nodes")?).is_empty()))?;
    said(&capture)
}
