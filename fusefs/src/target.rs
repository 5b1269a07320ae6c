//! Targets of symlinks: from the caller's path to an object of the tree.

use std::cell::OnceCell;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use uo2cb_core::tree::{Meta, Object, Tree};
use uo2cb_core::{Caller, Errno, ItemId, Refusal, View, printable};

use crate::caller::{Failure, Inside, Resolver, Rights, Step, Unresolved};
use crate::inode;
use crate::offload::{Limits, NoResult, Offload};
use crate::service::Service;

/// How long a target outside the tree may take. Callers in the kernel wait as long as it takes.
const LIMITS: Limits = Limits { wait: Duration::from_secs(5), each: 8, all: 32 };

/// Resolves targets for one mount.
pub(crate) struct Targets {
    view: View,
    service: Arc<dyn Service>,
    /// Known once the view is mounted.
    pub(crate) resolver: OnceLock<Resolver>,
    elsewhere: Offload<Result<u64, Unresolved>>,
}

impl Targets {
    pub(crate) fn new(view: View, service: Arc<dyn Service>) -> Self {
        let threads = Arc::clone(&service);
        let elsewhere = Offload::new(LIMITS, Box::new(move |name, body| threads.thread(name, body)));
        Self { view, service, resolver: OnceLock::new(), elsewhere }
    }

    /// Hands what the caller's path leads to to `done`: at once if no other file system has to be asked, else on
    /// another thread. Or what to refuse, and what to say of it.
    pub(crate) fn resolve(
        self: &Arc<Self>,
        caller: Caller,
        target: &[u8],
        done: impl FnOnce(Result<Object, (Refusal, String)>) + Send + 'static,
    ) {
        let Some(resolver) = self.resolver.get() else {
            return done(Err((Refusal::CallerHidden, "not mounted yet".into())));
        };
        if let Some(result) = resolver.within(caller, target, &Way::new(self, caller)) {
            return done(self.conclude(caller, target, Ok(result)));
        }
        let (here, there) = (Arc::clone(self), Arc::clone(self));
        let (target, path) = (target.to_vec(), target.to_vec());
        let work = move || match there.resolver.get() {
            Some(resolver) => resolver.everywhere(caller, &path, &Way::new(&there, caller)),
            None => Err(Unresolved { failure: Failure::Denied, component: Vec::new() }),
        };
        let finish = move |result| done(here.conclude(caller, &target, result));
        self.elsewhere.start(caller.uid, Box::new(work), Box::new(finish));
    }

    fn conclude(
        &self,
        caller: Caller,
        target: &[u8],
        result: Result<Result<u64, Unresolved>, NoResult>,
    ) -> Result<Object, (Refusal, String)> {
        let (refusal, component, cause) = match result {
            Ok(Ok(ino)) => return Ok(inode::object(ino)),
            Ok(Err(Unresolved { failure, component })) => (refusal(failure), component, cause(failure)),
            Err(NoResult::TooLong) => {
                let seconds = LIMITS.wait.as_secs();
                let cause = format!(
                    "a file system on the way has not answered within {seconds} seconds, or less while others hang"
                );
                (Refusal::System(Errno(libc::ETIMEDOUT)), Vec::new(), Some(cause))
            }
            Err(NoResult::TooMany) => {
                let cause = "too many targets wait for file systems that do not answer".into();
                (Refusal::System(Errno(libc::EAGAIN)), Vec::new(), Some(cause))
            }
            Err(NoResult::Failed) => {
                (Refusal::System(Errno::EIO), Vec::new(), Some("looking for it broke off".into()))
            }
        };
        let mut detail = format!("target \"{}\"", printable(target));
        if target.first() != Some(&b'/') {
            detail += " from the caller's current directory";
            if let Some(dir) = self.resolver.get().and_then(|resolver| resolver.current_directory(caller)) {
                detail += &format!(" {}", printable(dir.as_os_str().as_bytes()));
            }
        }
        if !component.is_empty() {
            detail += &format!(", at \"{}\"", printable(&component));
        }
        if let Some(cause) = cause {
            detail += &format!(": {cause}");
        }
        Err((refusal, detail))
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
    /// What only few questions need.
    rights: OnceCell<Option<Rights>>,
}

impl<'a> Way<'a> {
    fn new(targets: &'a Targets, caller: Caller) -> Self {
        Self { targets, caller, rights: OnceCell::new() }
    }

