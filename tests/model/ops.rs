//! Operations: their numbers are indices modulo the objects that exist, so every list of them is valid.

use std::time::Duration;

use uo2cb_core::Errno;
use uo2cb_core::heartbeat::Edge;
use uo2cb_core::tree::Forbidden;
use uo2cb_tests::rng::Rng;

use crate::call::{Call, Resolution, Subscription, Target, TreeCall};
use crate::reference::{Kind, Reference, join, leaf, parent};
use crate::values::TEXTS;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    /// mkdir where it belongs: cluster, node, region.
    Cluster(u8),
    Node(u8),
    Region(u8),
    /// mkdir of any name anywhere.
    Mkdir(u8, u8),
    /// rmdir of anything, or of what belongs to be removed so.
    Rmdir(u8),
    RemoveCluster,
    RemoveNode(u8),
    RemoveRegion(u8),
    /// Port, address and number of a node in one go.
    Complete(u8, u8),
    Local(u8, bool),
    /// Everything that a disk region needs, and `dev`.
    Start(u8),
    /// Any text to any attribute.
    Store(u16, u8),
    Mode(u8),
    /// A link from a region to a node; from anything to anything.
    Link(u8, u8, u8),
    LinkAny(u8, u8, u8),
    Unlink(u8),
    UnlinkAny(u8),
    Open(u16, u8),
    Chmod(u16, u16),
    Forbid(u8, u8, u8),
    ListRemoved(u8),
    Listening(u8, bool),
    Device(u8, bool),
    Cancel(u8),
    /// An answer to a request that nobody made.
    StaleAnswer,
    /// Region (or all), edge, priority, patience.
    Subscribe(u8, u8, u8, u8),
    Unsubscribe(u8),
    Delivered,
    /// From the wrong consumer, or of another event.
    StaleDelivered(u8, u8),
    Wait(u8),
    Shutdown,
}

use Op::*;

const NAMES: [&str; 12] = ["n0", "n1", "r0", "r1", "c0", ".hid", "num", "mode", "node", ".", "..", "a b\n"];

fn name(index: u8) -> String {
    match usize::from(index) % 18 {
        12 => "r".repeat(32),
        13 => "r".repeat(33),
        14 => "n".repeat(64),
        15 => "n".repeat(65),
        16 => "x".repeat(255),
        17 => "x".repeat(256),
        plain => NAMES[plain].to_owned(),
    }
}

fn pick<T: Clone>(all: &[T], index: impl Into<usize>) -> Option<T> {
    if all.is_empty() { None } else { all.get(index.into() % all.len()).cloned() }
}

