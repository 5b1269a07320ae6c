//! Callers with other roots and other mounts than the server.

use std::path::PathBuf;
use std::process::Command;

use super::super::{Failure, MountId, Resolver};
use super::served::{CLUSTER, N1, NODE, REGION, Served, Tree, in_own_name_space, rerun};

#[test]
fn another_name_space() {
    let served = Served::new();
    assert_eq!(served.script(r#"ln -sT "$M/cluster/c/node/n1" "$L""#), Ok(N1));
    assert_eq!(served.script(r#"cd "$M/cluster"; ln -sT c/node "$L""#), Ok(NODE));
    assert_eq!(served.script(r#"cd "$M/cluster"; ln -sT ../../mount/cluster "$L""#), Ok(CLUSTER));
}

#[test]
fn bind_of_the_mount() {
    let served = Served::new();
    let ask = |rest: &str| served.script(&format!(r#"mount --bind "$M" "$O"; {rest}"#));
    assert_eq!(ask(r#"ln -sT "$O/cluster/c/node/n1" "$L""#), Ok(N1));
    assert_eq!(ask(r#"ln -sT "$O/../outside/cluster" "$L""#), Ok(CLUSTER));
    assert_eq!(ask(r#"cd "$O/cluster"; ln -sT ../../outside/cluster "$L""#), Ok(CLUSTER));
    assert_eq!(ask(r#"cd "$O/cluster"; ln -sT ../.. "$L""#), Err(Failure::OutsideDirectory));
}

#[test]
fn bind_of_a_directory() {
    let served = Served::new();
    let ask = |rest: &str| served.script(&format!(r#"mount --bind "$M/cluster/c" "$O"; {rest}"#));
    assert_eq!(ask(r#"ln -sT "$O/node/n1" "$L""#), Ok(N1));
    // `..` at the root of the bind leaves it.
    assert_eq!(ask(r#"ln -sT "$O/.." "$L""#), Err(Failure::OutsideDirectory));
    assert_eq!(ask(r#"ln -sT "$O/node/../../mount/cluster" "$L""#), Ok(CLUSTER));
    assert_eq!(ask(r#"cd "$O/node"; ln -sT ../heartbeat/R "$L""#), Ok(REGION));
    assert_eq!(ask(r#"cd "$O/node"; ln -sT ../../mount/cluster "$L""#), Ok(CLUSTER));
    assert_eq!(ask(r#"cd "$O/node"; ln -sT ../../cluster "$L""#), Err(Failure::Missing));
    // So does a link of the tree that climbs further than the bind goes.
    assert_eq!(ask(r#"ln -sT "$O/heartbeat/R/to-n1" "$L""#), Err(Failure::Missing));
    assert_eq!(ask(r#"ln -sT /proc/self/root"$O"/node "$L""#), Ok(NODE));
}

#[test]
fn bind_of_an_attribute() {
    let served = Served::new();
    let script = r#"touch "$O/f"; mount --bind "$M/cluster/c/node/n1/num" "$O/f"; ln -sT "$O/f" "$L""#;
    assert_eq!(served.script(script), Err(Failure::NotDirectory));
}

#[test]
fn stacked_mounts() {
    let served = Served::new();
    // The bind covers the root of a tmpfs: `..` leaves both.
    let ask =
        |rest: &str| served.script(&format!(r#"mount -t tmpfs none "$O"; mount --bind "$M" "$O"; {rest}"#));
    assert_eq!(ask(r#"cd "$O/cluster"; ln -sT ../../mount/cluster "$L""#), Ok(CLUSTER));
    assert_eq!(ask(r#"cd "$O"; ln -sT ../outside/cluster "$L""#), Ok(CLUSTER));
}

#[test]
fn covered_mount_point() {
    let served = Served::new();
    // The link is made through a bind, since the path of the mount is covered.
    let ask = |rest: &str| {
        let cover = r#"mount --bind "$M" "$O"; mount -t tmpfs none "$M"; mkdir "$M/cluster""#;
        served.script(&format!(r#"{cover}; L="$O/${{L#$M/}}"; {rest}"#))
    };
    assert_eq!(ask(r#"ln -sT "$M/cluster" "$L""#), Err(Failure::OutsideDirectory));
    assert_eq!(ask(r#"ln -sT "$M/cluster/c" "$L""#), Err(Failure::Missing));
    assert_eq!(ask(r#"ln -sT "$O/cluster/c" "$L""#), Ok(3));
    // A current directory below the cover still is in the tree.
    let below = |target: &str| {
        served.script(&format!(
            r#"mount --bind "$M" "$O"; cd "$M/cluster"; mount -t tmpfs none "$M"
               L="$O/${{L#$M/}}"; ln -sT {target} "$L""#
        ))
    };
    assert_eq!(below("c/node"), Ok(NODE));
    assert_eq!(below("../../outside/cluster"), Ok(CLUSTER));
    assert_eq!(below("../../mount/cluster"), Err(Failure::Missing));
}

#[test]
fn mount_inside_the_tree() {
    let served = Served::new();
    let ask = |target: &str| {
        served.script(&format!(
            r#"mount -t tmpfs none "$M/cluster/c/node"; cd "$M/cluster/c/node"; mkdir x
               ln -sT {target} "$L""#
        ))
    };
    assert_eq!(ask("x"), Err(Failure::OutsideDirectory));
    assert_eq!(ask("../heartbeat/R"), Ok(REGION));
    assert_eq!(ask("x/../../../../../mount/cluster"), Ok(CLUSTER));
}

#[test]
fn chroot() {
    let served = Served::new();
    let ask = |inner: &str| {
        served.script(&format!(
            r#"mount --bind / "$O"; mount --bind "$M" "$O/mnt"
               L="/mnt/${{L#$M/}}" exec chroot "$O" sh -ec '{inner}'"#
        ))
    };
    assert_eq!(ask(r#"ln -sT /mnt/cluster/c/node/n1 "$L""#), Ok(N1));
    assert_eq!(ask(r#"ln -sT /../mnt/cluster "$L""#), Ok(CLUSTER));
    assert_eq!(ask(r#"ln -sT /mnt/../../../mnt/cluster "$L""#), Ok(CLUSTER));
    assert_eq!(ask(r#"cd /mnt/cluster; ln -sT c/node/n1 "$L""#), Ok(N1));
    assert_eq!(ask(r#"cd /mnt/cluster; ln -sT ../../../mnt/cluster "$L""#), Ok(CLUSTER));
    // The server's path of the mount is an empty directory in there.
    assert_eq!(ask(r#"ln -sT "$M/cluster" "$L""#), Err(Failure::Missing));
    assert_eq!(ask(r#"ln -sT "$M" "$L""#), Err(Failure::OutsideDirectory));
}

#[test]
fn chroot_into_the_tree() {
    let served = Served::new();
    let ask = |root: &str, target: &str| {
        served.script(&format!(
            r#"exec perl -e 'chroot("$ENV{{M}}/{root}") && chdir("/c") or die;
               symlink("{target}", "/c/heartbeat/R/new"); die $!'"#
        ))
    };
    for target in ["/c/node/n1", "node/n1", "/../../c/node/n1", "../../../c/node/n1"] {
        assert_eq!(ask("cluster", target), Ok(N1), "{target}");
    }
    assert_eq!(ask("cluster", "/"), Ok(CLUSTER));
    assert_eq!(ask("cluster", "../.."), Ok(CLUSTER));
    assert_eq!(ask("cluster", "/cluster"), Err(Failure::Missing));
    // A link of the tree that climbs above that root.
    assert_eq!(ask("cluster", "/c/heartbeat/R/to-n1"), Err(Failure::Missing));
    assert_eq!(ask("cluster", &served.mount.display().to_string()), Err(Failure::Missing));
}

#[test]
fn another_pid_name_space() {
    let served = Served::new();
    let ask = |inner: &str| served.script(&format!(r#"exec unshare -pf --mount-proc sh -ec '{inner}'"#));
    assert_eq!(ask(r#"ln -sT "$M/cluster/c/node" "$L""#), Ok(NODE));
    assert_eq!(ask(r#"cd "$M/cluster/c"; ln -sT node "$L""#), Ok(NODE));
    assert_eq!(ask(r#"cd "$M/cluster/c"; ln -sT /proc/self/cwd/node "$L""#), Ok(NODE));
}

/// In a user name space of its own the resolver has no rights over callers
/// outside. /proc stands for the tree: its root has the number 1, too.
#[test]
fn callers_that_may_not_be_looked_into() {
    if !rerun("caller::tests::spaces::callers_that_may_not_be_looked_into", &["-U"]) {
        return;
    }
    let caller = std::os::unix::process::parent_id();
    let look = std::fs::read_link(format!("/proc/{caller}/root"));
    assert_eq!(look.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    let resolver = Resolver::new(MountId::of("/proc".as_ref()).unwrap()).unwrap();
    assert_eq!(resolver.resolve(caller, b"/proc/cluster", &Tree), Ok(CLUSTER));
    assert_eq!(resolver.resolve(caller, b"//proc/../proc/cluster", &Tree), Ok(CLUSTER));
    assert_eq!(resolver.resolve(caller, b"/proc/..", &Tree), Err(Failure::OutsideDirectory));
    assert_eq!(resolver.resolve(caller, b"cluster", &Tree), Err(Failure::CallerHidden));
}

/// Everything in a name space of its own, where the server's mount point is
/// one whose path only a change of mounts can alter.
#[test]
fn settled_path() {
    if !in_own_name_space("caller::tests::spaces::settled_path") {
        return;
    }
    let mount = PathBuf::from("/sys/fs/cgroup");
    let served = Served::at(mount.clone(), tempfile::tempdir().unwrap());
    let resolver = served.resolver.get().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program}");
    };
    let target = "/sys/fs/cgroup/cluster/c/node/n1";
    for _ in 0..2 {
        assert!(resolver.is_settled());
        assert_eq!(served.from(&served.outside, target), Ok(N1));
        assert_eq!(served.from(&served.outside, "/sys/fs/cgroup/.."), Err(Failure::OutsideDirectory));
        assert_eq!(served.from(&served.outside, "/sys/fs/cgroup/../cgroup"), Ok(1));
        // Cover a directory on the way: noticed at once.
        run("mount", &["-t", "tmpfs", "none", "/sys/fs"]);
        assert_eq!(resolver.resolve(std::process::id(), target.as_bytes(), &Tree), Err(Failure::Missing));
        assert!(!resolver.is_settled());
        run("umount", &["/sys/fs"]);
    }
    // Callers elsewhere are not taken for ours.
    let script =
        r#"mount --bind "$M" "$O"; mount -t tmpfs none "$M"; ln -sT "$M" "$O/cluster/c/heartbeat/R/new""#;
    assert_eq!(served.script(script), Err(Failure::OutsideDirectory));
    assert_eq!(served.script(r#"ln -sT "$M/cluster" "$L""#), Ok(CLUSTER));
    assert!(resolver.is_settled());
}
