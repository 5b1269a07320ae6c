//! Disk heartbeat through real mounts, on files that stand in for disks.
//!
//! Slow by nature: a beat comes every two seconds, and a region is steady after four of them. So the cases of
//! a test run side by side, each with a daemon, a folder and a port of its own.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "disk/demonstration.rs"]
mod demonstration;
#[path = "disk/fence.rs"]
mod fence;
#[path = "disk/global.rs"]
mod global;
#[path = "disk/refused.rs"]
mod refused;
#[path = "disk/status.rs"]
mod status;

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{World, can_mount, ended, kill, not_run, text, until};
use uo2cb::core::heartbeat::disk::Block;
use uo2cb::{Node, mountpoint};
use uo2cb_test_support::beside::Beside;
use uo2cb_test_support::poll::until_some;

const REGION: &str = "cluster/c/heartbeat/R";
/// How late anything may be on a busy machine, in seconds. How many beats something takes is tested in virtual time, and
/// beside a kernel: here nothing may be too early, or take for ever.
const LATE: f64 = 10.0;
/// What does not wait for a region to be steady, which takes 6 s and more, nor for its disk.
const SOON: Duration = Duration::from_secs(4);

/// A daemon with nodes n0 to n2 configured, of which `own` is its own.
struct Daemon {
    world: World,
    child: Child,
}

impl Daemon {
    fn new(own: u8, dead_threshold: u32, options: &[&str]) -> Self {
        let world = World::new();
        let mut child = world.command();
        child.args(["mount", "config", "--foreground", "--log", "log"]).args(options);
        let err = File::create(world.folder.path().join("err")).unwrap();
        let child = child.stderr(err).spawn().unwrap();
        // It listens a moment after it has mounted.
        until("mounted", || mountpoint::ours(&world.mount) && world.run(&["status"]).status.success());
        let daemon = Self { world, child };
        fs::create_dir(daemon.at("cluster/c")).unwrap();
        let port = uo2cb_test_support::port::reserve();
        for num in 0..3 {
            let node = daemon.at(&format!("cluster/c/node/n{num}"));
            fs::create_dir(&node).unwrap();
            fs::write(node.join("ipv4_port"), port.to_string()).unwrap();
            fs::write(node.join("ipv4_address"), format!("127.0.0.{}", num + 1)).unwrap();
            fs::write(node.join("num"), num.to_string()).unwrap();
        }
        fs::write(daemon.at(&format!("cluster/c/node/n{own}/local")), "1").unwrap();
        fs::write(daemon.at("cluster/c/heartbeat/dead_threshold"), dead_threshold.to_string()).unwrap();
        daemon
    }

    fn at(&self, path: &str) -> PathBuf {
        self.world.at(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.at(REGION).join(name)
    }

    /// Makes region R for slots from block 1 on.
    fn region(&self) {
        fs::create_dir(self.at(REGION)).unwrap();
        fs::write(self.file("block_bytes"), "512").unwrap();
        fs::write(self.file("start_block"), "1").unwrap();
        fs::write(self.file("blocks"), "8").unwrap();
    }

    /// Writes a descriptor's number to `dev`. Gives the errno and how long that took.
    fn start_with(&self, descriptor: i32) -> (Result<(), i32>, Duration) {
        // Not truncated: FUSE would wait with that for a write which waits already.
        let mut dev = File::options().write(true).open(self.file("dev")).unwrap();
        let begin = Instant::now();
        let result = dev.write_all(descriptor.to_string().as_bytes());
        (result.map_err(|error| error.raw_os_error().unwrap()), begin.elapsed())
    }

    fn start(&self, disk: &Path) -> (Result<(), i32>, Duration) {
        let disk = File::options().read(true).write(true).open(disk).unwrap();
        self.start_with(disk.as_raw_fd())
    }

    /// A shell that writes `dev`.
    fn shell(&self, disk: &Path, script: &str) -> Child {
        let script =
            format!("exec 7<>'{}'; echo 7 > '{}'; {script}", disk.display(), self.file("dev").display());
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).stderr(Stdio::null()).stdout(Stdio::piped());
        // What runs in the background ignores it, and so does all that it starts.
        let interruptible = || {
            // SAFETY: allowed between fork and exec, and takes no pointers.
            unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
            Ok(())
        };
        // SAFETY: it does nothing that another thread's lock could be in the way of.
        unsafe { shell.pre_exec(interruptible) }.spawn().unwrap()
    }

