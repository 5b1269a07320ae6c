//! A mount that a fence takes away.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::slice;
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

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
    name: String,
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

    /// It is mounted now.
    pub(crate) fn mounted(&self) {
        if let Some(name) = self.mounted_now() {
            let file = format!("/sys/fs/fuse/connections/{name}/abort");
            let abort = OpenOptions::new().write(true).open(file).ok();
            let _ = self.connection.set(Connection { name, abort });
        }
    }

    /// Name of the connection behind the mount of ours that is there.
    fn mounted_now(&self) -> Option<String> {
        mountpoint::of_ours(slice::from_ref(&self.dir)).pop().map(|(_, connection)| connection)
    }

    /// Is it still there? Another may have come in its place.
    fn is_there(&self) -> bool {
        let known = self.connection.get().map(|connection| &connection.name);
        self.mounted_now().is_some_and(|now| known.is_none_or(|known| *known == now))
    }
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
        if !self.is_there()
            || unmount(&self.dir, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) != Err(Errno::PERM)
        {
            return;
        }
        let Some(fusermount) = &self.fusermount else { return };
        // Nobody is left to be told of a failure.
        let _ = Command::new(fusermount)
            .args(["-u", "-z", "-q", "--"])
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
    }
}
