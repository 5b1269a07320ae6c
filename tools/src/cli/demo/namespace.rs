//! A user and mount name space of one's own, in which anybody may mount.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::super::Fail;

/// This program again, to go there before it has a thread. Returns only when that fails.
pub(super) fn again(session: Option<&str>) -> Result<(), Fail> {
    let exe = std::env::current_exe().unwrap_or_else(|_| "uo2cb".into());
    let error = Command::new(exe).args(["demo", "--in-namespace"]).args(session).exec();
    Err(Fail::new(format!("demo: cannot start itself again: {error}")))
}

/// Goes into a network of its own, with nothing in it. False: that is for root, here or in a user name space.
pub(super) fn enter_network() -> Result<bool, Fail> {
    // SAFETY: no descriptor table is split off.
    match unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
        Ok(()) => Ok(true),
        Err(Errno::PERM) if !geteuid().is_root() => Ok(false),
        Err(errno) => Err(Fail::new(format!("demo: no network name space: {errno}"))),
    }
}

/// Goes there, as its root.
pub(super) fn enter() -> Result<(), Fail> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    // SAFETY: no descriptor table is split off, and no thread exists yet.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }.map_err(|errno| {
        Fail::new(format!(
            "demo: no user name space to mount in ({errno}): install the package fuse3, or run as root"
        ))
    })?;
    let written = fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {user} 1")))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {group} 1")));
    written.map_err(|error| Fail::new(format!("demo: a user name space without users: {error}")))
}