    /// Numbers of the nodes that are up.
    fn up(&self) -> Vec<u64> {
        let status = self.world.status();
        let up = status["regions"][0]["up"].as_array().unwrap().clone();
        up.iter().map(|node| node["num"].as_u64().unwrap()).collect()
    }

    #[track_caller]
    fn until_up(&self, nodes: &[u64]) -> Instant {
        until(&format!("up are {nodes:?}"), || self.up() == nodes);
        Instant::now()
    }

    /// Its last line, once it has ended: in the log it may be missing, for which a fence does not wait long.
    fn last_words(&self) -> String {
        fs::read_to_string(self.world.folder.path().join("err")).unwrap()
    }

    /// It was fenced for a region in time, as its own clock has it: on a busy machine others see that late.
    #[track_caller]
    fn went_in_time(&mut self, region: &str) {
        assert_eq!(self.exit_status(), Some(uo2cb::CRASH_STATUS));
        let words = self.last_words();
        assert!(words.contains(&format!("fenced: no good beat of region {region} (")), "{words}");
        in_time(&words, ") for ");
    }

    fn exit_status(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.world.run(&["umount", "config"]);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A file with room for the region.
struct Disk(PathBuf);

impl Disk {
    /// In memory, if there is such a place: what else the machine writes must not be a slow disk here, for which a node
    /// that has a write timeout of a few seconds rightly goes.
    fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::below(memory, name) } else { Self::filed(name) }
    }

    /// In a file system.
    fn filed(name: &str) -> Self {
        Self::below(Path::new(env!("CARGO_TARGET_TMPDIR")), name)
    }

    fn below(dir: &Path, name: &str) -> Self {
        let path = dir.join(format!("uo2cb-{name}-{}", std::process::id()));
        File::create(&path).unwrap().set_len(16 * 512).unwrap();
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }

    fn slot(&self, node: u64) -> Block {
        let file = File::open(&self.0).unwrap();
        let mut slot = [0; 512];
        // Not whole while somebody is writing it.
        until_some("a whole block", || {
            file.read_exact_at(&mut slot, (1 + node) * 512).unwrap();
            let found = Block::decode(&slot);
            found.good.then_some(found.block)
        })
    }
}

/// Another node on these disks, alive until this is dropped.
fn beside<'a>(disks: impl IntoIterator<Item = &'a Disk>, dead_threshold: u32) -> Beside {
    let block = move |seq| {
        let mut slot = [0; 512];
        Block { seq, node: 1, generation: 1, dead_ms: dead_threshold * 2000 }.encode(&mut slot);
        slot
    };
    Beside::on(disks.into_iter().map(|disk| &disk.0), 2, block).unwrap()
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The milliseconds behind some words of a line: not before the write timeout of three beats, and before others, which
/// need one beat more, call this node dead.
#[track_caller]
fn in_time(line: &str, before: &str) {
    let number =
        line.split_once(before).and_then(|(_, rest)| rest.split_once(" milliseconds")).map(|(ms, _)| ms);
    let silent: u64 = number.and_then(|ms| ms.parse().ok()).unwrap_or_else(|| panic!("no time: {line}"));
    println!("{line}");
    assert!((4000..6000).contains(&silent), "{line}");
}

/// It took so many seconds, or on a busy machine up to `late` more.
#[track_caller]
fn about(what: &str, took: Duration, expected: f64, late: f64) {
    let took = took.as_secs_f64();
    println!("{what}: {took:.2} s");
    assert!(
        (expected - 0.3..=expected + late).contains(&took),
        "{what}: {took:.2} s, not {expected} and up to {late} more"
    );
}

/// Kernels from 6.2 on let a write to a file of FUSE go on beside another one.
fn side_by_side_writes() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(2))
}

/// Runs all cases at the same time.
fn side_by_side(cases: &[(&str, fn())]) {
    if !can_mount() {
        return;
    }
    thread::scope(|scope| {
        let run = |(name, case): &(&str, fn())| {
            thread::Builder::new().name((*name).into()).spawn_scoped(scope, *case).unwrap()
        };
        let running: Vec<_> = cases.iter().map(run).collect();
        let failed: Vec<_> = running
            .into_iter()
            .zip(cases)
            .filter_map(|(case, (name, _))| case.join().err().map(|_| name))
            .collect();
        assert!(failed.is_empty(), "failed: {failed:?}");
    });
}

