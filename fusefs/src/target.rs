//! Targets of symlinks: from the caller's path to an object of the tree.

use std::sync::{Arc, OnceLock};

use uo2cb_core::tree::{Answer, Object, Op};
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
    pub(crate) fn resolve(&self, pid: u32, target: &[u8]) -> Result<Object, Refusal> {
        let resolver = self.resolver.get().ok_or(Refusal::TargetDenied)?;
        resolver.resolve(pid, target, self).map(inode::object).map_err(refusal)
    }

    /// The directory above; the root is its own, as in the kernel's listing of a mount.
    pub(crate) fn parent(&self, ino: u64) -> u64 {
        Inside::parent(self, ino).unwrap_or(ino)
    }

    /// Calls that look are answered at once.
    fn look(&self, op: Op<'_>) -> Option<Answer> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let respond = Box::new(move |result: Result<Answer, Refusal>| {
            // The receiver is there: it is waited for below.
            let _ = sender.send(result.ok());
        });
        self.service.call(self.view, Caller::default(), op, respond);
        receiver.try_recv().ok().flatten()
    }

    fn look_up(&self, dir: u64, name: &[u8]) -> Option<Object> {
        match self.look(Op::Lookup { dir: inode::item(dir), name })? {
            Answer::Attr(attr) => Some(attr.object),
            Answer::Done | Answer::Entries(_) | Answer::Text(_) | Answer::Stored(_) => None,
        }
    }
}

impl Inside for Targets {
    fn step(&self, dir: u64, name: &[u8]) -> Step {
        match self.look_up(dir, name) {
            None => Step::Missing,
            Some(Object::Attribute(..)) => Step::File,
            Some(object @ Object::Dir(_)) => Step::Directory(inode::number(object)),
            Some(Object::Link(link)) => match self.look(Op::Readlink(link)) {
                Some(Answer::Text(body)) => Step::Link(body),
                _ => Step::Missing,
            },
        }
    }

    fn parent(&self, dir: u64) -> Option<u64> {
        if inode::object(dir) == Object::Dir(ItemId::ROOT) {
            return None;
        }
        self.look_up(dir, b"..").map(inode::number)
    }
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
