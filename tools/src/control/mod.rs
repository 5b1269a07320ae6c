//! The control socket: one per node, mode 0600, JSON lines both ways.
//!
//! Sockets of daemons are in `$XDG_RUNTIME_DIR/uo2cb`, else in `/run/uo2cb` (root) or `/tmp/uo2cb-UID`; where
//! `UO2CB_RUNTIME_DIR` is set, in that directory and nowhere else. It must be the user's alone (mode 0700).
//!
//! A client sends objects, one a line of at most 4096 bytes:
//!
//! | line | answer |
//! |---|---|
//! | `{"request":"node"}` | `{"node":{"version":"...","pid":7,"since":"...","mounts":{...},"devices":{...},"hidden":{...}}}` |
//! | `{"request":"status"}` | `{"status":{...}}`, all of that and the state of the stack |
//! | `{"request":"watch"}` | `{"watching":{"up":[...]}}`, then events |
//! | `{"request":"hold","region":"R","priority":0}` | `{"holding":{"region":"R","up":[...]}}`, then events of R |
//! | `{"request":"release"}` | `{"released":true}`; ends a watch or hold |
//! | `{"request":"stop"}` | `{"stopping":true}`; the connection ends when the mounts are gone |
//! | `{"delivered":N}` | none: the client has dealt with event N |
//!
//! Of the status: `regions` have `phase` (of disk heartbeat: `incomplete`, `no device`, `opening`, `reading`, `starting`,
//! `steady`, `silent`, `stopping`), `holds` (consumers) and `pins`, `disk` once the device is open (with `path`, `deleted`
//! and `warnings`), and `up`, whose nodes have `"configured":false` where they are not any more. `stopping` are regions
//! that write their last block, `net` the connections (`peers`: `phase` is `none`, `connecting`, `handshake`, `connected`,
//! `silent` or `lost`; `heard_ms_ago`, `idle_timeout_ms`, `decision_in_ms` and `warning`), `quorum` who heartbeats, who is
//! connected, `holds` (`for_ms`, `why`) and the last decision, null where there is no quorum (user mode), `refusals` the last 16, oldest first, `last_fence` is that of an earlier daemon in this
//! place, `log` the log's path. Keys may be added; those that are there keep their names and meaning.
//!
//! An event is `{"event":{"number":N,"time":"...","edge":"up","node":{"name":"n1","num":1},"region":"R",
//! "cause":"linked","pid":7,"text":"..."}}`. The call that caused it returns when every consumer has said
//! `delivered`, in time: one that takes longer than two seconds is expelled and its connection closed.
//! `up` is who was up when the registration took place; every later change comes as an event, none twice. An entry is
//! `{"region":"R","node":{...},"since":"..."}`, with the same region as its events: null with the disk method, whose
//! nodes are up or down as a whole, also for who holds one region.
//!
//! Between the events of a watch there are lines `{"note":{"time":"...","about":"connection","text":"...","left_out":0}}`,
//! which are not answered: about a `connection`, a `hold` (a node for whose fate decisions wait), a `decision` of quorum,
//! `beat`s that fail or hang, or the `fence`; `text` is the line of the log. Who does not read is not told all of them:
//! `left_out` says how many before this one are missing.
//!
//! A refused request is answered with `{"error":{"message":"...","errno":"ENOENT"}}` (errno where the stack
//! refused). A connection takes one watch or hold at a time. A line that is no such object is answered with
//! an error; one that is too long also ends the connection. `{"ended":"..."}` says that nothing more will
//! come. When a connection ends, in whatever way, its hold ends at once.
//!
//! `mounts` has where each tree was mounted, `devices` its device number (`0:51`: 51 is the name of its FUSE connection),
//! by which a node is told from another one at the same path, `hidden` what keeps people from a tree that is served.
//!
//! At most 64 clients watch or hold. Who does neither keeps no place for good: the one that has been silent for the
//! longest time is told `{"error":{"message":"too many clients"}}` when another one needs its place.
//!
//! Names and paths are UTF-8; bytes that are not, control characters and backslashes are escaped (`\xff`, `\n`, `\\`).

//!
//! This module has what clients need, and what both ends agree upon. It does not know of the daemon, whose end of the
//! socket is the daemon's own.

mod about;
mod client;
mod registry;
pub(crate) mod socket;

use std::time::Duration;

pub use about::shown;
pub(crate) use about::{About, Tree};
pub use client::{Client, Failure};
pub(crate) use registry::serving;
pub use registry::{Found, choose, new_socket, running, statuses};

/// Longest line that is read.
pub(crate) const LINE: usize = 4096;
/// How long a client may take with an event.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