#[test]
fn starts_take_their_time() {
    side_by_side(&[
        ("zeroed, then old", || {
            let (disk, daemon) = (Disk::filed("zeroed"), Daemon::new(0, 31, &[]));
            daemon.region();
            let (result, took) = daemon.start(&disk.0);
            assert_eq!(result, Ok(()));
            about("zeroed slot", took, 8.0, LATE);
            assert_eq!(fs::read_to_string(daemon.file("dev")).unwrap().trim(), disk.name());
            assert_ne!(fs::read_to_string(daemon.file("pid")).unwrap(), "");
            let begin = Instant::now();
            fs::remove_dir(daemon.at(REGION)).unwrap();
            assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
            assert_eq!((disk.slot(0).generation, disk.slot(0).dead_ms), (0, 62_000));
            // Past the tick that the first start has left behind.
            thread::sleep(Duration::from_secs(3));
            daemon.region();
            let (result, took) = daemon.start(&disk.0);
            assert_eq!(result, Ok(()));
            about("old slot", took, 6.0, LATE);
            assert_ne!(disk.slot(0).generation, 0);
        }),
        ("global", || {
            let (disk, daemon) = (Disk::new("global"), Daemon::new(0, 31, &[]));
            fs::write(daemon.at("cluster/c/heartbeat/mode"), "global").unwrap();
            daemon.region();
            let (result, took) = daemon.start(&disk.0);
            assert_eq!(result, Ok(()));
            about("global", took, 12.0, LATE);
        }),
        ("in process", || {
            let disk = Disk::new("process");
            let node = Node::builder().start().unwrap();
            for dir in ["cluster/c", "cluster/c/node/n0", "cluster/c/heartbeat/R"] {
                node.mkdir(dir).unwrap();
            }
            let port = uo2cb_test_support::port::reserve().to_string();
            for (file, value) in
                [("ipv4_address", "127.0.0.1"), ("ipv4_port", &port), ("num", "0"), ("local", "1")]
            {
                node.write(format!("cluster/c/node/n0/{file}"), value).unwrap();
            }
            for (file, value) in [("block_bytes", "512"), ("start_block", "1"), ("blocks", "8")] {
                node.write(format!("{REGION}/{file}"), value).unwrap();
            }
            assert!(node.start_region(REGION, "/dev/null").is_err());
            node.start_region(REGION, &disk.0).unwrap();
            let region = &node.status().regions[0];
            assert!(region.disk.as_ref().is_some_and(|disk| disk.steady && disk.blocks == 8));
            assert_eq!(region.up.len(), 1);
            drop(node);
            assert_eq!(disk.slot(0).generation, 0);
        }),
    ]);
}

#[test]
fn daemons_on_one_disk_see_each_other() {
    side_by_side(&[
        ("demonstration", demonstration::ends_well),
        ("demonstration of a cut", demonstration::cut_ends_well),
        ("three", || {
            let disk = Disk::new("three");
            let mut daemons: Vec<_> = (0..3).map(|own| Daemon::new(own, 4, &[])).collect();
            thread::scope(|scope| {
                for daemon in &daemons {
                    daemon.region();
                    scope.spawn(|| assert_eq!(daemon.start(&disk.0).0, Ok(())));
                }
            });
            for daemon in &daemons {
                daemon.until_up(&[0, 1, 2]);
            }
            let (killed, begin) = (daemons.pop().unwrap(), Instant::now());
            kill(killed.child.id().try_into().unwrap(), libc::SIGKILL);
            drop(killed);
            let seen = daemons[0].until_up(&[0, 1]);
            // Four equal samples. The last block was up to a beat old, and seen up to a beat after it was written.
            about("killed", seen - begin, 6.0, 4.0 + LATE);
            let begin = Instant::now();
            drop(daemons.pop());
            let seen = daemons[0].until_up(&[0]);
            about("left", seen - begin, 0.0, 2.0 + LATE);
        }),
    ]);
}

