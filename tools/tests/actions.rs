//! What a fence does beside ending the daemon: `mount --fence`. What restarts the machine is tried in a guest, by the tests
//! crate; here is only what keeps it from being chosen.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{World, can_mount, kill, not_run, text, until};
use uo2cb::mountpoint;

/// Far longer than a fence takes on any machine.
const GONE: Duration = Duration::from_secs(20);
const NOBODY: u32 = 65_534;

/// A script that a fence is to run: it writes down what it was given.
fn script(path: &Path, result: &Path, then: &str) {
    // Whole once it has its name.
    let text = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\n{{ env | grep ^UO2CB_FENCE_ | sort; ls /proc/self/fd; }} >{0}.part 2>&1\nmv {0}.part {0}\n{then}\n",
        result.display()
    );
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

struct Daemon {
    world: World,
    program: PathBuf,
    result: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    fn new(then: &str) -> Self {
        let world = World::new();
        let folder = fs::canonicalize(world.folder.path()).unwrap();
        let (program, result) = (folder.join("fenced"), folder.join("result"));
        script(&program, &result, then);
        Self { world, program, result, child: None }
    }

    /// In the foreground, with what makes it fail when it gets a SIGTERM.
    fn start(&mut self, fence: &str, options: &[&str], change: impl FnOnce(&mut Command)) {
        let mut command = self.world.command();
        command.args(["mount", "config", "--foreground", "--log", "log", "--fence", "exec", fence]);
        command.args(options).stderr(Stdio::null());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        until("mounted", || {
            assert_eq!(child.try_wait().unwrap(), None, "{}", self.log());
            mountpoint::ours(&self.world.mount) && self.world.run(&["status"]).status.success()
        });
        self.child = Some(child);
    }

    fn pid(&self) -> i32 {
        self.child.as_ref().unwrap().id().try_into().unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.world.folder.path().join("log")).unwrap_or_default()
    }

    #[track_caller]
    fn ends(&mut self) -> std::process::ExitStatus {
        let begin = Instant::now();
        let child = self.child.as_mut().unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < GONE, "still there");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A fault inside.
    #[track_caller]
    fn fails(&mut self) {
        kill(self.pid(), libc::SIGTERM);
        assert_eq!(self.ends().code(), Some(uo2cb::CRASH_STATUS), "{}", self.log());
        assert!(!mountpoint::ours(&self.world.mount));
    }

    /// What the program has written.
    #[track_caller]
    fn told(&self) -> Vec<String> {
        until("the program has run", || self.result.exists());
        fs::read_to_string(&self.result).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

const FAULT: [&str; 2] = ["--panic-at", "main"];

#[test]
fn a_program_is_told_who_is_fenced_and_why() {
    if !can_mount() {
        return;
    }
    let mut daemon = Daemon::new("");
    let program = daemon.program.clone();
    daemon.start(program.to_str().unwrap(), &["--heartbeat-mode", "user", FAULT[0], FAULT[1]], |command| {
        // An earlier one's, by which it must not be misled.
        command.env("UO2CB_FENCE_REASON", "another").env("UO2CB_FENCE_OTHER", "1");
    });
    daemon.world.cluster();
    fs::write(daemon.world.at("cluster/c/fence_method"), "panic\n").unwrap();
    daemon.fails();
    let told = daemon.told();
    let log = daemon.log();
    let [cluster, method, node, num, reason, descriptors @ ..] = &told[..] else { panic!("{told:?}") };
    assert_eq!(cluster, "UO2CB_FENCE_CLUSTER=c");
    assert_eq!(method, "UO2CB_FENCE_METHOD=panic");
    assert_eq!((node.as_str(), num.as_str()), ("UO2CB_FENCE_NODE=n1", "UO2CB_FENCE_NODE_NUM=1"));
    let why = reason.strip_prefix("UO2CB_FENCE_REASON=").unwrap();
    assert!(why.starts_with("a fault of this program: thread main panicked: on purpose, at "), "{why}");
    assert!(log.contains(why), "{log}");
    // Its streams, the script that its interpreter reads, the directory that is listed: nothing of the daemon's.
    let highest = descriptors.iter().map(|number| number.parse::<u32>().unwrap()).max();
    assert!(descriptors.len() <= 6 && highest < Some(12), "{descriptors:?}");
}

#[test]
fn what_is_not_there_is_empty() {
    if !can_mount() {
        return;
    }
    let mut daemon = Daemon::new("");
    let program = daemon.program.clone();
    daemon.start(program.to_str().unwrap(), &FAULT, |_| {});
    daemon.fails();
    let told = daemon.told();
    let expected =
        ["UO2CB_FENCE_CLUSTER=", "UO2CB_FENCE_METHOD=reset", "UO2CB_FENCE_NODE=", "UO2CB_FENCE_NODE_NUM="];
    assert_eq!(told[..4], expected);
}

/// The write timeout; also that the next daemon in this place tells of it.
#[test]
fn a_node_that_cannot_write_runs_it_and_the_next_one_knows_why() {
    if !can_mount() {
        return;
    }
    let mut daemon = Daemon::new("");
    let program = daemon.program.clone();
    daemon.start(program.to_str().unwrap(), &["--fault", "eio=write@9.."], |_| {});
    let disk = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    disk.as_file().set_len(16 * 512).unwrap();
    let world = &daemon.world;
    fs::create_dir(world.at("cluster/c")).unwrap();
    fs::write(world.at("cluster/c/heartbeat/dead_threshold"), "3").unwrap();
    world.region(8);
    let dev = world.at("cluster/c/heartbeat/R/dev");
    let started = Command::new("/bin/sh")
        .args(["-c", "/bin/echo 7 >\"$1\" 7<>\"$0\""])
        .arg(disk.path())
        .arg(dev)
        .status()
        .unwrap();
    assert!(started.success(), "{}", daemon.log());
    assert_eq!(daemon.ends().code(), Some(uo2cb::CRASH_STATUS));
    let told = daemon.told();
    let reason = "UO2CB_FENCE_REASON=fenced: no good beat of region R (";
    assert!(told[4].starts_with(reason) && told[4].contains(" milliseconds"), "{told:?}");
    daemon.world.mount();
    let status = daemon.world.ok(&["status"]);
    assert!(status.contains("no good beat of region R"), "{status}");
}

#[test]
fn nobody_waits_for_a_program_that_does_not_end() {
    if !can_mount() {
        return;
    }
    let mut daemon = Daemon::new("");
    let pid = daemon.world.folder.path().join("pid");
    script(&daemon.program, &daemon.result, &format!("echo $$ >{}; exec sleep 1000", pid.display()));
    let program = daemon.program.clone();
    daemon.start(program.to_str().unwrap(), &FAULT, |_| {});
    daemon.fails();
    let number = || fs::read_to_string(&pid).ok()?.trim().parse::<i32>().ok();
    until("it runs", || number().is_some());
    // It outlives the daemon, in a session of its own.
    let program = number().unwrap();
    let session = rustix::process::getsid(rustix::process::Pid::from_raw(program)).unwrap();
    assert_eq!(session.as_raw_nonzero().get(), program);
    kill(program, libc::SIGKILL);
}

/// A write lease on a file: whoever opens or runs it waits, as on a disk that does not answer, until it is let go or the
/// kernel takes it away after 45 s. None where the file system has none.
fn lease(path: &Path) -> Option<File> {
    // SAFETY: takes no pointers. The signal by which the kernel asks for the lease would end this process.
    unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    let file = File::options().write(true).open(path).unwrap();
    // SAFETY: takes no pointers.
    let leased = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) } == 0;
    leased.then_some(file)
}

