//! Nothing keeps a node that must go: neither who should hear of it, nor whatever it would like to do first.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::io::Read;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{World, can_mount, kill, not_run, text, until};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use uo2cb::mountpoint;

/// Far longer than a fence takes on any machine, and shorter than what would hold it up for good.
const GONE: Duration = Duration::from_secs(10);
const NOBODY: u32 = 65_534;

/// A daemon in the foreground that fails at a place inside.
struct Daemon {
    world: World,
    child: Child,
}

impl Daemon {
    fn start(place: &str, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let world = World::new();
        let err = File::create(world.folder.path().join("err")).unwrap();
        let mut command = world.command();
        command.args(["mount", "config", "--foreground", "--panic-at", place]).args(arguments).stderr(err);
        change(&mut command);
        let child = command.spawn().unwrap();
        let mut daemon = Self { world, child };
        if place != "log" {
            until("mounted", || {
                assert_eq!(daemon.child.try_wait().unwrap(), None, "{}", daemon.said());
                mountpoint::ours(&daemon.world.mount)
            });
        }
        daemon
    }

    fn said(&self) -> String {
        fs::read_to_string(self.world.folder.path().join("err")).unwrap()
    }

    /// It ends as a fence does, soon, and nothing of it stays.
    #[track_caller]
    fn goes(&mut self, what: &str) {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < GONE, "{what}: still there; {}", self.said());
            std::thread::sleep(Duration::from_millis(2));
        };
        println!("{what}: gone within {:?}", begin.elapsed());
        assert_eq!(status.code(), Some(uo2cb::CRASH_STATUS), "{what}: {}", self.said());
        // The thread of the log has something to write before the daemon has finished mounting.
        assert!(what == "log" || !mountpoint::ours(&self.world.mount), "{what}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes until it takes no more; afterwards a write waits.
fn fill(pipe: impl AsFd) {
    let flags = fcntl_getfl(&pipe).unwrap();
    fcntl_setfl(&pipe, flags | OFlags::NONBLOCK).unwrap();
    for size in [4096, 1] {
        while rustix::io::write(&pipe, &vec![b'x'; size]).is_ok() {}
    }
    fcntl_setfl(&pipe, flags).unwrap();
}

/// Both ends of a pipe, full.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    fill(&write);
    (read, write)
}

/// A pipe by name, full, as long as the result is open.
fn full_fifo(path: &Path) -> File {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    let both = File::options().read(true).write(true).open(path).unwrap();
    fill(&both);
    both
}

/// Makes a directory in the mount, for which a daemon that is to panic in `fuse` does. The caller is let go.
fn strike(daemon: &Daemon) {
    let failed = fs::create_dir(daemon.world.at("cluster/c")).unwrap_err();
    let errno = failed.raw_os_error();
    assert!(matches!(errno, Some(libc::ENOTCONN | libc::ECONNABORTED)), "{failed}");
}

#[test]
fn standard_error_that_nobody_reads() {
    if !can_mount() {
        return;
    }
    let (_read, write) = full_pipe();
    let mut daemon = Daemon::start("fuse", &["--log", "log"], |command| {
        command.stderr(Stdio::from(write));
    });
    strike(&daemon);
    daemon.goes("full standard error");
    let log = fs::read_to_string(daemon.world.folder.path().join("log")).unwrap();
    assert!(log.contains("WARN  a fault of this program: thread fuser-0 panicked: on purpose, at "), "{log}");
}

#[test]
fn a_log_that_does_not_take_a_line() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let _held = full_fifo(&fifo);
    let mut daemon = Daemon::start("fuse", &["--log", fifo.to_str().unwrap()], |_| {});
    strike(&daemon);
    daemon.goes("full log");
    assert!(daemon.said().contains("panicked: on purpose"), "{}", daemon.said());
}

/// The log goes to standard error here, so its thread holds the lock of the standard library's one as well.
#[test]
fn a_log_on_standard_error_that_nobody_reads() {
    if !can_mount() {
        return;
    }
    let (_read, write) = full_pipe();
    let mut daemon = Daemon::start("fuse", &[], |command| {
        command.stderr(Stdio::from(write));
    });
    strike(&daemon);
    daemon.goes("log on full standard error");
}

