//! The command: mount, umount, status, bad input, the end in all its ways.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use common::{World, can_mount, ended, kill, not_run, text, until};
use uo2cb::mountpoint;

#[test]
fn mount_returns_when_the_tree_is_usable_and_umount_when_it_is_gone() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    // Piped output is read to its end: the daemon keeps none of it open.
    let out = world.ok(&["mount", "config"]);
    assert!(world.at("cluster/heartbeat_mode").exists());
    let status = world.status();
    let pid: i32 = status["pid"].as_i64().unwrap().try_into().unwrap();
    assert!(out.contains(&format!("mounted on {}, pid {pid}", world.mount.display())), "{out}");
    assert_eq!(status["mounts"]["config"], world.mount.to_str().unwrap());
    assert_eq!(status["heartbeat_mode"], "disk");
    let socket = world.run_dir().join(format!("{pid}.sock"));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));

    world.fails(&["mount", "config"], 1, &format!("by pid {pid}"));
    assert_eq!(world.ok(&["umount", "config/"]), "");
    assert!(!mountpoint::ours(&world.mount));
    assert!(!socket.exists());
    until("ended", || ended(pid));
    let log = world.log(pid);
    assert!(log.lines().last().unwrap().ends_with("INFO  stopped"), "{log}");
    world.fails(&["umount", "config"], 1, "no uo2cb of yours is mounted there");
    world.fails(&["status"], 1, "no uo2cb of yours is running");
}

#[test]
fn mount_points_may_have_any_name() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    for name in [&b"a b"[..], b"tab\there", b"back\\040slash", b"new\nline", b"not utf-8 \xff", b"-"] {
        let name = std::ffi::OsStr::from_bytes(name);
        fs::create_dir(world.folder.path().join(name)).unwrap();
        let run = |command: &str| world.command().args([command, "--"]).arg(name).output().unwrap();
        let mounted = run("mount");
        assert!(mounted.status.success(), "{name:?}: {}", text(&mounted.stderr));
        assert_eq!(run("mount").status.code(), Some(1), "{name:?}");
        let gone = run("umount");
        assert!(gone.status.success(), "{name:?}: {}", text(&gone.stderr));
        assert_eq!(fs::read_dir(world.folder.path().join(name)).unwrap().count(), 0, "{name:?}");
    }
}

#[test]
fn bad_mount_points() {
    let world = World::new();
    fs::write(world.folder.path().join("file"), "").unwrap();
    fs::create_dir(world.folder.path().join("full")).unwrap();
    fs::write(world.folder.path().join("full/file"), "").unwrap();
    world.fails(&["mount", "none"], 1, "none: no such directory");
    world.fails(&["umount", "none"], 1, "none: no such directory");
    if can_mount() {
        world.fails(&["mount", "file"], 1, "file: not a directory");
        world.fails(&["mount", "config", "--sysfs", "config"], 2, "named for two trees");
        world.fails(&["mount", "full"], 1, "full: the directory is not empty");
        world.fails(&["mount", "config", "--sysfs", "full"], 1, "full: the directory is not empty");
        assert!(!mountpoint::ours(&world.mount));
    }
    // A daemon that never was leaves neither socket nor log.
    assert_eq!(fs::read_dir(world.run_dir()).map_or(0, Iterator::count), 0);
}

#[test]
fn wrong_use_of_the_command_line_ends_with_2() {
    let world = World::new();
    world.fails(&["mount", "config", "--log", "-"], 2, "--log - needs --foreground");
    world.fails(&["mount", "config", "--mainline", "--heartbeat-mode", "user"], 2, "--mainline");
    for arguments in [&["mount"][..], &["frobnicate"], &["hold"], &["mount", "config", "--nonsense"], &[]] {
        assert_eq!(world.run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    for command in ["mount", "umount", "status", "watch", "hold", "demo", "format", "dump", "completions"] {
        assert!(world.ok(&[command, "--help"]).contains("Usage: uo2cb "));
    }
}

/// What is only allocated is a hole still.
#[test]
fn format_writes_every_byte() {
    let world = World::new();
    world.ok(&["format", "disk", "--slots", "100", "--block-bytes", "1024"]);
    let hole = |name: &str| {
        let file = fs::File::open(world.folder.path().join(name)).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 101 * 1024);
        file.sync_all().unwrap();
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)).unwrap()
    };
    // What a file system makes of zeros that are surely written.
    fs::write(world.folder.path().join("zeros"), vec![0; 101 * 1024]).unwrap();
    if hole("zeros") == 101 * 1024 {
        assert_eq!(hole("disk"), 101 * 1024);
    } else {
        not_run("that format writes every byte: zeros become holes on the file system of temporary files");
    }
    world.fails(&["format", "disk"], 1, "File exists");
}

