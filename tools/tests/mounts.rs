//! Mounts by identity: swapped directories, hidden mounts, several nodes at one path, what mount(2) takes.
#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{World, can_mount, ended, kill, mounts_below, nobody_can_mount, not_run, text, until};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use uo2cb::mountpoint;

const TRIES: usize = 150;

/// Gives a directory and a link each other's name until `over`, or until what is mounted on keeps its name. Begins and
/// ends with any of them. At most how long the name of the directory was the link's without a break, and since when it is.
fn swap(dir: &Path, link: &Path, over: &AtomicBool) -> (Duration, Option<Instant>) {
    let (mut longest, mut linked) = (Duration::ZERO, None::<Instant>);
    while !over.load(Ordering::Relaxed) {
        // The exchange happens at some moment of the call: what counts is the longest time that it can have been.
        let begin = Instant::now();
        if renameat_with(CWD, dir, CWD, link, RenameFlags::EXCHANGE).is_err() {
            break;
        }
        match linked.take() {
            Some(since) => longest = longest.max(since.elapsed()),
            None => linked = Some(begin),
        }
    }
    (longest, linked)
}

/// A directory and a link that change their names all the time. Gives how often the mount stood elsewhere, how often
/// something was left behind by a mount that was refused, and how often it succeeded.
///
/// A link that stays for [`SETTLED`] is followed, rightly. It can stay for so long where this process gets no processor;
/// such a try proves nothing and is made again.
fn swapped(world: &World, mut run: impl FnMut(usize, &str) -> Output) -> (usize, usize, usize) {
    let folder = world.folder.path();
    let (dir, link, elsewhere) = (&world.mount, folder.join("link"), folder.join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    let owner = fs::metadata(dir).unwrap().uid();
    lchown(&elsewhere, Some(owner), None).unwrap();
    let inode = fs::metadata(dir).unwrap().ino();
    let (mut wrong, mut left, mut mounted, mut stayed) = (0, 0, 0, 0);
    let mut attempt = 0;
    while attempt < TRIES + stayed {
        assert!(stayed < TRIES, "the threads of this test get no processor");
        symlink(&elsewhere, &link).unwrap();
        lchown(&link, Some(owner), None).unwrap();
        let over = AtomicBool::new(false);
        let (output, (longest, linked)) = thread::scope(|scope| {
            let swaps = scope.spawn(|| swap(dir, &link, &over));
            let output = run(attempt, "mount");
            over.store(true, Ordering::Relaxed);
            (output, swaps.join().unwrap())
        });
        let found = mounts_below(folder);
        if found.iter().any(|point| point.ends_with("elsewhere")) {
            let longest = longest.max(linked.map_or(Duration::ZERO, |since| since.elapsed()));
            let settled = output.status.success() && longest >= mountpoint::SETTLED;
            println!("try {attempt}: elsewhere, where the link led for at most {longest:?}");
            stayed += usize::from(settled);
            wrong += usize::from(!settled);
        }
        if output.status.success() {
            mounted += 1;
        } else {
            assert!(!text(&output.stderr).contains("panicked"));
            left += found.len();
        }
        for point in found {
            if output.status.success() {
                run(attempt, &format!("umount {}", point.display()));
            }
            while mountpoint::ours(&point) {
                mountpoint::detach(&point).unwrap();
            }
        }
        // Back to their places.
        if fs::symlink_metadata(dir).unwrap().is_symlink() {
            renameat_with(CWD, dir, CWD, &link, RenameFlags::EXCHANGE).unwrap();
        }
        fs::remove_file(&link).unwrap();
        assert_eq!(fs::metadata(dir).unwrap().ino(), inode);
        attempt += 1;
    }
    (wrong, left, mounted)
}

#[test]
fn a_directory_that_is_swapped_for_a_link_gets_the_mount_or_nothing_does() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (wrong, left, mounted) = swapped(&world, |_, words| match words.split_once(' ') {
        None => world.run(&["mount", "config"]),
        Some((command, point)) => world.run(&[command, point]),
    });
    println!("{TRIES} tries: {wrong} elsewhere, {left} left behind, {mounted} mounted");
    assert_eq!((wrong, left), (0, 0));
}

