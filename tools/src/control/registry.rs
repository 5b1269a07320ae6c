//! Where control sockets are, and which nodes run.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, io};

use serde_json::Value;

use super::client::{Client, Failure};

/// How many logs of ended nodes are kept.
const LOGS: usize = 8;

/// A node that answers.
#[derive(Debug)]
pub struct Found {
    /// Its control socket.
    pub socket: PathBuf,
    /// Its `status`, as its socket told it.
    pub status: Value,
}

impl Found {
    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.status.get("pid")?.as_u64()?.try_into().ok()
    }

    /// Is one of its trees mounted here (a path without links)?
    pub fn is_at(&self, dir: &Path) -> bool {
        // As the status names it: bytes that are not UTF-8 do not go through JSON.
        self.mounts().any(|mount| *mount.as_os_str() == *dir.to_string_lossy())
    }

    /// Where its trees are mounted.
    pub fn mounts(&self) -> impl Iterator<Item = &Path> {
        let mounts = self.status.get("mounts").and_then(Value::as_object);
        mounts.into_iter().flat_map(|mounts| mounts.values().filter_map(Value::as_str)).map(Path::new)
    }
}

/// Directories in which this user's sockets may be, best first; `UO2CB_RUNTIME_DIR` names the only one.
fn dirs() -> Vec<PathBuf> {
    if let Some(dir) = env::var_os("UO2CB_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
        return vec![dir.into()];
    }
    let uid = rustix::process::geteuid();
    let mut dirs = Vec::new();
    // As root by way of su or sudo it may be somebody else's.
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    if let Some(dir) = runtime.filter(|dir| fs::metadata(dir).is_ok_and(|dir| dir.uid() == uid.as_raw())) {
        dirs.push(dir.join("uo2cb"));
    }
    if uid.is_root() {
        dirs.push("/run/uo2cb".into());
    }
    dirs.push(env::temp_dir().join(format!("uo2cb-{}", uid.as_raw())));
    dirs
}

/// This user's alone?
fn trusted(dir: &Path) -> bool {
    fs::symlink_metadata(dir).is_ok_and(|found| {
        let mine = found.uid() == rustix::process::geteuid().as_raw();
        found.is_dir() && mine && found.permissions().mode() & 0o077 == 0
    })
}

/// A path for this process's control socket, in a directory that is this user's alone; sockets of nodes that
/// have been killed are cleaned away there. The log of a node stands beside it, as `.log`.
pub fn new_socket() -> io::Result<PathBuf> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for dir in dirs() {
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                failure = io::Error::new(error.kind(), format!("{}: {error}", dir.display()));
            }
            _ if !trusted(&dir) => {
                let message = format!("{}: not a directory of mode 0700 of this user's", dir.display());
                failure = io::Error::new(io::ErrorKind::PermissionDenied, message);
            }
            _ => {
                sockets(&dir).into_iter().for_each(|socket| drop(Client::connect(&socket)));
                forget_logs(&dir);
                return Ok(vacant(&dir, std::process::id()));
            }
        }
    }
    Err(failure)
}

fn sockets(dir: &Path) -> Vec<PathBuf> {
    files(dir, "sock")
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// A name that nobody has: in another PID name space somebody may have the same number.
fn vacant(dir: &Path, pid: u32) -> PathBuf {
    let mut path = dir.join(format!("{pid}.sock"));
    for other in 2..100 {
        if !path.exists() {
            break;
        }
        path = dir.join(format!("{pid}-{other}.sock"));
    }
    path
}

/// Logs of ended nodes are kept to be read, the latest of them.
fn forget_logs(dir: &Path) {
    let ended = |log: &PathBuf| !log.with_extension("sock").exists();
    let mut logs: Vec<_> = files(dir, "log").into_iter().filter(ended).collect();
    logs.sort_by_key(|log| fs::metadata(log).and_then(|log| log.modified()).ok());
    for log in logs.iter().rev().skip(LOGS) {
        let _ = fs::remove_file(log);
    }
}

/// This user's nodes that answer. What killed ones left is cleaned away.
pub fn running() -> Vec<Found> {
    let answer = |socket: PathBuf| {
        let status = Client::connect(&socket).ok()?.status().ok()?;
        Some(Found { socket, status })
    };
    dirs().iter().filter(|dir| trusted(dir)).flat_map(|dir| sockets(dir)).filter_map(answer).collect()
}

/// The process whose node is mounted on `dir` (a path without links), among this user's.
pub fn mounted_by(dir: &Path) -> Option<u32> {
    running().iter().find(|found| found.is_at(dir)).and_then(Found::pid)
}

/// The node mounted on `mount`; without that the only one that runs.
pub fn choose(mount: Option<&Path>) -> Result<Found, Failure> {
    let mut running = running();
    if let Some(mount) = mount {
        let wanted =
            crate::mountpoint::canonical(mount).map_err(|error| Failure::Choice(error.to_string()))?;
        return running.into_iter().find(|found| found.is_at(&wanted)).ok_or_else(|| {
            Failure::Choice(format!("{}: no uo2cb of yours is mounted there", mount.display()))
        });
    }
    match (running.pop(), running.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(Failure::Choice("no uo2cb of yours is running; start one: uo2cb mount DIR".into())),
        (Some(last), false) => {
            let name = |found: &Found| {
                let mount = found.mounts().next().map_or_else(|| "not mounted".into(), Path::to_string_lossy);
                format!("{mount} (pid {})", found.pid().unwrap_or_default())
            };
            let names: Vec<_> = running.iter().chain([&last]).map(name).collect();
            let names = names.join(", ");
            Err(Failure::Choice(format!(
                "several uo2cb are running: {names}; choose with --mount DIR or UO2CB_MOUNT"
            )))
        }
    }
}
