//! Targets that lead through other file systems, which may answer late, never, or only if this one answers.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, INodeNo, MountOption,
    ReplyAttr, ReplyEntry, Request,
};
use parking_lot::Mutex;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::geteuid;
use uo2cb_test_support::not_run;
use uo2cb_test_support::poll::until_some;

use crate::world::{World, can_mount};

const SHARED: &str = "cluster/c/heartbeat/shared";

/// What `ln -s TARGET LINK` says in `cwd`, and how long it takes.
fn ln(cwd: &Path, target: &Path, link: &Path) -> (String, Duration) {
    let begin = Instant::now();
    let mut child = Command::new("ln")
        .args(["-sT", "--"])
        .args([target, link])
        .current_dir(cwd)
        .env("LC_ALL", "C")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let what = format!("ln -s {}", target.display());
    until_some(&what, || child.try_wait().unwrap());
    let output = child.wait_with_output().unwrap();
    (String::from_utf8_lossy(&output.stderr).trim().to_owned(), begin.elapsed())
}

/// The trees answer beside all of this.
fn answers(world: &World) {
    let dir = world.at("cluster/c/node/beside");
    let begin = Instant::now();
    fs::create_dir(&dir).unwrap();
    assert_eq!(fs::read_to_string(dir.join("num")).unwrap(), "0\n");
    fs::remove_dir(&dir).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

/// Lookups that wait for their answer; `None`: they are answered.
type Waiting = Arc<Mutex<Option<Vec<ReplyEntry>>>>;

/// A file system that answers no lookup until it is released, and then with an error.
struct Silent(Waiting);

impl Filesystem for Silent {
    fn lookup(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        match &mut *self.0.lock() {
            Some(waiting) => waiting.push(reply),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let now = std::time::UNIX_EPOCH;
        let attr = FileAttr {
            ino,
            size: 0,
            blocks: 0,
            atime: now,
            mtime: now,
            ctime: now,
            crtime: now,
            kind: FileType::Directory,
            perm: 0o755,
            nlink: 2,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        };
        reply.attr(&Duration::from_secs(3600), &attr);
    }
}

struct SilentMount {
    waiting: Waiting,
    dir: PathBuf,
    _session: BackgroundSession,
}

impl SilentMount {
    fn new(dir: &Path) -> Self {
        fs::create_dir(dir).unwrap();
        let waiting = Arc::new(Mutex::new(Some(Vec::new())));
        let silent = Silent(Arc::clone(&waiting));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("uo2cb-test-silent".to_owned())];
        let dir = dir.to_owned();
        Self { waiting, _session: fuser::spawn_mount(silent, &dir, &config).unwrap(), dir }
    }

    fn release(&self) {
        let waiting = self.waiting.lock().take();
        waiting.into_iter().flatten().for_each(|reply| reply.error(Errno::ENOENT));
    }

    fn is_asked(&self) -> bool {
        self.waiting.lock().as_ref().is_some_and(|waiting| !waiting.is_empty())
    }
}

impl Drop for SilentMount {
    fn drop(&mut self) {
        self.release();
        // Also while somebody is still on the way out of it.
        if unmount(&self.dir, UnmountFlags::DETACH).is_err() {
            let _ = Command::new("fusermount3").arg("-uz").arg(&self.dir).status();
        }
    }
}

#[test]
fn two_trees_link_into_each_other() {
    if !can_mount() {
        return;
    }
    let worlds = [World::new(), World::new()];
    let tree = |n: usize, path: &str| worlds[n].at(path);
    std::thread::scope(|scope| {
        for (n, other) in [(0, 1), (1, 0)] {
            scope.spawn(move || {
                for _ in 0..100 {
                    let link = tree(n, SHARED).join("x");
                    let (said, _) = ln(Path::new("/"), &tree(other, "cluster/c/node/s1"), &link);
                    assert!(said.ends_with("Operation not permitted"), "{said}");
                }
            });
        }
    });
    // Each through the very directory that the other one's call holds locked: nobody can answer, but that ends.
    std::thread::scope(|scope| {
        for (n, other) in [(0, 1), (1, 0)] {
            scope.spawn(move || {
                for _ in 0..4 {
                    let link = tree(n, SHARED).join("x");
                    let (said, _) = ln(Path::new("/"), &tree(other, SHARED).join("none"), &link);
                    let ends = ["No such file or directory", "Connection timed out"];
                    assert!(ends.iter().any(|end| said.ends_with(end)), "{said}");
                }
            });
        }
    });
    worlds.iter().for_each(answers);
}

#[test]
fn a_file_system_that_does_not_answer() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let silent = SilentMount::new(&world.outside().join("silent"));
    let link = world.at(SHARED).join("x");
    let target = world.outside().join("silent/x");
    // Links of one directory wait for each other: each has one of its own. As many as one user may have, and one.
    let regions: Vec<_> = (0..9).map(|n| world.at(&format!("cluster/c/heartbeat/r{n}"))).collect();
    regions.iter().for_each(|region| fs::create_dir(region).unwrap());
    let said: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = regions
            .iter()
            .map(|region| {
                let (target, link) = (&target, region.join("x"));
                scope.spawn(move || ln(Path::new("/"), target, &link))
            })
            .collect();
        until_some("a lookup waits", || silent.is_asked().then_some(()));
        answers(&world);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let late = said.iter().filter(|(said, _)| said.ends_with("Connection timed out"));
    assert!(late.clone().count() >= 8, "{said:?}");
    for (_, took) in late {
        assert!(*took >= Duration::from_millis(4900), "{took:?}");
    }
    world.until_line(&format!("symlink cluster/c/heartbeat/r0/x: target \"{}\"", target.display()));
    world.until_line(
        "a file system on the way has not answered within 5 seconds, or less while others hang (ETIMEDOUT)",
    );
    // They are stuck still. What needs nobody else is done all the same; what does is refused at once.
    let (said, took) = ln(Path::new("/"), &world.outside().join("log"), &link);
    assert!(said.ends_with("Resource temporarily unavailable"), "{said}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    world.until_line("too many targets wait for file systems that do not answer (EAGAIN)");
    answers(&world);
    for target in [world.at("cluster/c/node/s1"), "../../node/s1".into()] {
        let (said, _) = ln(&world.at(SHARED), &target, &link);
        assert_eq!(said, "");
        fs::remove_file(&link).unwrap();
    }
    silent.release();
    until_some("the stuck ones are gone", || {
        let (said, _) = ln(Path::new("/"), &world.outside().join("log"), &link);
        said.ends_with("Not a directory").then_some(())
    });
}

/// The mount point itself, or what stands above it, may be on such a file system.
#[test]
fn a_current_directory_that_does_not_answer() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let cwd = world.outside().join("silent");
    let _silent = SilentMount::new(&cwd);
    let link = world.at(SHARED).join("x");
    assert_eq!(ln(&cwd, &world.at("cluster/c/node/s1"), &link).0, "");
    fs::remove_file(&link).unwrap();
    let (said, took) = ln(&cwd, Path::new("x"), &link);
    assert!(said.ends_with("Connection timed out"), "{said}");
    assert!(took >= Duration::from_millis(4900), "{took:?}");
    world.until_line(&format!("from the caller's current directory {}", cwd.display()));
}

