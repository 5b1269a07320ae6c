//! Callers that ask for nonsense, die in the middle, or live elsewhere.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::json;
use uo2cb_tests::not_run;
use uo2cb_tests::poll::{until, until_some};

use crate::world::{World, can_mount};

const SHARED: &str = "cluster/c/heartbeat/shared";
const NODE: &str = "cluster/c/node/s1";

/// Waits for it, but not for ever: a call that hangs is killed, as far as that helps.
#[track_caller]
fn ended(what: &str, child: &mut Child) -> ExitStatus {
    until_some(what, || child.try_wait().unwrap())
}

#[track_caller]
fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

#[test]
fn a_target_through_the_directory_that_symlink_holds() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (link, region) = (world.at(SHARED).join("s1"), world.at(SHARED));
    let absolute = format!("{}/../../node/s1", region.display());
    let around = format!("{}/s0/../../../node/s1", region.display());
    let cwds = [Path::new("/"), &world.root(), &region, &world.at(NODE), world.outside()];
    let ln = |cwd: &Path, target: &str| {
        let mut child = Command::new("ln")
            .args(["-sT", "--", target])
            .arg(&link)
            .current_dir(cwd)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        ended(&format!("ln -s {target} in {}", cwd.display()), &mut child).success()
    };
    for cwd in cwds {
        assert!(ln(cwd, &absolute), "{}", cwd.display());
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../../../cluster/c/node/s1"));
        fs::remove_file(&link).unwrap();
        assert!(!ln(cwd, &around), "through a name that is not there");
    }
    assert!(ln(&region, "../../node/s1"));
    fs::remove_file(&link).unwrap();
    assert!(!ln(world.outside(), "../../node/s1"));
}

#[test]
fn targets_that_are_no_nodes() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let link = world.at(SHARED).join("link");
    let file = world.outside().join("file");
    fs::write(&file, "").unwrap();
    fs::create_dir(world.at("cluster/c/node/unnumbered")).unwrap();
    for (target, expected) in [
        (world.outside().to_owned(), libc::EPERM),
        // As the kernel has it.
        (world.root(), libc::ENOENT),
        (world.at("cluster"), libc::EPERM),
        (world.at("cluster/c"), libc::EPERM),
        (world.at("cluster/c/node"), libc::EPERM),
        (world.at("cluster/c/heartbeat"), libc::EPERM),
        (world.at(SHARED), libc::EPERM),
        (world.at("cluster/c/node/unnumbered"), libc::EINVAL),
        (world.at("cluster/c/idle_timeout_ms"), libc::ENOTDIR),
        (world.at(NODE).join("num"), libc::ENOTDIR),
        (world.at(NODE).join("num/x"), libc::ENOTDIR),
        (file, libc::ENOTDIR),
        (world.at("cluster/c/node/none"), libc::ENOENT),
        (world.at("cluster/none/s1"), libc::ENOENT),
    ] {
        assert_eq!(errno(symlink(&target, &link)), expected, "{}", target.display());
    }
    // Where links do not belong, whatever they would lead to.
    for place in ["cluster", "cluster/c", "cluster/c/node", NODE, "cluster/c/heartbeat"] {
        assert_eq!(errno(symlink(world.at(NODE), world.at(place).join("link"))), libc::EPERM, "{place}");
    }
    assert_eq!(fs::read_dir(world.at(SHARED)).unwrap().count(), 0);
}