#[test]
fn all_trees_go_together_whoever_takes_one_away() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    for dir in ["sys", "debug"] {
        fs::create_dir(world.folder.path().join(dir)).unwrap();
    }
    world.ok(&["mount", "config", "--sysfs", "sys", "--debugfs", "debug"]);
    let pid = world.pid();
    let debug = world.folder.path().canonicalize().unwrap().join("debug");
    assert_eq!(fs::read_to_string(debug.join("o2hb/livenodes")).unwrap(), "\n");
    world.fails(&["mount", "debug"], 1, &format!("by pid {pid}"));
    mountpoint::detach(&debug).unwrap();
    until("ended", || ended(pid));
    assert!(!mountpoint::ours(&world.mount));
    assert!(world.log(pid).contains("debug was unmounted"));
    assert!(!world.run_dir().join(format!("{pid}.sock")).exists());
}

#[test]
fn a_signal_is_a_clean_end() {
    if !can_mount() {
        return;
    }
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let world = World::new();
        let pid = world.mount();
        world.cluster();
        kill(pid, signal);
        until("ended", || ended(pid));
        assert!(!mountpoint::ours(&world.mount));
        assert!(world.log(pid).contains("stopping: a signal"));
        assert_eq!(fs::read_dir(world.run_dir()).unwrap().count(), 1, "only the log");
    }
}

#[test]
fn the_end_comes_under_load_too() {
    if !can_mount() {
        return;
    }
    for round in 0..5 {
        let world = World::new();
        let pid = world.mount();
        world.cluster();
        let _watch = world.follower(&["watch"]);
        std::thread::scope(|scope| {
            for node in ["n1", "n2"] {
                let (link, target) =
                    (world.at("cluster/c/heartbeat/R").join(node), world.at("cluster/c/node").join(node));
                scope.spawn(move || {
                    while std::os::unix::fs::symlink(&target, &link).is_ok() {
                        let _ = fs::remove_file(&link);
                    }
                });
            }
            until("under way", || {
                world.status()["regions"][0]["up"].as_array().is_some_and(|up| !up.is_empty())
            });
            if round % 2 == 0 {
                world.ok(&["umount", "config"]);
            } else {
                kill(pid, libc::SIGTERM);
            }
        });
        until("ended", || ended(pid));
        assert!(!mountpoint::ours(&world.mount));
        let log = world.log(pid);
        assert!(!log.contains("without an answer") && log.contains("INFO  stopped"), "{log}");
    }
}

#[test]
fn what_a_killed_daemon_leaves_is_recovered() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let pid = world.mount();
    kill(pid, libc::SIGKILL);
    until("dead", || ended(pid));
    world.fails(&["status"], 1, "no uo2cb of yours is running");
    let again = world.mount();
    assert!(world.log(again).contains("took away what a killed daemon left"));
    assert!(world.at("cluster").exists());
    kill(again, libc::SIGKILL);
    until("dead", || ended(again));
    assert!(world.ok(&["umount", "config"]).contains("took away what a killed daemon left"));
    assert!(!mountpoint::ours(&world.mount));
    assert_eq!(fs::read_dir(&world.mount).unwrap().count(), 0);
}

#[test]
fn with_several_daemons_one_is_chosen() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    fs::create_dir(world.folder.path().join("other")).unwrap();
    let pid = world.mount();
    world.ok(&["mount", "other"]);
    world.fails(&["status"], 1, "choose with --mount DIR or UO2CB_MOUNT");
    world.fails(&["watch", "--mount", "/"], 1, "/: no uo2cb of yours is mounted there");
    let chosen = world.ok(&["status", "--json", "--mount", "config"]);
    assert!(chosen.contains(&format!("\"pid\":{pid}")), "{chosen}");
    let named = world.command().args(["status", "--json"]).env("UO2CB_MOUNT", "other").output().unwrap();
    assert!(named.status.success() && !text(&named.stdout).contains(&format!("\"pid\":{pid}")));
    world.ok(&["umount", "other"]);
    assert_eq!(world.pid(), pid);
}

#[test]
fn each_refusal_is_one_line_of_the_log() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let log = world.folder.path().join("log");
    world.ok(&["mount", "config", "--heartbeat-mode", "user", "--log", "log", "--log-format", "json"]);
    world.cluster();
    let error = fs::write(world.at("cluster/c/idle_timeout_ms"), "soon").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    world.ok(&["umount", "config"]);
    let log = fs::read_to_string(log).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused: Vec<_> = lines.iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(refused.len(), 1, "{log}");
    assert_eq!(refused[0]["path"], "cluster/c/idle_timeout_ms");
    assert_eq!(refused[0]["value"], "soon");
    assert_eq!(refused[0]["errno"], "EINVAL");
}