#[test]
fn a_directory_that_is_swapped_under_fusermount_gets_the_mount_or_nothing_does() {
    if !can_mount() || !nobody_can_mount("mounting on a directory that is swapped") {
        return;
    }
    let world = World::of_nobody();
    let (wrong, left, mounted) = swapped(&world, |_, words| match words.split_once(' ') {
        None => world.nobody(&["mount", "config"]).output().unwrap(),
        Some((command, point)) => world.nobody(&[command, point]).output().unwrap(),
    });
    println!("{TRIES} tries as an ordinary user: {wrong} elsewhere, {left} left behind, {mounted} mounted");
    assert_eq!((wrong, left), (0, 0));
}

/// Root does not follow what another user can turn elsewhere at any time.
#[test]
fn a_link_of_another_user_is_not_followed() {
    if !can_mount() || !rustix::process::geteuid().is_root() {
        return not_run("that links of others are not followed: it needs root and mounts");
    }
    let world = World::new();
    let link = world.folder.path().join("link");
    symlink("config", &link).unwrap();
    world.ok(&["mount", "link"]);
    world.ok(&["umount", "link"]);
    lchown(&link, Some(65534), None).unwrap();
    world.fails(&["mount", "link"], 1, "the symbolic link link belongs to uid 65534");
    world.fails(&["mount", "link/."], 1, "the symbolic link link belongs to uid 65534");
    assert!(mounts_below(world.folder.path()).is_empty());
}

/// mount(2) asks for a directory, and for no right to write or read it.
#[test]
fn a_directory_on_a_read_only_file_system_will_do() {
    if !can_mount() || !rustix::process::geteuid().is_root() {
        return not_run("mounting on a read-only file system: it needs root");
    }
    let world = World::new();
    let system = world.folder.path().join("system");
    fs::create_dir(&system).unwrap();
    mount("none", &system, "tmpfs", MountFlags::empty(), None).unwrap();
    fs::create_dir(system.join("dir")).unwrap();
    mount_remount(&system, MountFlags::RDONLY, "").unwrap();
    let mounted = world.run(&["mount", "system/dir"]);
    let gone = world.run(&["umount", "system/dir"]);
    let _ = unmount(&system, UnmountFlags::DETACH);
    assert!(mounted.status.success(), "{}", text(&mounted.stderr));
    assert!(gone.status.success(), "{}", text(&gone.stderr));
}

#[test]
fn a_directory_that_cannot_be_read_will_do() {
    if !can_mount() || !nobody_can_mount("mounting on a directory that cannot be read") {
        return;
    }
    let world = World::of_nobody();
    fs::set_permissions(&world.mount, Permissions::from_mode(0o300)).unwrap();
    let mounted = world.nobody(&["mount", "config"]).output().unwrap();
    assert!(mounted.status.success(), "{}", text(&mounted.stderr));
    let gone = world.nobody(&["umount", "config"]).output().unwrap();
    assert!(gone.status.success(), "{}", text(&gone.stderr));
    assert!(mounts_below(world.folder.path()).is_empty());
}

fn pid_at(world: &World, mount: &str) -> i32 {
    let status: serde_json::Value =
        serde_json::from_str(&world.ok(&["status", "--json", "--mount", mount])).unwrap();
    status["pid"].as_i64().unwrap().try_into().unwrap()
}