#[test]
fn a_waiting_start_can_be_given_up() {
    side_by_side(&[
        ("signals", || {
            let (disk, daemon) = (Disk::new("signals"), Daemon::new(0, 31, &[]));
            daemon.region();
            for signal in [libc::SIGINT, libc::SIGKILL, libc::SIGTERM] {
                let mut shell = daemon.shell(&disk.0, "");
                until("started", || fs::read_to_string(daemon.file("dev")).unwrap() != "");
                let begin = Instant::now();
                kill(shell.id().try_into().unwrap(), signal);
                assert_eq!(shell.wait().unwrap().signal(), Some(signal));
                // Not only when the region is steady.
                assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
                for file in ["dev", "pid"] {
                    assert_eq!(fs::read_to_string(daemon.file(file)).unwrap(), "");
                }
            }
            // A signal that is ignored, and then the same region once more.
            let shell = daemon.shell(&disk.0, "echo $?");
            until("started", || fs::read_to_string(daemon.file("dev")).unwrap() != "");
            kill(shell.id().try_into().unwrap(), libc::SIGURG);
            assert_eq!(text(&shell.wait_with_output().unwrap().stdout), "0\n");
        }),
        ("a second writer, a removal", || {
            let (disk, daemon) = (Disk::new("removal"), Daemon::new(0, 31, &[]));
            daemon.region();
            thread::scope(|scope| {
                let first = scope.spawn(|| daemon.start(&disk.0));
                until("started", || fs::read_to_string(daemon.file("dev")).unwrap() != "");
                let (second, took) = daemon.start(&disk.0);
                assert_eq!(second, Err(libc::EINVAL));
                if side_by_side_writes() {
                    assert!(took < SOON, "{took:?}");
                }
                fs::remove_dir(daemon.at(REGION)).unwrap();
                assert_eq!(first.join().unwrap().0, Ok(()));
                assert!(!daemon.at(REGION).exists());
            });
        }),
    ]);
}

#[test]
fn a_node_that_cannot_write_goes() {
    side_by_side(&[
        // Five writes until the region is steady.
        ("errors", || fence::fenced("errors", "eio=write@7..")),
        // One read before the first beat, and two requests a beat.
        ("hang", || fence::fenced("hang", "hang@14..")),
        ("hang, alone", fence::alone),
        ("hung end", fence::hung_end),
        ("global, two of four, errors", || global::two_of_four("errors", "eio")),
        ("global, two of four, hang", || global::two_of_four("hangs", "hang")),
        ("global, two of four missing", global::two_of_four_missing),
    ]);
}

/// The same as an ordinary user, whose mount only that user may enter: so in a shell of theirs.
#[test]
fn an_ordinary_user_needs_no_rights() {
    const NOBODY: u32 = 65_534;
    if !can_mount() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        not_run("mounts by an ordinary user: becoming that user needs root");
        return;
    }
    let world = World::new();
    for dir in [world.folder.path(), &world.mount] {
        std::os::unix::fs::chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let run = |script: &str| {
        let bin = Path::new(env!("CARGO_BIN_EXE_uo2cb"));
        let mut shell = Command::new("sh");
        shell.args(["-ec", script, "sh"]).arg(bin).current_dir(world.folder.path()).uid(NOBODY).gid(NOBODY);
        shell.env("UO2CB_RUNTIME_DIR", world.run_dir()).stdin(Stdio::null()).output().unwrap()
    };
    if !run("exec test -x \"$1\" -a -w /dev/fuse && fusermount3 -V").status.success() {
        not_run("mounts by an ordinary user: that user cannot mount, or not run the command");
        return;
    }
    let port = uo2cb_test_support::port::reserve();
    let output = run(&format!(
        "\"$1\" format disk --slots 8; \"$1\" mount config; cd config/cluster; mkdir c; cd c; mkdir node/n0
         echo {port} > node/n0/ipv4_port; echo 127.0.0.1 > node/n0/ipv4_address
         echo 0 > node/n0/num; echo 1 > node/n0/local
         mkdir heartbeat/R; cd heartbeat/R; echo 512 > block_bytes; echo 1 > start_block; echo 8 > blocks
         exec 7< ../../../../../disk; echo 7 > dev; cat dev; cd /; exec 7<&-
         cd \"$OLDPWD\"; cd ../../../../..; \"$1\" status
         # On a busy machine a beat may be later than the second look.
         for look in 1 2 3 4 5 6 7 8; do \"$1\" dump disk > told; if grep -q '^0 *alive' told; then break; fi; done; cat told
         \"$1\" umount config; \"$1\" dump disk"
    ));
    let out = text(&output.stdout);
    println!("{out}");
    assert!(output.status.success(), "{out}{}", text(&output.stderr));
    for part in ["start_block 1\nblocks 8", "disk     disk, steady", "0     alive", "0     left"] {
        assert!(out.contains(part), "{part}: {out}");
    }
}
