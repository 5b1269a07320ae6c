//! Where control sockets are, and which nodes run. A node that does not answer is listed too, and costs nobody who asks
//! for another one anything.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, io};

use serde_json::Value;
use uo2cb_fusefs::mounts::Device;

use super::about;
use super::client::{Client, Failure};
use super::socket::{Left, remove_record};
use crate::mountpoint::{Tree, canonical, side_by_side};

/// How many logs of ended nodes are kept.
const LOGS: usize = 8;

/// A node that runs, as its socket and the record beside it show it; it has not been asked.
#[derive(Debug)]
pub struct Found {
    /// Its control socket.
    pub socket: PathBuf,
    client: Client,
    trees: Vec<(PathBuf, Device)>,
}

impl Found {
    /// What listens at this path, if anybody does.
    fn at(socket: PathBuf) -> Option<Self> {
        match Client::connect(&socket) {
            Ok(client) => Some(Self { trees: about::read(&socket), socket, client }),
            Err(_) => {
                if let Some(left) = own_name(&socket, "sock").and_then(|()| Left::at(&socket)) {
                    let _ = left.remove(&socket);
                }
                None
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.client.pid()
    }

    /// Does it serve this FUSE connection?
    fn serves(&self, device: Device) -> bool {
        self.trees.iter().any(|(_, served)| *served == device)
    }

    /// Where its trees were mounted.
    pub fn mounts(&self) -> impl Iterator<Item = &Path> {
        self.trees.iter().map(|(point, _)| point.as_path())
    }

    /// `/tmp/o2cb (pid 7)`.
    pub fn name(&self) -> String {
        let mount = self.mounts().next().map_or_else(|| "not mounted".into(), about::shown);
        format!("{mount} (pid {})", self.pid().unwrap_or_default())
    }

    /// The connection to it.
    pub fn client(self) -> Client {
        self.client
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
                for socket in files(&dir, "sock") {
                    if let Some(left) = own_name(&socket, "sock").and_then(|()| Left::at(&socket)) {
                        let _ = left.remove(&socket);
                    }
                }
                forget_logs(&dir);
                return Ok(vacant(&dir, std::process::id()));
            }
        }
    }
    Err(failure)
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

/// Is it a name that [`vacant`] gives? The folder may be one that the user keeps other things in.
fn own_name(path: &Path, extension: &str) -> Option<()> {
    let name = path.file_stem()?.to_str()?;
    let (pid, other) = name.split_once('-').unwrap_or((name, "2"));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (path.extension() == Some(OsStr::new(extension)) && number(pid) && number(other)).then_some(())
}

/// A name that nobody has: in another PID name space somebody may have the same number, and a log of an ended node
/// is kept.
fn vacant(dir: &Path, pid: u32) -> PathBuf {
    let taken = |path: &Path| {
        [path, &path.with_extension("log")].iter().any(|path| fs::symlink_metadata(path).is_ok())
    };
    let mut path = dir.join(format!("{pid}.sock"));
    for other in 2..100 {
        if !taken(&path) {
            break;
        }
        path = dir.join(format!("{pid}-{other}.sock"));
    }
    path
}

/// Logs of ended nodes are kept to be read, the latest of them.
fn forget_logs(dir: &Path) {
    let me = rustix::process::geteuid().as_raw();
    let ended = |log: &PathBuf| {
        own_name(log, "log").is_some()
            && fs::symlink_metadata(log).is_ok_and(|found| found.is_file() && found.uid() == me)
            && fs::symlink_metadata(log.with_extension("sock")).is_err()
    };
    let mut logs: Vec<_> = files(dir, "log").into_iter().filter(ended).collect();
    logs.sort_by_key(|log| fs::symlink_metadata(log).and_then(|log| log.modified()).ok());
    for log in logs.iter().rev().skip(LOGS) {
        let _ = fs::remove_file(log);
    }
    // Records of sockets that are gone.
    for record in files(dir, "mounts") {
        let socket = record.with_extension("");
        if own_name(&socket, "sock").is_some() && fs::symlink_metadata(&socket).is_err() {
            remove_record(&socket);
        }
    }
}

/// This user's nodes. What killed ones left beside them is cleaned away.
pub fn running() -> Vec<Found> {
    let sockets = dirs().into_iter().filter(|dir| trusted(dir)).flat_map(|dir| files(&dir, "sock"));
    side_by_side(sockets, Found::at).into_iter().flatten().collect()
}

/// What `status` says of each node that answers; all are asked at the same time.
pub fn statuses() -> Vec<Value> {
    side_by_side(running(), |found| found.client().status().ok()).into_iter().flatten().collect()
}

/// The process whose node serves this FUSE connection, among this user's.
pub(crate) fn serving(device: Device) -> Option<u32> {
    running().iter().find(|found| found.serves(device)).and_then(Found::pid)
}

/// What a killed daemon left mounted, as far as it is known here.
fn left_at(path: &Path) -> Failure {
    let path = about::shown(path);
    Failure::Choice(format!("{path}: left by a killed daemon, take it away with: uo2cb umount {path}"))
}

/// Nothing of ours is to be seen at `path`. Who was mounted there, and still runs, is named; it may stand elsewhere by
/// now, so it is not taken for what `path` means.
fn none_at(path: &Path) -> Failure {
    let mut text = format!("{}: no uo2cb of yours is mounted there", about::shown(path));
    let point = canonical(path).ok();
    let was = |found: &Found| found.mounts().any(|mount| Some(mount) == point.as_deref());
    for found in running().into_iter().filter(was) {
        let pid = found.pid().unwrap_or_default();
        text += &format!(
            "; that of pid {pid} was, and another mount covers it, or it is in another mount name space: `kill {pid}` \
             ends it"
        );
    }
    Failure::Choice(text)
}

/// The node whose tree `path` leads to or into.
fn serving_at(path: &Path) -> Result<Option<Found>, Failure> {
    let Some(tree) = Tree::at(path).map_err(|error| Failure::Choice(error.to_string()))? else {
        return Ok(None);
    };
    let Some(mut found) = running().into_iter().find(|found| found.serves(tree.device)) else {
        if tree.is_dead(path) {
            return Err(left_at(path));
        }
        return Err(Failure::Choice(format!(
            "{}: the uo2cb mounted there is another user's, or its control socket is not in {}",
            path.display(),
            places()
        )));
    };
    // The record is from the node's beginning; it is to say so itself.
    let says = found.client.node()?;
    let devices = says.get("devices").and_then(Value::as_object);
    let device = tree.device.to_string();
    if devices.is_some_and(|devices| devices.values().any(|served| served == &device)) {
        return Ok(Some(found));
    }
    Err(Failure::Choice(format!(
        "{}: the node of pid {} does not serve it any more",
        path.display(),
        says["pid"]
    )))
}

/// Where sockets are looked for, for people.
fn places() -> String {
    let dirs: Vec<_> = dirs().iter().map(|dir| dir.display().to_string()).collect();
    dirs.join(", ")
}

/// The node whose tree `mount` leads to or into; without that the one whose tree is the current directory, else the
/// only one that runs.
pub fn choose(mount: Option<&Path>) -> Result<Found, Failure> {
    if let Some(mount) = mount {
        return serving_at(mount)?.ok_or_else(|| none_at(mount));
    }
    if let Some(found) = serving_at(Path::new("."))? {
        return Ok(found);
    }
    let mut running = running();
    match (running.pop(), running.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => {
            let left: String = Tree::all_dead().iter().map(|point| format!("; {}", left_at(point))).collect();
            Err(Failure::Choice(format!(
                "no uo2cb of yours is running (looked in {}); start one: uo2cb mount DIR{left}",
                places()
            )))
        }
        (Some(last), false) => {
            let names: Vec<_> = running.iter().chain([&last]).map(Found::name).collect();
            let names = names.join(", ");
            Err(Failure::Choice(format!(
                "several uo2cb are running: {names}; choose with --mount DIR or UO2CB_MOUNT"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder may hold other things of its user's: only what this program has made is cleaned away.
    #[test]
    fn what_is_not_ours_stays() {
        for (name, extension, ours) in [
            ("7.sock", "sock", true),
            ("7-12.sock", "sock", true),
            ("7.log", "sock", false),
            ("agent.sock", "sock", false),
            ("7-.sock", "sock", false),
            ("-7.log", "log", false),
            ("7a.log", "log", false),
        ] {
            assert_eq!(own_name(Path::new(name), extension).is_some(), ours, "{name}");
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for number in 0..12 {
            fs::write(at(&format!("precious{number}.log")), "").unwrap();
            fs::write(at(&format!("{number}.log")), "").unwrap();
        }
        fs::write(at("1.sock.mounts"), "").unwrap();
        fs::write(at("precious.mounts"), "").unwrap();
        forget_logs(folder.path());
        let logs = files(folder.path(), "log");
        assert_eq!(logs.iter().filter(|log| own_name(log, "log").is_none()).count(), 12);
        assert_eq!(logs.len(), 12 + LOGS);
        assert!(at("precious.mounts").exists() && !at("1.sock.mounts").exists());
        // A log that is kept is not written to by another node.
        let kept = logs.iter().find(|log| own_name(log, "log").is_some()).unwrap();
        let pid = kept.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(vacant(folder.path(), pid), at(&format!("{pid}-2.sock")));
    }
}
