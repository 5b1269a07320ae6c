//! A node that heartbeats: a daemon in a folder of its own; nothing of it is left after the drop.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use uo2cb::control::Client;
use uo2cb_tests::poll::{LIMIT, until};

use crate::device::Place;

const REGION: &str = "cluster/c/heartbeat/R";
/// It took so many seconds, or on a busy machine up to `late` more.
#[track_caller]
pub(crate) fn about(what: &str, took: Duration, expected: f64, late: f64) {
    let took = took.as_secs_f64();
    println!("{what}: {took:.2} s");
    assert!(
        (expected - 0.3..=expected + late).contains(&took),
        "{what}: {took:.2} s, not {expected} and up to {late} more"
    );
}

/// The daemon's program, built once.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| uo2cb_tests::program::uo2cb().unwrap())
}

/// A daemon that takes block devices only, with nodes n0 to n3 configured, of which `own` is its own.
pub(crate) struct Daemon {
    folder: TempDir,
    child: Child,
}

impl Daemon {
    pub(crate) fn new(own: u8, dead_threshold: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("config")).unwrap();
        // It goes with this program, even when that is killed, and the loop device goes with it.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program())
            .args(["mount", "config", "--foreground", "--strict", "--log", "log"])
            .current_dir(folder.path())
            .env("UO2CB_RUNTIME_DIR", folder.path().join("run"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { folder, child };
        until("mounted", || daemon.socket().exists() && daemon.at("cluster").exists());
        fs::create_dir(daemon.at("cluster/c")).unwrap();
        let port = uo2cb_tests::port::reserve();
        for num in 0..4 {
            daemon.node(num, port);
        }
        fs::write(daemon.at(&format!("cluster/c/node/n{own}/local")), "1").unwrap();
        fs::write(daemon.at("cluster/c/heartbeat/dead_threshold"), dead_threshold.to_string()).unwrap();
        fs::create_dir(daemon.at(REGION)).unwrap();
        daemon
    }

    /// One node more.
    pub(crate) fn node(&self, num: u8, port: u16) {
        let node = self.at(&format!("cluster/c/node/n{num}"));
        fs::create_dir(&node).unwrap();
        fs::write(node.join("ipv4_port"), port.to_string()).unwrap();
        fs::write(node.join("ipv4_address"), format!("127.0.0.{}", num + 1)).unwrap();
        fs::write(node.join("num"), num.to_string()).unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join(format!("run/{}.sock", self.child.id()))
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join("config").join(path)
    }

    /// A file of the region.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.at(REGION).join(name)
    }

    pub(crate) fn shows(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    /// Says where the region is.
    pub(crate) fn set(&self, place: Place) {
        fs::write(self.file("block_bytes"), place.block_bytes.to_string()).unwrap();
        fs::write(self.file("start_block"), place.start_block.to_string()).unwrap();
        fs::write(self.file("blocks"), place.blocks.to_string()).unwrap();
    }

    /// Writes a descriptor's number to `dev`. Gives the errno and how long that took.
    pub(crate) fn start_with(&self, descriptor: i32) -> (Result<(), i32>, Duration) {
        let mut dev = File::options().write(true).open(self.file("dev")).unwrap();
        let begin = Instant::now();
        let result = dev.write_all(descriptor.to_string().as_bytes());
        (result.map_err(|error| error.raw_os_error().unwrap()), begin.elapsed())
    }

    /// Starts the region on an opened device.
    pub(crate) fn start(&self, place: Place, device: &File) -> (Result<(), i32>, Duration) {
        self.set(place);
        self.start_with(device.as_raw_fd())
    }

    /// It must be refused with this errno without a beat.
    #[track_caller]
    pub(crate) fn refuses(&self, place: Place, device: &File, errno: i32) {
        let (result, took) = self.start(place, device);
        assert_eq!(result, Err(errno), "{place:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!((self.shows("dev").as_str(), self.shows("pid").as_str()), ("", ""));
    }

    /// Numbers of the nodes that are up.
    pub(crate) fn up(&self) -> Vec<u64> {
        let status: Value = Client::connect(&self.socket()).unwrap().status().unwrap();
        let up = status["regions"][0]["up"].as_array().unwrap().clone();
        up.iter().map(|node| node["num"].as_u64().unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn until_up(&self, nodes: &[u64]) {
        until(&format!("up are {nodes:?}"), || self.up() == nodes);
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// How many lines of the log have this in them.
    pub(crate) fn lines(&self, with: &str) -> usize {
        self.log().lines().filter(|line| line.contains(with)).count()
    }

    /// Until there is such a line.
    #[track_caller]
    pub(crate) fn until_line(&self, with: &str) {
        until(with, || self.lines(with) > 0);
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn exit_status(&mut self) -> Option<i32> {
        until("ended", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let (true, Some(pid)) = (self.runs(), Pid::from_raw(self.child.id() as i32)) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + LIMIT;
        while self.runs() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let root = self.at("");
        while uo2cb::mountpoint::ours(&root) && uo2cb::mountpoint::detach(&root).is_ok() {}
    }
}