/// An overlay above the tree asks the tree.
#[test]
fn an_overlay_above_the_tree() {
    if !can_mount() {
        return;
    }
    if !geteuid().is_root() {
        not_run("integration: overlays are for root");
        return;
    }
    let world = World::new();
    let name = |name: &str| {
        let dir = world.outside().join(name);
        fs::create_dir(&dir).unwrap();
        dir
    };
    let (over, lower) = (name("over"), name("lower"));
    let layers = format!("lowerdir={}:{}", world.root().display(), lower.display());
    let mounted = Command::new("mount").args(["-t", "overlay", "none", "-o", &layers]).arg(&over).status();
    if !mounted.unwrap().success() {
        not_run("integration: overlays above the tree: the kernel mounts none");
        return;
    }
    let link = world.at(SHARED).join("x");
    let tries = ["cluster/c/node/s1", "cluster/c/heartbeat/shared/none", "cluster/c/heartbeat/shared/x/y"];
    let said: Vec<_> = tries.iter().map(|path| ln(Path::new("/"), &over.join(path), &link).0).collect();
    // A walk that nobody waits for any more ends once the link's directory is free again, and lets go of the overlay then.
    until_some("the overlay is unmounted", || {
        Command::new("umount").arg(&over).status().unwrap().success().then_some(())
    });
    for said in &said {
        let ends = ["Operation not permitted", "No such file or directory", "Connection timed out"];
        assert!(ends.iter().any(|end| said.ends_with(end)), "{said}");
    }
    answers(&world);
}
