//! The control socket: one per node, mode 0600, JSON lines both ways.
//!
//! Sockets of daemons are in `$XDG_RUNTIME_DIR/uo2cb`, else in `/run/uo2cb` (root) or `/tmp/uo2cb-UID`; where
//! `UO2CB_RUNTIME_DIR` is set, in that directory and nowhere else. It must be the user's alone (mode 0700).
//!
//! A client sends objects, one a line of at most 4096 bytes:
//!
//! | line | answer |
//! |---|---|
//! | `{"request":"status"}` | `{"status":{...}}` |
//! | `{"request":"watch"}` | `{"watching":{"up":[...]}}`, then events |
//! | `{"request":"hold","region":"R","priority":0}` | `{"holding":{"region":"R","up":[...]}}`, then events of R |
//! | `{"request":"release"}` | `{"released":true}`; ends a watch or hold |
//! | `{"request":"stop"}` | `{"stopping":true}`; the connection ends when the mounts are gone |
//! | `{"delivered":N}` | none: the client has dealt with event N |
//!
//! An event is `{"event":{"number":N,"time":"...","edge":"up","node":{"name":"n1","num":1},"region":"R",
//! "cause":"linked","pid":7,"text":"..."}}`. The call that caused it returns when every consumer has said
//! `delivered`, in time: one that takes longer than two seconds is expelled and its connection closed.
//! `up` is who was up when the registration took place; every later change comes as an event, none twice. An entry is
//! `{"region":"R","node":{...},"since":"..."}`, with the same region as its events: null with the disk method, whose
//! nodes are up or down as a whole, also for who holds one region.
//!
//! A refused request is answered with `{"error":{"message":"...","errno":"ENOENT"}}` (errno where the stack
//! refused). A connection takes one watch or hold at a time. A line that is no such object is answered with
//! an error; one that is too long also ends the connection. `{"ended":"..."}` says that nothing more will
//! come. When a connection ends, in whatever way, its hold ends at once.
//!
//! Names are UTF-8; bytes that are not, control characters and backslashes are escaped (`\xff`, `\n`, `\\`).

mod client;
mod registry;
mod render;
mod server;
mod session;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use client::{Client, Failure};
pub use registry::{Found, choose, mounted_by, new_socket, running};
use uo2cb_core::View;

use crate::daemon::clock::unix_now;
pub(crate) use server::Server;

/// Longest line that is read.
const LINE: usize = 4096;
/// How long a client may take with an event.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the socket tells about its node besides the state of the stack.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    mounts: Vec<(View, PathBuf)>,
    since: Duration,
}

impl Info {
    pub(crate) fn new(mounts: Vec<(View, PathBuf)>) -> Self {
        Self { mounts, since: unix_now() }
    }
}

/// Longest path that a socket can be bound to or connected to (`sun_path` less the NUL behind it).
const SUN_PATH: usize = 107;

/// Does `work` with a path to the same socket that is short enough for the system.
fn within_limit<T>(path: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().as_bytes().len() <= SUN_PATH {
        return work(path);
    }
    let dir = File::open(path.parent().unwrap_or(Path::new(".")))?;
    let name = Path::new(path.file_name().unwrap_or(OsStr::new("")));
    work(&Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn sockets_in_deep_folders() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("a.sock");
        assert!(UnixListener::bind(&path).is_err());
        let _listener = within_limit(&path, |path| UnixListener::bind(path)).unwrap();
        assert!(path.exists());
        within_limit(&path, |path| UnixStream::connect(path)).unwrap();
    }
}
