//! Nodes that do not answer, sockets that are full, helpers that die: nobody waits without end.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{World, can_mount, ended, kill, mounts_below, nobody_can_mount, text, until};
use uo2cb::control::Client;
use uo2cb::{Error, Node};

/// More than anything may take here, which is a few seconds for each that does not answer.
const SOON: Duration = Duration::from_secs(30);

fn pid_at(world: &World, mount: &str) -> i32 {
    let status: serde_json::Value =
        serde_json::from_str(&world.ok(&["status", "--json", "--mount", mount])).unwrap();
    status["pid"].as_i64().unwrap().try_into().unwrap()
}

/// Mounts a node on a new directory of each of these names. Their processes.
fn nodes(world: &World, names: &[&str]) -> Vec<i32> {
    let node = |name: &&str| {
        fs::create_dir(world.folder.path().join(name)).unwrap();
        world.ok(&["mount", name]);
        pid_at(world, name)
    };
    names.iter().map(node).collect()
}

#[test]
fn a_stopped_node_is_not_waited_for_and_costs_others_nothing() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let stopped = nodes(&world, &["a", "b", "c"]);
    world.ok(&["mount", "config"]);
    // Somebody is in one of them already.
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "cd a && echo && read line && exec \"$0\" status"]).arg(common::program());
    shell.env("UO2CB_RUNTIME_DIR", world.run_dir()).current_dir(world.folder.path());
    let mut inside =
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    inside.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    for pid in &stopped {
        kill(*pid, libc::SIGSTOP);
    }
    // Less than one of them would be waited for.
    let start = Instant::now();
    assert!(pid_at(&world, "config") > 0);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let said = format!("pid {}, does not answer", stopped[0]);
    for arguments in [&["status", "--mount", "a"][..], &["umount", "a"], &["watch", "--mount", "a/cluster"]] {
        let start = Instant::now();
        world.fails(arguments, 1, &said);
        world.fails(arguments, 1, &format!("kill -CONT {}", stopped[0]));
        assert!(start.elapsed() < SOON, "{arguments:?}: {:?}", start.elapsed());
    }
    world.fails(&["mount", "a"], 1, &format!("mounted there already, by pid {}", stopped[0]));
    inside.stdin.take().unwrap().write_all(b"\n").unwrap();
    let there = inside.wait_with_output().unwrap();
    assert!(text(&there.stderr).contains(&said), "{}", text(&there.stderr));
    // All that can be ended is ended, and each of the others is named.
    let start = Instant::now();
    let all = text(&world.run(&["umount", "--all"]).stderr);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(stopped.iter().all(|pid| all.contains(&format!("pid {pid}, does not answer"))), "{all}");
    assert_eq!(mounts_below(world.folder.path()).len(), 3);
    for pid in &stopped {
        kill(*pid, libc::SIGCONT);
    }
    world.ok(&["umount", "a", "b", "c"]);
}

/// Mounts whose daemons cannot be asked, because their sockets are gone, are looked at all at the same time.
#[test]
fn mounts_that_do_not_answer_take_the_time_of_one() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let stopped = nodes(&world, &["a", "b", "c", "d", "e"]);
    for pid in &stopped {
        kill(*pid, libc::SIGSTOP);
        fs::remove_file(world.run_dir().join(format!("{pid}.sock"))).unwrap();
    }
    let start = Instant::now();
    let status = world.run(&["status"]);
    let took = start.elapsed();
    // First, as nothing else finds them any more.
    for pid in &stopped {
        kill(*pid, libc::SIGCONT);
        kill(*pid, libc::SIGTERM);
        until("ended", || ended(*pid));
    }
    assert!(text(&status.stderr).contains("no uo2cb of yours is running"), "{}", text(&status.stderr));
    // Three seconds each.
    assert!(took < Duration::from_secs(12), "{took:?}");
    assert!(mounts_below(world.folder.path()).is_empty());
}

/// Stopped after it has agreed to stop.
#[test]
fn an_end_that_does_not_come_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::scope(|scope| {
        let silent = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"{\"stopping\":true}\n").unwrap();
            // Until the other end has had enough; a byte now and then does not make it wait for longer.
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let start = Instant::now();
        let error = Client::connect(&path).unwrap().stop().unwrap_err();
        assert!(error.to_string().contains("does not answer"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30));
        silent.join().unwrap();
    });
}