impl Op {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let (a, b, c, d) = (rng.byte(), rng.byte(), rng.byte(), rng.byte());
        let wide = u16::from(a) << 8 | u16::from(b);
        match rng.below(100) {
            0..2 => Cluster(a),
            2..8 => Node(a),
            8..13 => Region(a),
            13..16 => Mkdir(a, b),
            16..18 => Rmdir(a),
            18 => RemoveCluster,
            19..23 => RemoveNode(a),
            23..26 => RemoveRegion(a),
            26..32 => Complete(a, b),
            32..36 => Local(a, b & 3 != 0),
            36..38 => Start(a),
            38..46 => Store(wide, c),
            46 => Mode(a),
            47..59 => Link(a, b, c),
            59..61 => LinkAny(a, b, c),
            61..67 => Unlink(a),
            67 => UnlinkAny(a),
            68 => Open(wide, c),
            69 => Chmod(wide, u16::from(c) << 8 | u16::from(d)),
            70 => Forbid(a, b, c),
            71 => ListRemoved(a),
            72..77 => Listening(a, b & 3 != 0),
            77 => Device(a, b & 1 != 0),
            78 => Cancel(a),
            79 => StaleAnswer,
            80..86 => Subscribe(a, b, c, d),
            86 => Unsubscribe(a),
            87..96 => Delivered,
            96 => StaleDelivered(a, b),
            97..99 => Wait(a),
            _ => {
                if a < 64 {
                    Shutdown
                } else {
                    Delivered
                }
            }
        }
    }

    /// The calls that it stands for in the present state; none if it refers to objects of which there are none.
    pub(crate) fn calls(self, model: &Reference, ids: &mut Ids) -> Vec<Call> {
        self.resolve(model, ids).unwrap_or_default()
    }

    fn resolve(self, model: &Reference, ids: &mut Ids) -> Option<Vec<Call>> {
        let anywhere = || [model.links(), model.all(&EVERYWHERE)].concat();
        let nodes = || model.all(&[Kind::Node]);
        let regions = || model.all(&[Kind::DiskRegion, Kind::UserRegion]);
        let dirs = || model.all(&EVERYWHERE);
        let group = |name| model.cluster().map(|cluster| join(&cluster, name));
        let calls = match self {
            Cluster(n) => vec![TreeCall::Mkdir { dir: "cluster".to_owned(), name: format!("c{}", n % 2) }],
            Node(n) => vec![TreeCall::Mkdir { dir: group("node")?, name: format!("n{}", n % 5) }],
            Region(n) => vec![TreeCall::Mkdir { dir: group("heartbeat")?, name: format!("r{}", n % 3) }],
            Mkdir(dir, n) => vec![TreeCall::Mkdir { dir: pick(&dirs(), dir)?, name: name(n) }],
            Rmdir(n) => vec![remove(&pick(&everything(model), n)?)],
            RemoveCluster => vec![remove(&model.cluster()?)],
            RemoveNode(n) => vec![remove(&pick(&nodes(), n)?)],
            RemoveRegion(n) => vec![remove(&pick(&regions(), n)?)],
            Complete(node, n) => {
                // Rarely only the first one or two of them.
                let files = match n {
                    0..240 => 3,
                    240..250 => 2,
                    250.. => 1,
                };
                let (dir, n) = (pick(&nodes(), node)?, n % 5);
                let address = format!("10.0.0.{n}\n");
                [("ipv4_port", "7777\n"), ("ipv4_address", &address), ("num", &format!("{n}\n"))]
                    .map(|(attribute, value)| store(&dir, attribute, value))[..files]
                    .to_vec()
            }
            Local(node, on) => vec![store(&pick(&nodes(), node)?, "local", if on { "1\n" } else { "0\n" })],
            Start(region) => {
                let dir = pick(&model.all(&[Kind::DiskRegion]), region)?;
                // Sometimes too few for some nodes.
                let blocks = if region < 192 { "255\n" } else { "2\n" };
                [("block_bytes", "512\n"), ("start_block", "1\n"), ("blocks", blocks), ("dev", "4\n")]
                    .map(|(attribute, value)| store(&dir, attribute, value))
                    .to_vec()
            }
            Store(n, text) => {
                let (dir, attribute) = pick(&attributes(model), n)?;
                let value = pick(TEXTS, text)?.to_vec();
                vec![TreeCall::Store { dir, attribute, value }]
            }
            Mode(n) => {
                let word = if n % 4 == 0 { "disk\n" } else { "user\n" };
                vec![store("cluster", "heartbeat_mode", word)]
            }
            Link(region, node, n) => {
                let dir = pick(&model.all(&[Kind::UserRegion]), region)?;
                let node = pick(&nodes(), node)?;
                let name = if n % 4 == 0 { format!("n{}", n % 5) } else { leaf(&node).to_owned() };
                vec![TreeCall::Symlink { dir, name, target: Target::Path(node) }]
            }
            LinkAny(dir, n, target) => {
                let target = match target % 8 {
                    0 => Target::Refused(Errno::ENOENT),
                    1 => Target::Refused(Errno::EPERM),
                    2 | 3 => pick(&attributes(model), target / 8)
                        .map(|(dir, name)| Target::Attribute(dir, name))?,
                    _ => Target::Path(pick(&anywhere(), target / 8)?),
                };
                let dir = if n < 128 { pick(&dirs(), dir)? } else { pick(&regions(), dir)? };
                vec![TreeCall::Symlink { dir, name: name(n), target }]
            }
            Unlink(n) => {
                let link = pick(&model.links(), n)?;
                vec![TreeCall::Unlink { dir: parent(&link).to_owned(), name: leaf(&link).to_owned() }]
            }
            UnlinkAny(n) => {
                let path = pick(&everything(model), n)?;
                let name = if n % 8 == 0 { name(n / 8) } else { leaf(&path).to_owned() };
                // The kernel resolves `.` and `..` itself.
                let name = if name.starts_with('.') && name.len() < 3 { "missing".to_owned() } else { name };
                vec![TreeCall::Unlink { dir: parent(&path).to_owned(), name }]
            }
            Open(n, bits) => {
                let (dir, attribute) = pick(&attributes(model), n)?;
                vec![TreeCall::Open { dir, attribute, read: bits & 1 != 0, write: bits & 2 != 0 }]
            }
            Chmod(n, mode) => vec![TreeCall::Chmod { path: pick(&everything(model), n)?, mode }],
            Forbid(dir, n, call) => {
                let calls =
                    [Forbidden::NewFile, Forbidden::SpecialFile, Forbidden::HardLink, Forbidden::Rename];
                vec![TreeCall::Forbidden {
                    dir: pick(&dirs(), dir)?,
                    name: name(n),
                    call: pick(&calls, call)?,
                }]
            }
            ListRemoved(n) => vec![TreeCall::ListRemoved { nth: usize::from(n) }],
            Listening(..) | Device(..) | Cancel(_) | StaleAnswer | Subscribe(..) | Unsubscribe(_)
            | Delivered | StaleDelivered(..) | Wait(_) | Shutdown => {
                return Some(vec![self.other(model, ids)?]);
            }
        };
        Some(calls.into_iter().map(|tree_call| Call::Tree { request: ids.request(), tree_call }).collect())
    }

    fn other(self, model: &Reference, ids: &mut Ids) -> Option<Call> {
        let errno = |ok, errno| if ok { None } else { Some(errno) };
        Some(match self {
            Listening(n, ok) => {
                let result = Resolution::Listening(errno(ok, Errno(99)));
                Call::Resolve(pick(&model.pending(true), n)?, result)
            }
            Device(n, ok) => {
                Call::Resolve(pick(&model.opening(), n)?, Resolution::Device(errno(ok, Errno(6))))
            }
            Cancel(n) => Call::Resolve(pick(&model.given_up(), n)?, Resolution::Cancel),
            StaleAnswer => Call::Resolve(ids.request(), Resolution::Listening(None)),
            Subscribe(region, edge, priority, patience) => {
                let regions = model.all(&[Kind::DiskRegion, Kind::UserRegion]);
                let region = match region % 8 {
                    0..3 => None,
                    3 => Some("none".to_owned()),
                    _ => Some(leaf(&pick(&regions, region / 8)?).to_owned()),
                };
                let edge = [None, None, Some(Edge::Up), Some(Edge::Down)][usize::from(edge % 4)];
                let patience = (patience % 3 == 0).then(|| Duration::from_millis(u64::from(patience)));
                let subscription =
                    Subscription { region, edge, priority: i32::from(priority % 3) - 1, patience };
                Call::Subscribe { request: ids.request(), consumer: ids.consumer(), subscription }
            }
            Unsubscribe(n) => Call::Unsubscribe(pick(&model.consumers(), n)?),
            Delivered => {
                let (consumer, event) = model.running()?;
                Call::Delivered { consumer, event }
            }
            StaleDelivered(consumer, event) => {
                let (running, current) = model.running().unwrap_or((0, 0));
                let event = if event % 2 == 0 { current } else { u64::from(event / 2) };
                let other =
                    pick(&model.consumers(), consumer).filter(|other| *other != running || event != current);
                Call::Delivered { consumer: other.unwrap_or(999), event }
            }
            Wait(_) => Call::Tick,
            Shutdown => Call::Shutdown,
            _ => return None,
        })
    }

    /// By how much it advances the time.
    pub(crate) fn takes(self) -> Duration {
        match self {
            Wait(ms) => Duration::from_millis(u64::from(ms)),
            _ => Duration::from_millis(1),
        }
    }
}

