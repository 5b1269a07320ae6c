//! Disk heartbeat on real block devices: loop devices, made and removed here. For root.
//!
//! These are slow: a beat comes every two seconds, and a region is steady after four of them. So all cases run side by
//! side, each with daemons and a device of its own.
#![allow(clippy::unwrap_used)]

mod daemon;
mod device;
mod gone;
mod input;
mod ocfs2;
mod others;
mod own;
mod sectors;

use std::process::{Command, Stdio};
use std::thread;

use uo2cb_tests::not_run;

/// Whether this can run here; says so where not.
fn able() -> bool {
    let why = if !rustix::process::geteuid().is_root() {
        "loop devices are for root".to_owned()
    } else if let Err(why) = uo2cb::mountpoint::may_mount(false) {
        why.to_string()
    } else if !std::path::Path::new("/dev/loop-control").exists() {
        "there is no /dev/loop-control".to_owned()
    } else {
        return true;
    };
    not_run(&format!("block devices: {why}"));
    false
}

/// Whether a program is there; says so where not.
fn has(program: &str, package: &str) -> bool {
    let found = Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        not_run(&format!("volumes of ocfs2: there is no {program} (package {package})"));
    }
    found
}

#[test]
fn block_devices() {
    if !able() {
        return;
    }
    let mut cases: Vec<(&str, fn())> = vec![
        ("sectors of 512 bytes", sectors::small),
        ("sectors of 4096 bytes", sectors::large),
        ("a read-only device", input::read_only),
        ("what is no device", input::descriptors),
        ("too few slots", input::too_few_slots),
        ("a device that shrinks", gone::shrunk),
        ("a device that becomes read-only", gone::read_only),
        ("the own slot", own::overwritten),
        ("a second daemon with the same number", own::twice),
        ("other slots", others::overwritten),
    ];
    if has("mkfs.ocfs2", "ocfs2-tools") && has("debugfs.ocfs2", "ocfs2-tools") {
        cases.push(("a volume of ocfs2", ocfs2::two_nodes));
        cases.push(("volumes of all kinds", ocfs2::all_kinds));
    }
    let failed: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = cases
            .iter()
            .map(|(name, case)| {
                (name, thread::Builder::new().name((*name).into()).spawn_scoped(scope, *case).unwrap())
            })
            .collect();
        running.into_iter().filter_map(|(name, case)| case.join().err().map(|_| name)).collect()
    });
    assert!(failed.is_empty(), "failed: {failed:?}");
}
