//! Targets of symlinks: from the caller's path to an object of the tree.

use std::sync::{Arc, OnceLock};

use uo2cb_core::tree::{Object, Tree};
use uo2cb_core::{Caller, Errno, ItemId, Refusal, View};

use crate::caller::{Failure, Inside, Resolver, Step};
use crate::inode;
use crate::service::Service;

/// Resolves targets for one mount.
pub(crate) struct Targets {
    view: View,
    service: Arc<dyn Service>,
    /// Known once the view is mounted.
    pub(crate) resolver: OnceLock<Resolver>,
}

impl Targets {
    pub(crate) fn new(view: View, service: Arc<dyn Service>) -> Self {
        Self { view, service, resolver: OnceLock::new() }
    }

    /// What the caller's path leads to.
    pub(crate) fn resolve(&self, caller: Caller, target: &[u8]) -> Result<Object, Refusal> {
        let resolver = self.resolver.get().ok_or(Refusal::TargetDenied)?;
        let way = Way { targets: self, caller };
        resolver.resolve(caller.pid, target, &way).map(inode::object).map_err(refusal)
    }

    /// The directory above; the root is its own, as in the kernel's listing of a mount.
    pub(crate) fn parent(&self, ino: u64) -> u64 {
        let above = self.look(|tree| tree.items().parent(inode::item(ino)));
        above.map_or(ino, |dir| inode::number(Object::Dir(dir)))
    }

    fn look<T>(&self, look: impl Fn(&Tree) -> Option<T>) -> Option<T> {
        let mut found = None;
        self.service.look(self.view, &mut |tree| found = look(tree));
        found
    }
}

/// The part of a caller's path that lies in the tree.
struct Way<'a> {
    targets: &'a Targets,
    caller: Caller,
}

impl Inside for Way<'_> {
    /// The kernel's rule for searching a directory: root may, then one of the three classes decides.
    fn may_search(&self, dir: u64) -> bool {
        let Caller { pid, uid, gid } = self.caller;
        if uid == 0 {
            return true;
        }
        let Some(attr) = self.targets.look(|tree| tree.attr(inode::object(dir)).ok()) else { return false };
        let (mode, owner) = (attr.meta.mode, attr.meta.owner);
        let (group, other) = (mode & 0o010 != 0, mode & 0o001 != 0);
        if uid == owner.uid {
            mode & 0o100 != 0
        } else if group == other || gid == owner.gid || groups(pid).contains(&owner.gid) {
            group
        } else {
            other
        }
    }

    fn step(&self, dir: u64, name: &[u8]) -> Step {
        let step = self.targets.look(|tree| {
            Some(match tree.items().child(inode::item(dir), name)? {
                Object::Attribute(..) => Step::File,
                object @ Object::Dir(_) => Step::Directory(inode::number(object)),
                Object::Link(link) => Step::Link(tree.items().link_body(link).ok()?),
            })
        });
        step.unwrap_or(Step::Missing)
    }

    fn parent(&self, dir: u64) -> Option<u64> {
        match inode::object(dir) {
            Object::Dir(ItemId::ROOT) => None,
            _ => Some(self.targets.parent(dir)),
        }
    }
}

/// Supplementary groups of a thread; none when it cannot be looked at.
fn groups(pid: u32) -> Vec<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
    line.split_whitespace().filter_map(|group| group.parse().ok()).collect()
}

fn refusal(failure: Failure) -> Refusal {
    match failure {
        Failure::Missing | Failure::CallerGone | Failure::NoWayOut => Refusal::TargetMissing,
        Failure::NotDirectory => Refusal::TargetNotADirectory,
        Failure::OutsideDirectory => Refusal::TargetOutside,
        Failure::Loop => Refusal::TargetLoop,
        Failure::TooLong => Refusal::TargetTooLong,
        Failure::Denied | Failure::CallerHidden => Refusal::TargetDenied,
        Failure::System(errno) => Refusal::System(Errno(errno)),
    }
}