const EVERYWHERE: [Kind; 9] = [
    Kind::Root,
    Kind::Clusters,
    Kind::Cluster,
    Kind::Nodes,
    Kind::Node,
    Kind::DiskGroup,
    Kind::DiskRegion,
    Kind::UserGroup,
    Kind::UserRegion,
];

/// Ids of requests and consumers.
#[derive(Default)]
pub(crate) struct Ids {
    requests: u64,
    consumers: u64,
}

impl Ids {
    pub(crate) fn request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    fn consumer(&mut self) -> u64 {
        self.consumers += 1;
        self.consumers
    }
}

fn remove(path: &str) -> TreeCall {
    TreeCall::Rmdir { dir: parent(path).to_owned(), name: leaf(path).to_owned() }
}

fn store(dir: &str, attribute: &'static str, value: &str) -> TreeCall {
    TreeCall::Store { dir: dir.to_owned(), attribute, value: value.as_bytes().to_vec() }
}

fn attributes(model: &Reference) -> Vec<(String, &'static str)> {
    let of = |dir: String| {
        let kind = model.kind(&dir);
        let names = kind.map_or(&[][..], Kind::attributes).iter().map(|(name, ..)| *name);
        names.map(move |name| (dir.clone(), name)).collect::<Vec<_>>()
    };
    model.all(&EVERYWHERE).into_iter().flat_map(of).collect()
}

/// Every path but the root's.
fn everything(model: &Reference) -> Vec<String> {
    let attributes = attributes(model).into_iter().map(|(dir, name)| join(&dir, name));
    let entries = model.entries.keys().filter(|path| !path.is_empty()).cloned();
    entries.chain(attributes).collect()
}