/// A process that is about to become the program, other than the daemon: its descriptors.
fn descriptors_of_child(daemon: i32, program: &Path) -> Option<Vec<String>> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let child = numbers.filter(|pid| *pid != daemon).find(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.any(|word| word == program.as_os_str().as_encoded_bytes())
    })?;
    let open = fs::read_dir(format!("/proc/{child}/fd")).ok()?.flatten();
    let mut open: Vec<_> = open.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    open.sort();
    Some(open)
}

#[test]
fn a_program_whose_disk_hangs_keeps_nobody_and_nothing() {
    if !can_mount() {
        return;
    }
    let mut daemon = Daemon::new("");
    let program = daemon.program.clone();
    daemon.start(program.to_str().unwrap(), &FAULT, |_| {});
    let Some(leased) = lease(&program) else {
        return not_run("a fence whose program's disk hangs: there are no leases here");
    };
    let pid = daemon.pid();
    daemon.fails();
    // Neither mounts nor sockets live on in it.
    assert_eq!(descriptors_of_child(pid, &program).unwrap(), ["0", "1", "2", "3"]);
    assert!(!daemon.result.exists());
    drop(leased);
    daemon.told();
}

#[test]
fn it_is_the_program_that_was_there_at_the_start() {
    if !can_mount() {
        return;
    }
    for removed in [false, true] {
        let mut daemon = Daemon::new("");
        let program = daemon.program.clone();
        daemon.start(program.to_str().unwrap(), &FAULT, |_| {});
        if removed {
            fs::remove_file(&program).unwrap();
        } else {
            let other = program.with_extension("new");
            script(&other, &daemon.world.folder.path().join("wrong"), "");
            fs::rename(other, &program).unwrap();
        }
        daemon.fails();
        daemon.told();
        assert!(!daemon.world.folder.path().join("wrong").exists());
    }
}