/// One that another file system hides, and one on top: each is told from the other by its connection.
#[test]
fn two_nodes_at_one_path_are_told_apart() {
    if !can_mount() || !rustix::process::geteuid().is_root() {
        return not_run("two nodes at one path: it needs root");
    }
    let world = World::new();
    let under = world.mount();
    mount("none", &world.mount, "tmpfs", MountFlags::empty(), None).unwrap();
    world.fails(&["status", "--mount", "config"], 1, "no uo2cb of yours is mounted there");
    let named = format!("that of pid {under} was, and another mount covers it");
    for command in [&["umount", "config"][..], &["status", "--mount", "config"]] {
        world.fails(command, 1, "no uo2cb of yours is mounted there");
        world.fails(command, 1, &named);
    }
    assert!(world.ok(&["status"]).contains("another mount covers it"));
    world.ok(&["mount", "config"]);
    let over = pid_at(&world, "config");
    assert_ne!(over, under);
    world.fails(&["status"], 1, &format!("(pid {under})"));
    world.ok(&["umount", "config"]);
    until("ended", || ended(over));
    assert!(!ended(under));
    // The hidden one cannot be taken away, and nothing is taken in its place.
    kill(under, libc::SIGTERM);
    until("ended", || ended(under));
    assert!(world.log(under).contains("not unmounted"));
    let top = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        top.lines()
            .rev()
            .find(|line| line.contains(world.mount.to_str().unwrap()))
            .unwrap()
            .contains("tmpfs")
    );
    unmount(&world.mount, UnmountFlags::DETACH).unwrap();
    assert!(world.ok(&["umount", "config"]).contains("took away what a killed daemon left"));
}

/// A process with mounts of its own, in which ours stays.
fn keeper(world: &World) -> Child {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 1000"]);
    let mut child = command.current_dir(world.folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut [0]).unwrap();
    child
}

#[test]
fn a_node_that_was_unmounted_in_one_name_space_only_answers_for_no_other() {
    if !can_mount() || !rustix::process::geteuid().is_root() {
        return not_run("a mount that is left in one name space: it needs root");
    }
    let world = World::new();
    let first = world.mount();
    let mut keeper = keeper(&world);
    unmount(&world.mount, UnmountFlags::empty()).unwrap();
    world.fails(&["status", "--mount", "config"], 1, "no uo2cb of yours is mounted there");
    world.fails(&["umount", "config"], 1, &format!("`kill {first}` ends it"));
    assert!(world.ok(&["status"]).contains("still in use elsewhere"));
    world.ok(&["mount", "config"]);
    let second = pid_at(&world, "config");
    assert_ne!(first, second);
    // Its end takes nothing of the other's away.
    kill(first, libc::SIGTERM);
    until("ended", || ended(first));
    assert_eq!(pid_at(&world, "config"), second);
    world.ok(&["umount", "config"]);
    until("ended", || ended(second));
    keeper.kill().unwrap();
    keeper.wait().unwrap();
}

/// A mount of somebody else at the same place is not taken away with the node.
#[test]
fn the_end_of_a_node_takes_its_own_mount_and_no_other() {
    if !can_mount() || !rustix::process::geteuid().is_root() {
        return not_run("that a node takes away its own mount only: it needs root");
    }
    let world = World::new();
    let (deep, renamed) = (world.folder.path().join("deep"), world.folder.path().join("renamed"));
    fs::create_dir_all(deep.join("config")).unwrap();
    world.ok(&["mount", "deep/config"]);
    let pid = pid_at(&world, "deep/config");
    fs::rename(&deep, &renamed).unwrap();
    fs::create_dir_all(deep.join("config")).unwrap();
    mount("none", deep.join("config"), "tmpfs", MountFlags::empty(), None).unwrap();
    fs::write(deep.join("config/precious"), "").unwrap();
    assert_eq!(pid_at(&world, "renamed/config/cluster"), pid);
    kill(pid, libc::SIGTERM);
    until("ended", || ended(pid));
    assert!(mounts_below(world.folder.path()).is_empty());
    assert!(deep.join("config/precious").exists());
    unmount(deep.join("config"), UnmountFlags::DETACH).unwrap();
}

#[test]
fn paths_inside_a_tree_and_the_current_directory_choose_the_node() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    fs::create_dir(world.folder.path().join("other")).unwrap();
    let pid = world.mount();
    world.cluster();
    world.ok(&["mount", "other"]);
    let other = pid_at(&world, "other");
    world.fails(&["status"], 1, "choose with --mount DIR");
    let here = |dir: &Path, arguments: &[&str]| {
        let output = world.command().args(arguments).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    for (dir, pid) in
        [(world.at("cluster/c/heartbeat"), pid), (world.folder.path().join("other/cluster"), other)]
    {
        assert!(here(&dir, &["status"]).contains(&format!("pid {pid},")));
    }
    for path in ["config", "config/", "config/cluster/c", "config/cluster/c/..", "config/../config/cluster"] {
        assert_eq!(pid_at(&world, path), pid, "{path}");
    }
    assert_eq!(pid_at(&world, "config/../other"), other);
    world.fails(&["status", "--mount", "config/.."], 1, "no uo2cb of yours is mounted there");
    // The option is stronger than the directory.
    assert!(here(&world.mount, &["status", "--mount", "../other"]).contains(&format!("pid {other},")));
}

