//! A folder with a mount point and control sockets of its own, and the command in it.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

mod nobody;

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

#[allow(unused_imports)]
pub use nobody::{mounts_below, nobody_can_mount};
pub use uo2cb_test_support::not_run;
pub use uo2cb_test_support::poll::until;

/// Whether this machine can mount at all; says so where not.
pub fn can_mount() -> bool {
    let able = uo2cb::mountpoint::may_mount(false);
    if let Err(why) = &able {
        not_run(&format!("tests of the command with mounts: {why}"));
    }
    able.is_ok()
}

/// The command.
pub fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_uo2cb").into()
}

pub struct World {
    pub folder: TempDir,
    pub mount: PathBuf,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let mount = fs::canonicalize(folder.path()).unwrap().join("config");
        fs::create_dir(&mount).unwrap();
        Self { folder, mount }
    }

    pub fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(program());
        command.env("UO2CB_RUNTIME_DIR", self.run_dir()).env_remove("UO2CB_MOUNT").env("LC_ALL", "C");
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Runs it; it must succeed. Gives what it printed.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {out}{err}");
        out
    }

    /// Runs it; it must fail with this status and one line that contains `with`.
    #[track_caller]
    pub fn fails(&self, arguments: &[&str], status: i32, with: &str) {
        let output = self.run(arguments);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
        assert!(err.contains(with), "{arguments:?}: {err}");
    }

    /// Mounts with the user method; gives the daemon.
    #[track_caller]
    pub fn mount(&self) -> i32 {
        self.ok(&["mount", "config", "--heartbeat-mode", "user"]);
        self.pid()
    }

    /// A cluster c with node n1 (local) and n2, and region R.
    pub fn cluster(&self) {
        let free = uo2cb_test_support::port::reserve();
        fs::create_dir(self.at("cluster/c")).unwrap();
        for (name, num, port) in [("n1", "1", free), ("n2", "2", 7777)] {
            let node = self.at(&format!("cluster/c/node/{name}"));
            fs::create_dir(&node).unwrap();
            fs::write(node.join("ipv4_address"), format!("127.0.0.{num}")).unwrap();
            fs::write(node.join("ipv4_port"), port.to_string()).unwrap();
            fs::write(node.join("num"), num).unwrap();
        }
        fs::write(self.at("cluster/c/node/n1/local"), "1").unwrap();
        fs::create_dir(self.at("cluster/c/heartbeat/R")).unwrap();
    }

    /// A cluster c with node n0 (local) alone, and region R of disk heartbeat with so many slots, without a device. Gives
    /// the node's port, and leaves a cluster that is there.
    #[track_caller]
    pub fn region(&self, blocks: u8) -> u16 {
        self.try_region(blocks).unwrap()
    }

    /// The same with a daemon that may end meanwhile.
    pub fn try_region(&self, blocks: u8) -> io::Result<u16> {
        let port = uo2cb_test_support::port::reserve();
        if !self.at("cluster/c").exists() {
            fs::create_dir(self.at("cluster/c"))?;
        }
        for dir in ["cluster/c/node/n0", "cluster/c/heartbeat/R"] {
            fs::create_dir(self.at(dir))?;
        }
        for (file, value) in [
            ("node/n0/ipv4_address", "127.0.0.1"),
            ("node/n0/ipv4_port", &port.to_string()),
            ("node/n0/num", "0"),
            ("node/n0/local", "1"),
            ("heartbeat/R/block_bytes", "512"),
            ("heartbeat/R/start_block", "1"),
            ("heartbeat/R/blocks", &blocks.to_string()),
        ] {
            fs::write(self.at("cluster/c").join(file), value)?;
        }
        Ok(port)
    }

    pub fn link(&self, node: &str) {
        let target = self.at(&format!("cluster/c/node/{node}"));
        std::os::unix::fs::symlink(target, self.at(&format!("cluster/c/heartbeat/R/{node}"))).unwrap();
    }

    pub fn unlink(&self, node: &str) {
        fs::remove_file(self.at(&format!("cluster/c/heartbeat/R/{node}"))).unwrap();
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.mount.join(path)
    }

    #[track_caller]
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["status", "--json"])).unwrap()
    }

    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.status()["pid"].as_i64().unwrap().try_into().unwrap()
    }

    pub fn log(&self, pid: i32) -> String {
        fs::read_to_string(self.run_dir().join(format!("{pid}.log"))).unwrap()
    }

    /// A watch or hold whose output goes to a file; returns when it is registered.
    pub fn follower(&self, arguments: &[&str]) -> Follower {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = self.folder.path().join(format!("follower{number}"));
        let out = fs::File::create(&path).unwrap();
        let child = self.command().args(arguments).stdout(out).spawn().unwrap();
        let follower = Follower { child, path };
        until("registered", || follower.lines().len() == 1);
        follower
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let sockets = fs::read_dir(self.run_dir()).into_iter().flatten().flatten();
        if sockets.filter(|entry| entry.path().extension().is_some_and(|ext| ext == "sock")).count() > 0 {
            self.run(&["umount", "config"]);
        }
        // What a test that failed left, whose daemons may not answer: the folder is not removed through it.
        for point in mounts_below(self.folder.path()) {
            let _ = uo2cb::mountpoint::detach(&point);
        }
    }
}

pub struct Follower {
    pub child: Child,
    path: PathBuf,
}

impl Follower {
    pub fn lines(&self) -> Vec<String> {
        BufReader::new(fs::File::open(&self.path).unwrap()).lines().map(Result::unwrap).collect()
    }

    pub fn signal(&self, signal: i32) {
        kill(self.child.id().try_into().unwrap(), signal);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn kill(pid: i32, signal: i32) {
    // SAFETY: kill takes no pointers.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// Gone, or a zombie that nobody has waited for.
pub fn ended(pid: i32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    // A process whose first thread has ended is called a zombie while the others still run.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    threads <= 1
        && stat.map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