#[test]
fn a_clean_end_and_a_killed_daemon_run_nothing() {
    if !can_mount() {
        return;
    }
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        let mut daemon = Daemon::new("");
        let program = daemon.program.clone();
        daemon.start(program.to_str().unwrap(), &[], |_| {});
        kill(daemon.pid(), signal);
        let status = daemon.ends();
        assert_eq!(status.success(), signal == libc::SIGTERM, "{status}");
        daemon.world.run(&["umount", "config"]);
        assert!(!daemon.result.exists() && !daemon.result.with_extension("part").exists());
    }
}

/// A part of PATH hangs: at the start that is an error after some seconds, at a fence PATH is not looked at.
#[test]
fn a_path_that_hangs() {
    if !can_mount() {
        return;
    }
    let other = World::new();
    other.ok(&["mount", "config"]);
    let stopped = other.pid();
    let mut daemon = Daemon::new("");
    let folder = daemon.world.folder.path().to_owned();
    let path = format!("{}:{}:{}", other.mount.display(), folder.display(), std::env::var("PATH").unwrap());
    daemon.start("fenced", &FAULT, |command| {
        command.env("PATH", &path);
    });
    kill(stopped, libc::SIGSTOP);
    let third = World::new();
    let refused = third
        .command()
        .args(["mount", "config", "--fence", "exec", "fenced"])
        .env("PATH", &path)
        .output()
        .unwrap();
    kill(daemon.pid(), libc::SIGTERM);
    let ended = daemon.ends();
    until("the program has run", || daemon.result.exists());
    kill(stopped, libc::SIGCONT);
    assert_eq!(ended.code(), Some(uo2cb::CRASH_STATUS));
    let error = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{error}");
    let line = "uo2cb: fenced: cannot be run at a fence: a file system on the way to it does not answer\n";
    assert_eq!(error, line);
    other.ok(&["umount", "config"]);
}

#[test]
fn what_cannot_be_run_is_refused_at_the_start() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let folder = world.folder.path();
    let file = |name: &str, content: &str, mode| {
        fs::write(folder.join(name), content).unwrap();
        fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
    };
    file("plain", "#!/bin/sh\n", 0o644);
    file("text", "echo no interpreter\n", 0o755);
    file("empty", "", 0o755);
    file("lost", "#!/no/such/interpreter -x\n", 0o755);
    let unknown = "it is neither an ELF program nor a script that begins with #!";
    for (program, why) in [
        ("./missing", "No such file or directory"),
        ("missing-in-path", "there is no such program in PATH"),
        ("./plain", "Permission denied"),
        ("./config", "it is no file"),
        ("/dev/null", "it is no file"),
        ("./text", unknown),
        ("./empty", unknown),
        ("./lost", "its interpreter /no/such/interpreter: No such file or directory"),
    ] {
        for foreground in [&[][..], &["--foreground"]] {
            let arguments = [&["mount", "config", "--fence", "exec", program], foreground].concat();
            world.fails(&arguments, 1, &format!("{program}: cannot be run at a fence: {why}"));
            assert!(!mountpoint::ours(&world.mount));
        }
    }
}

#[test]
fn what_is_no_watchdog_is_refused_at_the_start() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    for (device, why) in [
        ("/dev/null", "it is no watchdog device"),
        ("config", "it is no watchdog device"),
        ("/dev/watchdog4711", "No such file or directory"),
    ] {
        world.fails(&["mount", "config", "--fence", "watchdog", device], 1, &format!("{device}: {why}"));
        assert!(!mountpoint::ours(&world.mount));
    }
}

#[test]
fn other_words_are_wrong_use() {
    let world = World::new();
    for action in ["reboot", "exec=", "watchdog=", "machine=1"] {
        let output = world.run(&["mount", "config", "--fence", action]);
        assert_eq!(output.status.code(), Some(2), "{action}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("--fence"), "{action}");
    }
}

/// Never as root here: it would mean the machine that runs the tests.
#[test]
fn the_machine_is_for_root() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    fs::set_permissions(world.folder.path(), Permissions::from_mode(0o755)).unwrap();
    let mut command = world.command();
    if rustix::process::geteuid().is_root() {
        for dir in [world.folder.path(), &world.mount] {
            std::os::unix::fs::chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY);
        let usable = Command::new("sh")
            .args(["-c", "test -x \"$0\" -a -w /dev/fuse && fusermount3 -V", env!("CARGO_BIN_EXE_uo2cb")])
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .unwrap();
        if !usable.status.success() {
            return not_run("--fence machine of an ordinary user: one cannot run the command, or not mount");
        }
    }
    let output = command.args(["mount", "config", "--fence", "machine"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "uo2cb: --fence machine is for root: it restarts the machine\n");
    assert!(!mountpoint::ours(&world.mount));
}