/// What only the system can refuse, and what only a mount lets one call.
#[test]
fn lines_name_addresses_removed_items_and_floods() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let pid = world.mount();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    fs::create_dir(world.at("cluster/c")).unwrap();
    // The first is of the range for documentation, so nobody's.
    for (name, address, errno) in
        [("n1", "192.0.2.1", libc::EADDRNOTAVAIL), ("n2", "127.0.0.1", libc::EADDRINUSE)]
    {
        let node = world.at("cluster/c/node").join(name);
        fs::create_dir(&node).unwrap();
        for (file, value) in [("ipv4_address", address), ("ipv4_port", &port), ("num", &name[1..])] {
            fs::write(node.join(file), value).unwrap();
        }
        assert_eq!(fs::write(node.join("local"), "1").unwrap_err().raw_os_error(), Some(errno));
    }
    let open = fs::File::options().write(true).open(world.at("cluster/c/node/n2/num")).unwrap();
    fs::remove_dir(world.at("cluster/c/node/n2")).unwrap();
    (&open).write_all(b"7").unwrap_err();
    let file = world.at("cluster/c/node/n1/num");
    for _ in 0..5_000 {
        fs::write(&file, "300").unwrap_err();
    }
    world.ok(&["umount", "config"]);
    let log = world.log(pid);
    for line in [
        "store cluster/c/node/n1/local \"1\": \
         the address 192.0.2.1 is not one of this machine's (EADDRNOTAVAIL), for pid",
        &format!(
            "store cluster/c/node/n2/local \"1\": \
             port {port} of 127.0.0.1 is in use by another process (EADDRINUSE), for pid"
        ),
        "store cluster/c/node/n2/num \"7\": the item has been removed (ENOENT), for pid",
        "store cluster/c/node/n1/num \"300\": num is 0 to 254 (ERANGE), for pid",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
    let counts = log.lines().filter_map(|line| line.split_once(" last line ")?.1.split(' ').next());
    assert_eq!(counts.map(|count| count.parse::<u64>().unwrap()).sum::<u64>(), 4999, "{log}");
}

#[test]
fn in_the_foreground_the_log_may_go_to_standard_output() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let child = world
        .command()
        .args(["mount", "config", "--foreground", "--mainline", "--log", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until("mounted", || world.at("cluster").exists());
    assert_eq!(fs::read_dir(world.at("cluster")).unwrap().count(), 0);
    kill(child.id().try_into().unwrap(), libc::SIGTERM);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let log = text(&output.stdout);
    assert!(log.contains("INFO  config mounted on") && log.contains("INFO  stopped"), "{log}");
}

#[test]
fn the_demonstration_leaves_nothing_also_when_interrupted() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let demo = |world: &World| {
        let mut command = world.command();
        command.arg("demo").env("TMPDIR", world.folder.path());
        command
    };
    let output = demo(&world).output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert!(out.contains("write error: Invalid argument") && out.contains("File exists"), "{out}");
    let left = |world: &World| {
        let mounts = text(&fs::read("/proc/self/mountinfo").unwrap());
        let folders = fs::read_dir(world.folder.path()).unwrap().count();
        (mounts.contains(world.folder.path().to_str().unwrap()), folders)
    };
    // The mount point of this test itself, and nothing more.
    assert_eq!(left(&world), (false, 1));
    let mut child = demo(&world).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("mounted", || left(&world).0);
    kill(child.id().try_into().unwrap(), libc::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(left(&world), (false, 1));
}

#[test]
fn an_ordinary_user_is_told_what_is_missing() {
    if !can_mount() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        not_run("what an ordinary user is told: becoming that user needs root");
        return;
    }
    let fuse = fs::metadata("/dev/fuse").unwrap().permissions().mode();
    let world = World::new();
    let folder = world.folder.path();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    // By another process: a copy of ours, still open in a child of another test, would be "text file busy".
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_uo2cb")).arg(folder.join("uo2cb")).status();
    assert!(copied.unwrap().success());
    let as_nobody = |path: &str, arguments: &[&str]| {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "env"])
            .arg(format!("PATH={path}"))
            .arg(format!("UO2CB_RUNTIME_DIR={}/theirs", folder.display()))
            .arg(folder.join("uo2cb"))
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let wants =
        if fuse & 0o006 == 0o006 { "install the package fuse3" } else { "/dev/fuse cannot be opened" };
    let (code, err) = as_nobody("/nowhere", &["mount", "config"]);
    assert!(code == Some(1) && err.contains(wants) && err.lines().count() == 1, "{err}");
    if fuse & 0o006 == 0o006 {
        let allowed = fs::read_to_string("/etc/fuse.conf").unwrap_or_default().contains("\nuser_allow_other");
        let (code, err) = as_nobody("/usr/bin:/bin", &["mount", "config", "--allow-other"]);
        assert!(allowed || code == Some(1) && err.contains("user_allow_other"), "{err}");
    }
}