    fn rights(&self) -> Option<&Rights> {
        let rights = || Some(self.targets.resolver.get()?.rights(self.caller));
        self.rights.get_or_init(rights).as_ref()
    }

    /// The kernel's rule for searching a directory: one of the three classes decides, or a capability.
    fn searches(&self, meta: &Meta) -> bool {
        let Caller { uid, gid, .. } = self.caller;
        let (mode, owner) = (meta.mode, meta.owner);
        let (group, other) = (mode & 0o010 != 0, mode & 0o001 != 0);
        let by_class = if uid == owner.uid {
            mode & 0o100 != 0
        } else {
            // The other groups of the caller are asked for only where they make a difference.
            let has_group =
                || gid == owner.gid || self.rights().is_some_and(|rights| rights.has_group(owner.gid));
            if group != other && has_group() { group } else { other }
        };
        by_class || self.rights().is_some_and(Rights::search_anything)
    }
}

impl Inside for Way<'_> {
    fn may_search(&self, dir: u64) -> bool {
        let meta = self.targets.look(|tree| Some(tree.attr(inode::object(dir)).ok()?.meta));
        // One that has been removed, such as a current directory, is not there, whoever asks.
        meta.is_none_or(|meta| self.searches(&meta))
    }

    fn step(&self, dir: u64, name: &[u8]) -> Step {
        let found = self.targets.look(|tree| {
            let meta = tree.attr(inode::object(dir)).ok()?.meta;
            let step = match tree.items().child(inode::item(dir), name) {
                None => Step::Missing,
                Some(Object::Attribute(..)) => Step::File,
                Some(object @ Object::Dir(_)) => Step::Directory(inode::number(object)),
                Some(Object::Link(link)) => Step::Link(tree.items().link_body(link).ok()?),
            };
            Some((meta, step))
        });
        match found {
            None => Step::Missing,
            Some((meta, _)) if !self.searches(&meta) => Step::Denied,
            Some((_, step)) => step,
        }
    }

    fn parent(&self, dir: u64) -> Option<u64> {
        match inode::object(dir) {
            Object::Dir(ItemId::ROOT) => None,
            _ => Some(self.targets.parent(dir)),
        }
    }
}

/// What the refusal does not say.
fn cause(failure: Failure) -> Option<String> {
    match failure {
        Failure::Missing
        | Failure::NotDirectory
        | Failure::OutsideDirectory
        | Failure::Loop
        | Failure::TooLong
        | Failure::Denied => None,
        Failure::CallerGone
        | Failure::CallerHidden
        | Failure::CallerOutside
        | Failure::ForeignProc
        | Failure::NoWayOut
        | Failure::System(_) => Some(failure.to_string()),
    }
}

fn refusal(failure: Failure) -> Refusal {
    match failure {
        Failure::Missing | Failure::CallerGone | Failure::NoWayOut => Refusal::TargetMissing,
        Failure::NotDirectory => Refusal::TargetNotADirectory,
        Failure::OutsideDirectory => Refusal::TargetOutside,
        Failure::Loop => Refusal::TargetLoop,
        Failure::TooLong => Refusal::TargetTooLong,
        Failure::Denied => Refusal::TargetDenied,
        Failure::CallerHidden | Failure::CallerOutside | Failure::ForeignProc => Refusal::CallerHidden,
        Failure::System(errno) => Refusal::System(Errno(errno)),
    }
}