/// Two names that look alike in text.
#[test]
fn paths_are_compared_exactly() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let names = [&b"a\xff"[..], b"a\xfe", b"a\\xff", b"a\xef\xbf\xbd"].map(OsStr::from_bytes);
    let run = |arguments: &[&str], name: &OsStr| {
        let output = world.command().args(arguments).arg(name).output().unwrap();
        assert!(output.status.success(), "{name:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let mounted = names.map(|name| {
        fs::create_dir(world.folder.path().join(name)).unwrap();
        run(&["mount"], name);
        let status: serde_json::Value =
            serde_json::from_str(&run(&["status", "--json", "--mount"], name)).unwrap();
        (status["pid"].as_i64().unwrap(), status["mounts"]["config"].as_str().unwrap().to_owned())
    });
    for (index, one) in mounted.iter().enumerate() {
        assert!(mounted[..index].iter().all(|other| other.0 != one.0 && other.1 != one.1), "{mounted:?}");
    }
    assert!(mounted[0].1.ends_with("/a\\xff") && mounted[2].1.ends_with("/a\\\\xff"), "{mounted:?}");
    world.ok(&["umount", "--all"]);
    assert!(mounts_below(world.folder.path()).is_empty());
}

#[test]
fn several_directories_and_all() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let below = || mounts_below(world.folder.path()).len();
    for name in ["a", "b", "c", "d"] {
        fs::create_dir(world.folder.path().join(name)).unwrap();
        world.ok(&["mount", name]);
    }
    let killed = pid_at(&world, "d");
    world.fails(&["umount", "a", "config", "b"], 1, "config: no uo2cb of yours is mounted there");
    assert_eq!(below(), 2);
    kill(killed, libc::SIGKILL);
    until("dead", || ended(killed));
    // Others may have mounts in this machine that are dead: they are none of this test's.
    let out = text(&world.run(&["umount", "--all"]).stdout);
    assert!(out.contains("/d: took away what a killed daemon left"), "{out}");
    assert_eq!(below(), 0);
    assert_eq!(world.run(&["umount"]).status.code(), Some(2));
    assert_eq!(world.run(&["umount", "--all", "a"]).status.code(), Some(2));
}

#[test]
fn what_a_killed_daemon_left_is_named_so_by_every_command() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let other = world.folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let pid = world.mount();
    world.cluster();
    kill(pid, libc::SIGKILL);
    until("dead", || ended(pid));
    let left = ": left by a killed daemon, take it away with: uo2cb umount ";
    world.fails(&["status"], 1, left);
    world.fails(&["status"], 1, &format!("(looked in {})", world.run_dir().display()));
    for arguments in [
        &["status", "--mount", "config"][..],
        &["watch", "--mount", "config/"],
        &["hold", "R", "--mount", "config"],
    ] {
        world.fails(arguments, 1, left);
    }
    // Another one that runs does not answer for it.
    world.ok(&["mount", "other"]);
    world.fails(&["status", "--mount", "config"], 1, left);
    assert!(world.ok(&["umount", "config", "other"]).contains("took away what a killed daemon left"));
    assert!(mounts_below(world.folder.path()).is_empty());
}

/// Whoever is in a hurry leaves no dead mount behind either.
#[test]
fn a_second_signal_still_takes_the_mounts_away() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    for _ in 0..20 {
        let pid = world.mount();
        // Both are there when it goes on.
        for signal in [libc::SIGSTOP, libc::SIGTERM, libc::SIGINT, libc::SIGCONT] {
            kill(pid, signal);
        }
        until("ended", || ended(pid));
        assert!(mounts_below(world.folder.path()).is_empty());
    }
}