struct Connection(BufReader<UnixStream>);

impl Connection {
    fn new(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Self(BufReader::new(stream))
    }

    fn ask(&mut self, request: &str) -> String {
        let _ = self.0.get_mut().write_all(format!("{{\"request\":\"{request}\"}}\n").as_bytes());
        let mut line = String::new();
        let _ = self.0.read_line(&mut line);
        line
    }
}

fn number(pid: i32, file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
}

/// Places are kept for short requests, and a client that idles costs no thread and next to no memory.
#[test]
fn a_full_socket_still_answers_status_and_stop() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let pid = world.mount();
    let socket = world.run_dir().join(format!("{pid}.sock"));
    world.status();
    let (threads, memory) = (number(pid, "status", "Threads"), number(pid, "status", "VmData"));
    let idle: Vec<_> = (0..63).map(|_| Connection::new(&socket)).collect();
    world.status();
    assert_eq!(number(pid, "status", "Threads"), threads);
    let grown = number(pid, "status", "VmData").saturating_sub(memory);
    assert!(grown < 2048, "{grown} KiB for 63 clients");
    let mut watchers: Vec<_> = (0..64)
        .map(|_| {
            let mut watcher = Connection::new(&socket);
            assert!(watcher.ask("watch").starts_with("{\"watching\":"));
            watcher
        })
        .collect();
    let mut one_more = Connection::new(&socket);
    assert!(one_more.ask("watch").contains("too many clients"), "one more");
    assert!(one_more.ask("status").starts_with("{\"status\":"));
    world.fails(&["watch"], 1, "too many clients");
    // Clients that say nothing lose their places, and are told so.
    let mut clients: Vec<_> = (0..200).map(|_| Connection::new(&socket)).collect();
    assert_eq!(world.status()["consumers"], 64);
    let mut told = String::new();
    clients[0].0.read_to_string(&mut told).unwrap();
    assert!(told.contains("too many clients"), "{told}");
    let error = Client::connect(&socket).map(|mut client| client.status().is_ok());
    assert!(error.unwrap());
    assert!(watchers[0].ask("release").contains("released"));
    world.ok(&["umount", "config"]);
    drop(idle);
}

/// Requests that come faster than their answers are read are answered all the same, one after the other.
#[test]
fn requests_in_a_row_are_all_answered() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let node = Node::builder().user_heartbeat().control(&socket).start().unwrap();
    let stream = UnixStream::connect(&socket).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let requests = std::thread::spawn(move || {
        for _ in 0..3000 {
            writer.write_all(b"{\"request\":\"status\"}\n").unwrap();
        }
        writer
            .write_all(b"{\"request\":\"watch\"}\n{\"request\":\"release\"}\n{\"request\":\"node\"}")
            .unwrap();
        // The last line needs no end of its own.
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let lines: Vec<String> = BufReader::new(stream).lines().map(Result::unwrap).collect();
    requests.join().unwrap();
    assert_eq!(lines.len(), 3003);
    assert!(lines[..3000].iter().all(|line| line.starts_with("{\"status\":")));
    assert!(lines[3000].starts_with("{\"watching\":") && lines[3001].contains("released"));
    assert!(lines[3002].contains(&format!("\"pid\":{}", std::process::id())), "{}", lines[3002]);
    assert_eq!(node.status().consumers, 0);
}

/// What is no socket is nobody's leftover.
#[test]
fn files_are_not_taken_for_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("precious.txt"), "precious").unwrap();
    fs::create_dir(at("dir")).unwrap();
    std::os::unix::fs::symlink("precious.txt", at("link")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(at("left")).unwrap());
    std::os::unix::fs::symlink("left", at("to-left")).unwrap();
    for name in ["precious.txt", "dir", "link", "to-left", "left"] {
        assert!(Client::connect(&at(name)).is_err(), "{name}");
        assert!(fs::symlink_metadata(at(name)).is_ok(), "{name} was removed");
    }
    for name in ["precious.txt", "dir", "link", "to-left"] {
        let error = Node::builder().control(at(name)).start().unwrap_err();
        assert!(matches!(&error, Error::Control(_)) && error.to_string().contains(name), "{error}");
        assert!(fs::symlink_metadata(at(name)).is_ok(), "{name} was removed");
    }
    // A killed node's socket makes room.
    drop(Node::builder().control(at("left")).start().unwrap());
    assert_eq!(fs::read_to_string(at("precious.txt")).unwrap(), "precious");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
}