#[test]
fn names_of_any_bytes() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let names: [&[u8]; 4] = [b"a\nb\n", b"\xff\xfe\x80", b"tab\t esc\x1b[31m", b" \\ \"'"];
    for (number, name) in names.iter().enumerate() {
        let name = OsStr::from_bytes(name);
        let (node, region) =
            (world.at("cluster/c/node").join(name), world.at("cluster/c/heartbeat").join(name));
        fs::create_dir(&node).unwrap();
        for (attribute, value) in [
            ("ipv4_address", format!("10.0.2.{number}")),
            ("ipv4_port", "7777".into()),
            ("num", format!("{number}")),
        ] {
            fs::write(node.join(attribute), value).unwrap();
        }
        fs::create_dir(&region).unwrap();
        symlink(&node, region.join(name)).unwrap();
        let entries: Vec<_> =
            fs::read_dir(&region).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(entries, [name]);
        assert_eq!(fs::canonicalize(region.join(name)).unwrap(), fs::canonicalize(&node).unwrap());
        // Refused, so that the log names it, too.
        assert_eq!(errno(fs::remove_dir(&node)), libc::EBUSY);
    }
    let long = world.at("cluster/c/heartbeat").join("r".repeat(33));
    assert_eq!(errno(fs::create_dir(long)), libc::ENAMETOOLONG);
    assert_eq!(errno(fs::create_dir(world.at("cluster/c/node").join("n".repeat(256)))), libc::ENAMETOOLONG);
    assert_eq!(world.client().status().unwrap()["regions"].as_array().unwrap().len(), 1 + names.len());
    let log = until_some("in the log", || {
        let log = fs::read(world.outside().join("log")).unwrap();
        let lines = String::from_utf8(log).unwrap();
        (lines.matches("EBUSY").count() >= names.len()).then_some(lines)
    });
    for line in log.lines() {
        assert!(line.starts_with("20") && line.contains("Z "), "a line of its own: {line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn writes_of_any_length() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let path = world.at("cluster/c/idle_timeout_ms");
    for (length, taken) in [(4094, 4094), (4095, 4095), (4096, 4095), (100_000, 4095), (1 << 20, 4095)] {
        // Octal, because of the zeros before it; behind it more zeros, which must not arrive.
        let mut data = vec![b'0'; length];
        data[taken - 5..taken].copy_from_slice(b"40000");
        let mut file = fs::File::options().write(true).open(&path).unwrap();
        assert_eq!(file.write(&data).unwrap(), taken, "{length} bytes");
        assert_eq!(fs::read_to_string(&path).unwrap(), "16384\n");
        // The rest comes as a value of its own.
        data.fill(b'x');
        assert_eq!(errno(file.write(&data)), libc::EINVAL);
        fs::write(&path, "30000").unwrap();
    }
}

#[test]
fn a_client_killed_in_mid_call() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let link = world.at(SHARED).join("s1");
    // A consumer that never answers an event holds the call, until it is expelled.
    let mut consumer = world.client();
    consumer.send(&json!({"request": "watch"})).unwrap();
    consumer.receive().unwrap();
    let mut child = Command::new("ln").args(["-sT", "--"]).args([&world.at(NODE), &link]).spawn().unwrap();
    assert_eq!(consumer.receive().unwrap()["event"]["edge"], "up");
    assert_eq!(child.try_wait().unwrap(), None, "the event has not been dealt with");
    child.kill().unwrap();
    ended("the killed ln", &mut child);
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../../../cluster/c/node/s1"));
    until("nobody waits", || world.client().status().unwrap()["waiting"] == 0);
    fs::remove_file(&link).unwrap();
    fs::remove_dir(world.at(NODE)).unwrap();
}

/// With an absolute target, from another name space and from another root.
#[test]
fn callers_from_elsewhere() {
    if !can_mount() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        not_run("integration: other name spaces are for root");
        return;
    }
    let world = World::new();
    let (link, target) = (world.at(SHARED).join("s1"), world.at(NODE));
    let new_root = world.outside().join("root");
    fs::create_dir(&new_root).unwrap();
    for script in [
        r#"mount -t tmpfs none /mnt; ln -sT "$T" "$L""#,
        r#"mount --rbind / "$R"; chroot "$R" ln -sT "$T" "$L""#,
        // Another path to the same.
        r#"mount --rbind "$M" /mnt; ln -sT /mnt/cluster/c/node/s1 "$L""#,
        r#"mount --rbind "$M" /mnt; umount -l "$M"; cd /; ln -sT /mnt/cluster/c/node/s1 /mnt/cluster/c/heartbeat/shared/s1"#,
    ] {
        let mut child = Command::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-ec", script])
            .envs([("T", &target), ("L", &link), ("R", &new_root), ("M", &world.root())])
            .spawn()
            .unwrap();
        assert!(ended(script, &mut child).success(), "{script}");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../../../cluster/c/node/s1"), "{script}");
        fs::remove_file(&link).unwrap();
    }
}
