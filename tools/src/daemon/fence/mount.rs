//! A mount that a fence takes away.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use uo2cb_fusefs::mounts::{Device, Id, Mounts};

use super::super::mountpoint;
use super::{Outward, register};

/// What is needed to end a FUSE connection and to detach its mount, all of it looked up beforehand.
#[derive(Debug)]
pub(crate) struct Mount {
    dir: PathBuf,
    /// Once it is mounted.
    connection: OnceLock<Connection>,
    /// What an ordinary user needs to detach it.
    fusermount: Option<PathBuf>,
}

#[derive(Debug)]
struct Connection {
    /// Of the mount, which goes along when a directory above it is renamed.
    id: Id,
    device: Device,
    /// To be written to end it: open to whoever mounted it, where the system shows its connections.
    abort: Option<File>,
}

impl Mount {
    /// What will be mounted on this directory goes with the process, as long as this exists. Nothing of ours is there
    /// yet, and nobody else's daemon can come before us.
    pub(crate) fn guard(dir: &Path) -> Arc<Self> {
        let fusermount = if rustix::process::geteuid().is_root() { None } else { mountpoint::fusermount() };
        let mount = Arc::new(Self { dir: dir.to_owned(), connection: OnceLock::new(), fusermount });
        register(&mount);
        mount
    }

    /// It is mounted now, as this.
    pub(crate) fn mounted(&self, id: Id, device: Device) {
        let file = format!("/sys/fs/fuse/connections/{}/abort", device.minor);
        let abort = OpenOptions::new().write(true).open(file).ok();
        let _ = self.connection.set(Connection { id, device, abort });
    }

    /// Where it hangs by now, and its id. None where it is gone, or hidden by another mount.
    fn found(&self) -> Option<(PathBuf, Option<Id>)> {
        let mounts = Mounts::read().ok()?;
        let known = self.connection.get();
        let mount = match known {
            Some(known) => mounts.get(known.id).filter(|mount| mount.device == known.device),
            None => mounts.top(&self.dir),
        };
        let mount = mount.filter(|mount| mount.ours && mounts.cover(mount).is_none())?;
        Some((mount.point.clone(), known.map(|known| known.id)))
    }
}

/// Takes away the mount at a path, if it is the one that is meant.
fn detach(point: &Path, id: Option<Id>) -> Result<(), Errno> {
    let root = openat(CWD, point, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if id.is_some_and(|id| Id::of(&root).ok() != Some(id)) {
        return Err(Errno::BUSY);
    }
    unmount(format!("/proc/self/fd/{}", root.as_raw_fd()), UnmountFlags::DETACH)
}

impl Outward for Mount {
    /// Every call on the mount, now and later, fails. Left to the process's end it would wait for the last thread that
    /// a hung disk holds.
    fn cut_off(&self) {
        if let Some(Connection { abort: Some(abort), .. }) = self.connection.get() {
            let _ = rustix::io::write(abort, b"1");
        }
    }

    /// The directory is free again. A helper that is needed for it goes on by itself, also when this process ends.
    fn withdraw(&self) {
        let Some((point, id)) = self.found() else { return };
        if detach(&point, id) != Err(Errno::PERM) {
            return;
        }
        let Some(fusermount) = &self.fusermount else { return };
        // Nobody is left to be told of a failure.
        let _ = Command::new(fusermount)
            .args(["-u", "-z", "-q", "--"])
            .arg(point)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
    }
}