/// Beside sockets and logs of ours a user may keep other things.
#[test]
fn a_runtime_folder_keeps_what_is_not_ours() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    fs::create_dir(world.run_dir()).unwrap();
    fs::set_permissions(world.run_dir(), Permissions::from_mode(0o700)).unwrap();
    let at = |name: String| world.run_dir().join(name);
    for number in 0..12 {
        fs::write(at(format!("notes{number}.log")), "precious").unwrap();
    }
    fs::write(at("precious.sock".into()), "precious").unwrap();
    drop(std::os::unix::net::UnixListener::bind(at("agent.sock".into())).unwrap());
    world.mount();
    world.ok(&["umount", "config"]);
    world.fails(&["status"], 1, "no uo2cb of yours is running");
    assert_eq!(fs::read_dir(world.run_dir()).unwrap().count(), 12 + 2 + 1, "and the log");
}

/// Neither a log that nobody reads nor a helper that dies or hangs keeps `mount` waiting.
#[test]
fn mount_waits_for_nobody_without_end() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let pipe = world.folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let mut child = world.command().args(["mount", "config", "--log", "pipe"]).spawn().unwrap();
    until("given up", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(mounts_below(world.folder.path()).is_empty());
    if !nobody_can_mount("a helper that is killed or hangs") {
        return;
    }
    let world = World::of_nobody();
    // Another daemon of this user, which mounts while this helper runs, and then does not answer.
    let stopped = "cd ${0%/*}; mkdir other; unset FUSERMOUNT_PATH _FUSE_COMMFD
        ./uo2cb mount other | sed -n '1s/.*pid //p' > left; kill -STOP $(cat left); echo no such luck >&2; exit 1";
    for (what, script, says) in [
        ("killed", "kill -9 $$", "signal: 9"),
        ("hangs", "exec sleep 1000", "did not come to an end"),
        ("fails", "echo no such luck >&2; exit 1", "no such luck"),
        ("does nothing", "exit 0", "no connection"),
        (
            "leaves a process",
            "sleep 1000 & echo $! > ${0%/*}/left; echo no such luck >&2; exit 1",
            "no such luck",
        ),
        ("meets one that hangs", stopped, "no such luck"),
    ] {
        let helper = world.folder.path().join("helper");
        fs::write(&helper, format!("#!/bin/sh\n[ \"$1\" != -u ] || exit 1\n{script}\n")).unwrap();
        fs::set_permissions(&helper, Permissions::from_mode(0o755)).unwrap();
        let start = Instant::now();
        let (told, mut command) = (world.folder.path().join("told"), world.nobody(&["mount", "config"]));
        command.env("FUSERMOUNT_PATH", &helper).stderr(fs::File::create(&told).unwrap());
        let mut child = command.spawn().unwrap();
        until(what, || child.try_wait().unwrap().is_some() || start.elapsed() > SOON);
        let code = child.try_wait().unwrap().and_then(|status| status.code());
        let said = fs::read_to_string(&told).unwrap();
        let left = fs::read_to_string(world.folder.path().join("left"));
        if let Some(left) = left.ok().and_then(|pid| pid.trim().parse().ok()) {
            kill(left, libc::SIGKILL);
            fs::remove_file(world.folder.path().join("left")).unwrap();
        }
        assert!(code == Some(1) && said.contains(says), "{what}: {said}");
    }
    assert!(world.nobody(&["umount", "other"]).status().unwrap().success());
    // A daemon that is killed while somebody waits for its report.
    let mut command = world.nobody(&["mount", "config"]);
    fs::write(world.folder.path().join("helper"), "#!/bin/sh\nexec sleep 5\n").unwrap();
    let child = command.env("FUSERMOUNT_PATH", world.folder.path().join("helper"));
    let child = child.stderr(Stdio::piped()).spawn().unwrap();
    let parent: i32 = child.id().try_into().unwrap();
    let mut daemon = 0;
    until("started", || {
        let children =
            fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        daemon = children.split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
        daemon > 0
    });
    kill(daemon, libc::SIGKILL);
    until("told", || ended(parent));
    let output = child.wait_with_output().unwrap();
    assert!(text(&output.stderr).contains("ended before it was ready"), "{}", text(&output.stderr));
}
