//! A daemon that has said that it is mounted has what it needs; else it says why not, and leaves nothing.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use common::{World, can_mount, not_run, text};
use uo2cb::mountpoint;

#[test]
fn mounted_is_said_once_there_is_memory_for_it() {
    if !can_mount() {
        return;
    }
    let (mut served, mut refused) = (0, 0);
    for megabytes in (20..=64).step_by(2) {
        let world = World::new();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit -v {}; exec \"$0\" mount config", megabytes << 10)]);
        shell.arg(env!("CARGO_BIN_EXE_uo2cb")).current_dir(world.folder.path());
        let output = shell.env("UO2CB_RUNTIME_DIR", world.run_dir()).output().unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        if output.status.success() {
            served += 1;
            fs::create_dir(world.at("cluster/c"))
                .unwrap_or_else(|error| panic!("{megabytes} MB: {error}; {said}"));
            assert!(world.status()["pid"].is_u64(), "{megabytes} MB");
            world.ok(&["umount", "config"]);
        } else {
            refused += 1;
            assert!(said.lines().last().unwrap().starts_with("uo2cb: "), "{megabytes} MB: {said}");
            // What one leaves that the system has killed, the next one takes away.
            assert!(
                !mountpoint::ours(&world.mount) || said.contains("killed by signal"),
                "{megabytes} MB: {said}"
            );
        }
    }
    println!("{served} served, {refused} refused");
    assert!(served > 0 && refused > 0);
}

/// Kilobytes of a kind that a process has, in all its mappings.
fn kilobytes(pid: i32, kind: &str) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let sizes = maps
        .lines()
        .filter_map(|line| line.strip_prefix(kind)?.strip_prefix(':')?.trim().strip_suffix(" kB"));
    sizes.map(|size| size.trim().parse::<u64>().unwrap()).sum()
}

/// A client that watches, and has been told so.
fn watching(socket: &Path) -> UnixStream {
    let mut client = UnixStream::connect(socket).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    client.write_all(b"{\"request\":\"watch\"}\n").unwrap();
    let mut line = String::new();
    BufReader::new(&client).read_line(&mut line).unwrap();
    assert!(line.contains("watching"), "{line}");
    client
}

#[test]
fn little_memory_is_locked() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.ok(&["mount", "config"]);
    let pid = world.pid();
    world.region(255);
    let disk = world.folder.path().join("disk");
    File::create(&disk).unwrap().set_len(256 * 512).unwrap();
    let disk = File::options().read(true).write(true).open(disk).unwrap();
    fs::write(world.at("cluster/c/heartbeat/R/dev"), disk.as_raw_fd().to_string()).unwrap();
    let alone = kilobytes(pid, "Locked");
    let sockets = fs::read_dir(world.run_dir()).unwrap().map(|entry| entry.unwrap().path());
    let socket = sockets.into_iter().find(|path| path.extension().is_some_and(|ext| ext == "sock")).unwrap();
    let clients: Vec<_> = (0..60).map(|_| watching(&socket)).collect();
    let with_clients = kilobytes(pid, "Locked");
    drop(clients);
    println!("locked: {alone} kB with one disk, {with_clients} kB with 60 clients more");
    if alone == 0 {
        not_run("how much memory is locked: this system does not allow any");
    }
    assert!(alone <= 16 << 10, "{alone} kB");
    assert!(with_clients <= alone + (6 << 10), "{with_clients} kB");
    world.ok(&["umount", "config"]);
}
