//! The operations that are measured.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::listing;

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    Link,
    Directory,
    Read,
    Write,
    Stat,
    List,
}

impl Calls {
    pub(crate) const ALL: [Self; 6] =
        [Self::Link, Self::Directory, Self::Read, Self::Write, Self::Stat, Self::List];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Link => "symlink+unlink",
            Self::Directory => "mkdir+rmdir",
            Self::Read => "read",
            Self::Write => "write",
            Self::Stat => "stat",
            Self::List => "readdir",
        }
    }
}

/// The paths in one mount.
pub(crate) struct Place {
    cluster: String,
    target: String,
    link: String,
    directory: String,
    attribute: String,
}

impl Place {
    pub(crate) fn new(root: &Path) -> Self {
        let cluster = root.join("cluster/c");
        let path = |tail: &str| cluster.join(tail).to_string_lossy().into_owned();
        Self {
            cluster: cluster.to_string_lossy().into_owned(),
            target: path("node/n1"),
            link: path("heartbeat/R/n1"),
            directory: path("node/n2"),
            attribute: path("idle_timeout_ms"),
        }
    }

    pub(crate) fn once(&self, calls: Calls) -> rustix::io::Result<()> {
        match calls {
            Calls::Link => {
                rustix::fs::symlink(&self.target, &self.link)?;
                rustix::fs::unlink(&self.link)
            }
            Calls::Directory => {
                rustix::fs::mkdir(&self.directory, Mode::from_raw_mode(0o755))?;
                rustix::fs::rmdir(&self.directory)
            }
            Calls::Read => {
                let mut text = [0; 64];
                let file = open(&self.attribute, OFlags::RDONLY)?;
                rustix::io::read(file.as_fd(), &mut text).map(drop)
            }
            Calls::Write => {
                let file = open(&self.attribute, OFlags::WRONLY)?;
                rustix::io::write(file.as_fd(), b"30000\n").map(drop)
            }
            Calls::Stat => rustix::fs::statat(CWD, &self.attribute, AtFlags::empty()).map(drop),
            Calls::List => listing::count(&*self.cluster).map(drop),
        }
    }
}

fn open(path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
}
