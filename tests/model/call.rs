//! Inputs for the engine and the reference, and the outputs of both.

use std::time::Duration;

use uo2cb_core::Errno;
use uo2cb_core::heartbeat::Edge;
use uo2cb_core::tree::Forbidden;

/// Wall clock at the beginning of the monotonic one.
pub(crate) const WALL: Duration = Duration::from_secs(1_700_000_000);

/// One input, with paths where the engine has ids.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Tree {
        request: u64,
        tree_call: TreeCall,
    },
    /// Ends the wait of a request.
    Resolve(u64, Resolution),
    Subscribe {
        request: u64,
        consumer: u64,
        subscription: Subscription,
    },
    Unsubscribe(u64),
    Delivered {
        consumer: u64,
        event: u64,
    },
    Tick,
    Shutdown,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Resolution {
    Cancel,
    Listening(Option<Errno>),
    /// Refused, or opened: with sectors that no region takes.
    Device(Option<Errno>),
}

#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) region: Option<String>,
    pub(crate) edge: Option<Edge>,
    pub(crate) priority: i32,
    pub(crate) patience: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(crate) enum TreeCall {
    Mkdir {
        dir: String,
        name: String,
    },
    Rmdir {
        dir: String,
        name: String,
    },
    Unlink {
        dir: String,
        name: String,
    },
    Symlink {
        dir: String,
        name: String,
        target: Target,
    },
    Store {
        dir: String,
        attribute: &'static str,
        value: Vec<u8>,
    },
    Open {
        dir: String,
        attribute: &'static str,
        read: bool,
        write: bool,
    },
    Chmod {
        path: String,
        mode: u16,
    },
    Forbidden {
        dir: String,
        name: String,
        call: Forbidden,
    },
    /// A listing of a removed directory, under the id it had.
    ListRemoved {
        nth: usize,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Target {
    Path(String),
    Attribute(String, &'static str),
    Refused(Errno),
}

impl Target {
    /// As the line about a refusal names it.
    pub(crate) fn path(&self) -> Option<Vec<u8>> {
        match self {
            Target::Path(path) => Some(path.clone().into_bytes()),
            Target::Attribute(dir, name) => Some(format!("{dir}/{name}").into_bytes()),
            Target::Refused(_) => None,
        }
    }
}

pub(crate) fn word(call: Forbidden) -> &'static str {
    match call {
        Forbidden::NewFile => "create",
        Forbidden::SpecialFile => "mknod",
        Forbidden::HardLink => "link",
        Forbidden::Rename => "rename",
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attr {
    pub(crate) kind: char,
    pub(crate) mode: u16,
    pub(crate) nlink: u32,
    pub(crate) size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Replied {
    Done,
    Stored(usize),
    Attr(Attr),
    /// Region, number, node, since when.
    Subscribed(Vec<(String, u64, String, Duration)>),
    /// Anything else: always a difference.
    Other(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) number: u64,
    pub(crate) edge: Edge,
    pub(crate) num: u64,
    pub(crate) node: String,
    pub(crate) region: String,
    pub(crate) pid: u32,
    pub(crate) at: Duration,
}

/// One output of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Reply(u64, Result<Replied, Errno>),
    Deliver(u64, Delivered),
    Expelled(u64),
    Listen {
        request: u64,
        at: String,
    },
    StopListening,
    OpenDisk {
        request: u64,
        descriptor: u64,
    },
    /// The device that was opened for this request.
    CloseDisk(u64),
    Refused {
        call: &'static str,
        path: String,
        value: Option<Vec<u8>>,
        errno: Errno,
    },
    Stopped,
}