/// What an ordinary user unmounts with is looked up in PATH, of which a part may lie on a disk that hangs.
#[test]
fn a_path_that_hangs() {
    if !can_mount() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        not_run("a PATH that hangs while a node is fenced: becoming an ordinary user needs root");
        return;
    }
    // What hangs later: the mount of another daemon, which will be stopped.
    let other = World::new();
    fs::set_permissions(other.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    other.ok(&["mount", "config", "--allow-other"]);
    let stopped = other.pid();

    let world = World::new();
    for dir in [world.folder.path(), &world.mount] {
        std::os::unix::fs::chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let path = format!("{}:{}", other.mount.display(), std::env::var("PATH").unwrap());
    let usable = Command::new("sh")
        .args(["-c", "test -x \"$0\" -a -w /dev/fuse && fusermount3 -V", env!("CARGO_BIN_EXE_uo2cb")])
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    if !usable.status.success() {
        other.ok(&["umount", "config"]);
        not_run(
            "a PATH that hangs while a node is fenced: an ordinary user cannot mount, or not run the command",
        );
        return;
    }
    let err = File::create(world.folder.path().join("err")).unwrap();
    let mut command = world.command();
    command.args(["mount", "config", "--foreground", "--log", "log", "--panic-at", "client"]);
    let child = command.env("PATH", &path).uid(NOBODY).gid(NOBODY).stderr(err).spawn().unwrap();
    let mut daemon = Daemon { world, child };
    let socket = || {
        fs::read_dir(daemon.world.run_dir()).is_ok_and(|mut entries| {
            entries
                .any(|entry| entry.unwrap().path().extension().is_some_and(|extension| extension == "sock"))
        })
    };
    until("mounted", || mountpoint::ours(&daemon.world.mount) && socket());
    kill(stopped, libc::SIGSTOP);
    let asked = daemon.world.command().arg("status").uid(NOBODY).gid(NOBODY).output().unwrap();
    assert!(!asked.status.success(), "{}", text(&asked.stdout));
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = daemon.child.try_wait().unwrap() {
            break Some(status);
        }
        if begin.elapsed() > GONE {
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    kill(stopped, libc::SIGCONT);
    other.ok(&["umount", "config"]);
    assert_eq!(status.expect("still there").code(), Some(uo2cb::CRASH_STATUS));
    // By the helper, which may be slower than the daemon's end.
    until("unmounted", || !mountpoint::ours(&daemon.world.mount));
}

/// Its mount goes along when a directory above it is renamed; what stands at the old path is another's.
#[test]
fn a_mount_that_has_moved_goes_too() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (deep, renamed) = (world.folder.path().join("deep"), world.folder.path().join("renamed"));
    fs::create_dir_all(deep.join("config")).unwrap();
    let mut command = world.command();
    command.args(["mount", "deep/config", "--foreground", "--log", "log", "--panic-at", "main"]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let (before, after) = (deep.join("config"), renamed.join("config"));
    until("mounted", || mountpoint::ours(&before) && world.run(&["status"]).status.success());
    fs::rename(&deep, &renamed).unwrap();
    assert!(mountpoint::ours(&after));
    kill(child.id().try_into().unwrap(), libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(uo2cb::CRASH_STATUS));
    // By the helper of an ordinary user, which may be slower than the daemon's end.
    until("unmounted", || !mountpoint::ours(&after));
}

/// One line why, and the end: wherever it happens.
#[test]
fn whichever_thread_panics_the_node_goes() {
    if !can_mount() {
        return;
    }
    for (place, thread) in [
        ("fuse", "fuser-0"),
        ("timer", "timer"),
        ("control", "control"),
        ("client", "control"),
        ("sockets", "sockets"),
        ("log", "log"),
        ("open", "open"),
        ("beats", "beats"),
        ("signals", "signals"),
        ("main", "main"),
    ] {
        let mut daemon = Daemon::start(place, &["--log", "log"], |_| {});
        provoke(&daemon, place);
        daemon.goes(place);
        let said = daemon.said();
        let line = format!("uo2cb: a fault of this program: thread {thread} panicked: on purpose, at ");
        assert!(said.starts_with(&line) && said.lines().count() == 1, "{place}: {said}");
    }
}

/// Has the thread of this name do something.
fn provoke(daemon: &Daemon, place: &str) {
    let world = &daemon.world;
    match place {
        "log" => {}
        "fuse" => strike(daemon),
        "main" => kill(daemon.child.id().try_into().unwrap(), libc::SIGTERM),
        "control" | "client" => {
            let socket = || {
                let entries = fs::read_dir(world.run_dir()).ok()?;
                let mut paths = entries.map(|entry| entry.unwrap().path());
                paths.find(|path| path.extension().is_some_and(|extension| extension == "sock"))
            };
            until("a socket", || socket().is_some());
            let mut stream = std::os::unix::net::UnixStream::connect(socket().unwrap()).unwrap();
            // It may be gone already.
            let _ = std::io::Write::write_all(&mut stream, b"{\"request\":\"status\"}\n");
            let _ = stream.read(&mut [0; 1]);
        }
        _ => {
            let disk = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            disk.set_len(16 * 512).unwrap();
            // Given up, because the daemon goes.
            let Ok(port) = world.try_region(8) else { return };
            if place == "sockets" {
                let _ = TcpStream::connect(("127.0.0.1", port));
                return;
            }
            let dev = world.at("cluster/c/heartbeat/R/dev");
            let _ = fs::write(dev, disk.as_raw_fd().to_string());
        }
    }
}
