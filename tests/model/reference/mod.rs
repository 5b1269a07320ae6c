//! What the tree should be, in the simplest terms: a map from path to entry, everything else computed
//! anew at each question. Calls come with paths; outcomes are compared with the engine's, in order.

mod attributes;
mod change;
mod events;
mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uo2cb_core::Errno;
use uo2cb_core::heartbeat::Edge;

use crate::call::{Output, Replied, Subscription};

/// What a directory is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Root,
    Clusters,
    Cluster,
    Nodes,
    Node,
    DiskGroup,
    DiskRegion,
    UserGroup,
    UserRegion,
}

impl Kind {
    /// Name, mode and first text of each attribute, in the order of declaration.
    pub(crate) fn attributes(self) -> &'static [(&'static str, u16, &'static str)] {
        match self {
            Kind::Clusters => &[("heartbeat_mode", 0o644, ""), ("heartbeat_available_modes", 0o444, "")],
            Kind::Cluster => &[
                ("idle_timeout_ms", 0o644, "30000\n"),
                ("keepalive_delay_ms", 0o644, "2000\n"),
                ("reconnect_delay_ms", 0o644, "2000\n"),
                ("fence_method", 0o644, "reset\n"),
            ],
            Kind::Node => &[
                ("num", 0o644, "0\n"),
                ("ipv4_port", 0o644, "0\n"),
                ("ipv4_address", 0o644, "0.0.0.0\n"),
                ("local", 0o644, "0\n"),
            ],
            Kind::DiskGroup => &[("dead_threshold", 0o644, ""), ("mode", 0o644, "")],
            Kind::DiskRegion => &[
                ("block_bytes", 0o644, "0\n"),
                ("start_block", 0o644, "0\n"),
                ("blocks", 0o644, "0\n"),
                ("dev", 0o644, ""),
                ("pid", 0o444, ""),
            ],
            Kind::Root | Kind::Nodes | Kind::UserGroup | Kind::UserRegion => &[],
        }
    }

    fn is_default(self) -> bool {
        matches!(self, Kind::Root | Kind::Clusters | Kind::Nodes | Kind::DiskGroup | Kind::UserGroup)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Dir(Kind),
    Link { target: String, since: Duration },
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Higher is newer.
    pub(crate) age: u64,
    pub(crate) what: What,
    /// Attributes that were set, by name.
    texts: BTreeMap<&'static str, String>,
}

#[derive(Clone, Debug)]
struct Event {
    number: u64,
    edge: Edge,
    num: u64,
    node: String,
    region: String,
    pid: u32,
    at: Duration,
}

#[derive(Clone, Debug)]
struct Consumer {
    id: u64,
    order: u64,
    subscription: Subscription,
    /// First event that it may get.
    from: u64,
    pins: Vec<String>,
}

#[derive(Clone, Debug)]
struct Pending {
    request: u64,
    dir: String,
    attribute: &'static str,
    value: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Opening {
    request: u64,
    /// The region, unless it has gone.
    dir: Option<String>,
}

pub(crate) struct Reference {
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Changed permission bits, by path.
    modes: BTreeMap<String, u16>,
    age: u64,
    pub(crate) method: &'static str,
    dead_threshold: u32,
    disk_mode: &'static str,
    local: Option<String>,
    starting: Option<(String, u64)>,
    pending: Vec<Pending>,
    /// Devices that are being opened.
    opening: Vec<Opening>,
    /// Consumers of regions in global mode, and the regions pinned for them.
    users: u32,
    pinned: BTreeSet<String>,
    /// Directory, and the rmdir that waits.
    parked: Vec<(String, u64)>,
    queue: Vec<Event>,
    next_event: u64,
    consumers: Vec<Consumer>,
    next_order: u64,
    /// Consumers that have been told of the first event of the queue.
    told: Vec<u64>,
    running: Vec<(u64, i32, Option<Duration>)>,
    /// When the one that runs alone is slow.
    slow: Option<Duration>,
    held: Vec<(u64, u64, Result<Replied, Errno>)>,
    out: Vec<Output>,
    stopped: bool,
}

type Res<T> = Result<T, Errno>;

pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

pub(crate) fn leaf(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

impl Reference {
    pub(crate) fn new() -> Self {
        let mut new = Self {
            entries: BTreeMap::new(),
            modes: BTreeMap::new(),
            age: 0,
            method: "disk",
            dead_threshold: 31,
            disk_mode: "local",
            local: None,
            starting: None,
            pending: Vec::new(),
            opening: Vec::new(),
            users: 0,
            pinned: BTreeSet::new(),
            parked: Vec::new(),
            queue: Vec::new(),
            next_event: 0,
            consumers: Vec::new(),
            next_order: 0,
            told: Vec::new(),
            running: Vec::new(),
            slow: None,
            held: Vec::new(),
            out: Vec::new(),
            stopped: false,
        };
        new.insert("", What::Dir(Kind::Root));
        new.insert("cluster", What::Dir(Kind::Clusters));
        new
    }
}
