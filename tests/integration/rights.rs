//! Callers of other users and of other PID name spaces, at a daemon that lets everybody in.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::geteuid;
use uo2cb_test_support::not_run;
use uo2cb_test_support::poll::until_some;

use crate::world::{World, can_mount};

const UID: u32 = 54_321;
const SHARED: &str = "cluster/c/heartbeat/shared";

fn can_be_others() -> bool {
    if !can_mount() {
        return false;
    }
    if !geteuid().is_root() {
        not_run("integration: callers of other users and name spaces: that is for root");
        return false;
    }
    true
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// What a script says on standard error as the other user; `$M` is the tree, `$O` the folder beside it.
fn as_other(world: &World, script: &str) -> String {
    says(world, &["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"], script)
}

fn says(world: &World, starter: &[&str], script: &str) -> String {
    let mut child = Command::new(starter[0])
        .args(&starter[1..])
        .args(["sh", "-c", script])
        .envs([("M", world.root()), ("O", world.outside().to_owned())])
        .env("LC_ALL", "C")
        .current_dir("/")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until_some(script, || child.try_wait().unwrap());
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).trim().to_owned()
}

/// A world that everybody may enter, in whose region everybody may make links.
fn open_world() -> World {
    let world = World::new();
    mode(world.outside(), 0o755);
    mode(&world.at(SHARED), 0o777);
    world
}

#[test]
fn targets_of_another_user() {
    if !can_be_others() {
        return;
    }
    let world = open_world();
    let ln = |target: &str| as_other(&world, &format!(r#"ln -sT {target} "$M/{SHARED}/x""#));
    let unlink = || fs::remove_file(world.at(SHARED).join("x")).unwrap();
    let (denied, node) = ("Permission denied", r#""$M/cluster/c/node/s1""#);
    assert_eq!(ln(node), "");
    unlink();
    // Outside: nothing is told.
    let closed = world.outside().join("closed");
    fs::create_dir_all(closed.join("directory")).unwrap();
    fs::write(closed.join("file"), "").unwrap();
    mode(&closed, 0o700);
    for name in ["directory", "file", "none", "../config/cluster/c/node/s1"] {
        let said = ln(&format!(r#""$O/closed/{name}""#));
        assert!(said.ends_with(denied), "{name}: {said}");
    }
    world.until_line("/closed/file\", at \"file\" (EACCES), for pid ");
    // Inside: as the kernel's own tree has it.
    mode(&world.at("cluster/c/node"), 0o700);
    let said = ln(node);
    assert!(said.ends_with(denied), "{said}");
    chown(world.at("cluster/c/node"), Some(UID), None).unwrap();
    assert_eq!(ln(node), "");
    unlink();
    mode(&world.at("cluster/c/node"), 0o600);
    assert!(ln(node).ends_with(denied));
    // Root without capabilities is one of the others.
    let said =
        says(&world, &["setpriv", "--bounding-set=-all"], &format!(r#"ln -sT {node} "$M/{SHARED}/x""#));
    assert!(said.ends_with(denied), "{said}");
    mode(&world.at("cluster/c/node"), 0o755);
    assert_eq!(ln(node), "");
}

#[test]
fn dev_of_another_user() {
    if !can_be_others() {
        return;
    }
    let world = World::disk();
    mode(world.outside(), 0o755);
    let region = world.at("cluster/c/heartbeat/R");
    mode(&region.join("dev"), 0o666);
    let (his, readable) = (world.outside().join("his"), world.outside().join("readable"));
    for file in [&his, &readable] {
        fs::write(file, vec![0; 1 << 17]).unwrap();
    }
    chown(&his, Some(UID), None).unwrap();
    mode(&his, 0o600);
    mode(&readable, 0o644);
    let dev = |opened: &str| {
        let script = format!(r#"exec 7{opened}; exec /bin/echo 7 > "$M/cluster/c/heartbeat/R/dev""#);
        as_other(&world, &script)
    };
    for opened in [r#"< "$O/readable""#, r#"< "$O/his""#, r#">> "$O/his""#] {
        let said = dev(opened);
        assert!(said.ends_with("Permission denied"), "{opened}: {said}");
    }
    world.until_line("dev: descriptor 7 of pid ");
    world.until_line(" uid 54321: not open for reading and writing, which another user's descriptor must be");
    let said = dev("<> /dev/null");
    assert!(said.ends_with("Invalid argument"), "{said}");
    world.until_line("open on /dev/null: neither a block device nor a regular file (EINVAL)");
    assert!(fs::read(&readable).unwrap().iter().all(|byte| *byte == 0));
    // What he holds, he gets.
    assert_eq!(dev(r#"<> "$O/his""#), "");
    assert_eq!(fs::read_to_string(region.join("dev")).unwrap(), "his\n");
    fs::remove_dir(&region).unwrap();
}

/// unshare --pid without --mount-proc: the numbers in /proc are those of others.
#[test]
fn a_daemon_with_a_proc_of_others() {
    if !can_be_others() {
        return;
    }
    let world = World::start("user", &["unshare", "--pid", "--fork", "--kill-child"], Some(1));
    world.fill();
    // From outside, where the daemon sees nobody, not even by a number.
    let link = r#""$M/cluster/c/heartbeat/shared/x""#;
    let said = says(&world, &["env"], &format!(r#"cd "$M/cluster/c/node"; ln -sT s1 {link}"#));
    assert!(said.ends_with("Permission denied"), "{said}");
    world.until_line(
        "from the caller's current directory: /proc shows another PID name space than that of uo2cb",
    );
    let said = says(&world, &["env"], &format!(r#"ln -sT "$M/cluster/c/node/s1" {link}"#));
    assert_eq!(said, "", "from the root of the daemon");
}

#[test]
fn a_caller_outside_the_daemons_name_space() {
    if !can_be_others() {
        return;
    }
    let starter = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let world = World::start("user", &starter, Some(1));
    // The mount is in there, too.
    let target = format!("--target={}", world.started());
    let enter = ["nsenter", &target, "--mount"];
    let fill = r#"cd "$M/cluster"; mkdir c c/node/s1 c/heartbeat/shared; cd c/node/s1
        printf 10.0.1.1 > ipv4_address; printf 7777 > ipv4_port; printf 200 > num"#;
    assert_eq!(says(&world, &enter, fill), "");
    let link = r#"cd "$M/cluster/c/node"; ln -sT s1 "$M/cluster/c/heartbeat/shared/x""#;
    let said = says(&world, &enter, link);
    assert!(said.ends_with("Permission denied"), "{said}");
    world.until_line("the caller lives outside the PID name space of uo2cb");
    let said = says(&world, &[&enter[..], &["--pid"]].concat(), link);
    assert_eq!(said, "", "from inside");
}
