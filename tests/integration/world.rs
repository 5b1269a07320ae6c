//! A daemon with a folder for its mount, its control socket and its log; nothing of it is left after the drop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use uo2cb::control::Client;
use uo2cb_tests::poll::{LIMIT, until_some};
use uo2cb_tests::{not_run, program};

pub(crate) struct World {
    folder: TempDir,
    daemon: Child,
    /// The daemon's number where that is another one than here.
    inner: Option<u32>,
}

/// Whether trees can be mounted here; says so where not.
pub(crate) fn can_mount() -> bool {
    let able = uo2cb::mountpoint::may_mount(false);
    if let Err(why) = &able {
        not_run(&format!("integration: {why}"));
    }
    able.is_ok()
}

impl World {
    /// Mounts with the method `user`: cluster c with node s1 (its number is 200) and the region `shared`.
    pub(crate) fn new() -> Self {
        let world = Self::start("user", &[], None);
        world.fill();
        world
    }

    /// With the method `disk`: cluster c with the local node n1 and the region R, whose place is set.
    pub(crate) fn disk() -> Self {
        let world = Self::start("disk", &[], None);
        let port = uo2cb_tests::port::reserve().to_string();
        for dir in ["c", "c/node/n1", "c/heartbeat/R"] {
            fs::create_dir(world.at("cluster").join(dir)).unwrap();
        }
        for (attribute, value) in [
            ("node/n1/ipv4_address", "127.0.0.1"),
            ("node/n1/ipv4_port", &port),
            ("node/n1/num", "1"),
            ("node/n1/local", "1"),
            ("heartbeat/R/block_bytes", "512"),
            ("heartbeat/R/start_block", "1"),
            ("heartbeat/R/blocks", "8"),
        ] {
            fs::write(world.at("cluster/c").join(attribute), value).unwrap();
        }
        world
    }

    /// An empty one, with this method. `starter`: a command that starts the daemon; `inner`: the number that the
    /// daemon has in there.
    pub(crate) fn start(method: &'static str, starter: &[&str], inner: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("config")).unwrap();
        let daemon = spawn(folder.path(), method, starter);
        let mut world = Self { folder, daemon, inner };
        world.mounted();
        world
    }

    /// What a new one has.
    pub(crate) fn fill(&self) {
        for dir in ["c", "c/node/s1", "c/heartbeat/shared"] {
            fs::create_dir(self.at("cluster").join(dir)).unwrap();
        }
        for (attribute, value) in [("ipv4_address", "10.0.1.1"), ("ipv4_port", "7777"), ("num", "200")] {
            fs::write(self.at("cluster/c/node/s1").join(attribute), value).unwrap();
        }
    }

    fn mounted(&mut self) {
        until_some("mounted", || {
            assert_eq!(self.daemon.try_wait().unwrap(), None, "the daemon ended at once");
            // Not the tree: what a killed daemon leaves still answers from the kernel's cache.
            self.socket().exists().then_some(())
        });
    }

    /// Another daemon on the same folder.
    pub(crate) fn again(&mut self) {
        self.daemon = spawn(self.folder.path(), "user", &[]);
        self.mounted();
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// A folder beside the mount.
    pub(crate) fn outside(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Its end in mid-work.
    pub(crate) fn kill(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket()).unwrap()
    }

    fn socket(&self) -> PathBuf {
        let number = self.inner.unwrap_or(self.daemon.id());
        self.folder.path().join(format!("run/{number}.sock"))
    }

    /// The daemon's number out here, where another command has started it.
    pub(crate) fn started(&self) -> u32 {
        let starter = self.daemon.id();
        let children = fs::read_to_string(format!("/proc/{starter}/task/{starter}/children")).unwrap();
        children.trim().parse().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Until its log has a line with this in it.
    #[track_caller]
    pub(crate) fn until_line(&self, with: &str) {
        until_some(with, || self.log().contains(with).then_some(()));
    }

    /// Its resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

fn spawn(folder: &Path, method: &str, starter: &[&str]) -> Child {
    let program = program::uo2cb().unwrap();
    let mut command = match starter {
        [] => Command::new(program),
        [starter, options @ ..] => {
            let mut command = Command::new(starter);
            command.args(options).arg(program);
            command
        }
    };
    command
        .args(["mount", "config", "--foreground", "--heartbeat-mode", method, "--log", "log"])
        .args(rustix::process::geteuid().is_root().then_some("--allow-other"))
        .current_dir(folder)
        .env("UO2CB_RUNTIME_DIR", folder.join("run"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for World {
    fn drop(&mut self) {
        // What fails here has happened already.
        if let Some(pid) = Pid::from_raw(self.daemon.id() as i32) {
            if self.daemon.try_wait().is_ok_and(|status| status.is_none()) {
                // unshare(1) does not listen to the other one while it waits.
                let signal = if self.inner.is_some() { Signal::KILL } else { Signal::TERM };
                let _ = kill_process(pid, signal);
            }
        }
        let deadline = Instant::now() + LIMIT;
        while self.daemon.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let root = self.root();
        while uo2cb::mountpoint::ours(&root) && uo2cb::mountpoint::detach(&root).is_ok() {}
    }
}
