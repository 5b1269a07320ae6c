//! A directory that a walk has reached.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::ROOT;

/// A directory on the way.
#[derive(Clone, Debug)]
pub(super) enum Dir {
    /// One of another file system.
    Outside(Arc<OwnedFd>),
    /// One of the tree, by its inode number, and the mount it was reached through.
    Inside(u64, Through),
}

/// Through which mount of the tree a walk came in: what `..` at the mount's root needs.
#[derive(Clone, Debug)]
pub(super) struct Through {
    /// The mount's number.
    pub(super) mount: u64,
    /// The directory of the tree at the root of the mount, if known.
    pub(super) root: Option<u64>,
    /// The directory which holds the mount point, if the walk came from it.
    pub(super) outer: Option<Arc<OwnedFd>>,
}

impl Through {
    /// A mount that shows the whole tree.
    pub(super) fn whole(mount: u64) -> Self {
        Self { mount, root: Some(ROOT), outer: None }
    }
}
