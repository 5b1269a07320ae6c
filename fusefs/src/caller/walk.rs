//! The walk along a path, outside with the kernel and inside in memory.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::entry::root_of;
use super::mountinfo::Mounts;
use super::names::Names;
use super::place::{self, Ident, Kind};
use super::{Failure, Inside, NAME_MAX, PATH_MAX, ROOT, Resolver, Root, Step};

/// How many links the kernel follows in one path.
const MAX_LINKS: u32 = 40;

/// `f_type` of /proc, whose links are not all text.
const PROC: u64 = 0x9fa0;

/// The inode number of the root of every /proc.
const PROC_ROOT: u64 = 1;

/// A directory on the way.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// One that is not ours.
    Outside(Arc<OwnedFd>),
    /// One of the tree, and how the mount was entered.
    Inside(u64, Gate),
}

/// Where a walk in memory meets the world outside.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// The mount's number.
    mount: u64,
    /// The directory of the tree at the root of the mount, if known.
    root: Option<u64>,
    /// The directory which holds the mount point, if the walk came from it.
    outer: Option<Arc<OwnedFd>>,
}

impl Gate {
    /// The gate of a mount that shows the whole tree.
    pub(super) fn at_root(mount: u64) -> Self {
        Self { mount, root: Some(ROOT), outer: None }
    }
}

/// One resolution.
pub(super) struct Walk<'a> {
    resolver: &'a Resolver,
    caller: u32,
    inside: &'a dyn Inside,
    /// The caller's root, once asked for.
    root: Option<Root>,
    /// The caller's mounts, once asked for.
    mounts: Option<Mounts>,
    links: u32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(resolver: &'a Resolver, caller: u32, inside: &'a dyn Inside) -> Self {
        Self { resolver, caller, inside, root: None, mounts: None, links: 0 }
    }

    /// Resolves `target` from the caller's root or current directory.
    pub(super) fn start(&mut self, target: &[u8]) -> Result<u64, Failure> {
        let from = if target.first() == Some(&b'/') { self.at_root()? } else { self.at_cwd()? };
        self.run(from, target)
    }

    /// Resolves `path` from `place`.
    pub(super) fn run(&mut self, mut place: Place, path: &[u8]) -> Result<u64, Failure> {
        let mut names = Names::new(path);
        while let Some(name) = names.next() {
            match place {
                Place::Inside(dir, _) if !self.inside.may_search(dir) => return Err(Failure::Denied),
                Place::Inside(..) | Place::Outside(_) => {}
            }
            place = match (&*name, place) {
                (b".", place) => place,
                (b"..", place) => self.up(place)?,
                (name, place) => match self.step(&place, name)? {
                    Met::Directory(next) => next,
                    Met::Link(body) => {
                        let start = if body.first() == Some(&b'/') { self.at_root()? } else { place };
                        names.insert(body);
                        start
                    }
                },
            };
        }
        match place {
            Place::Inside(ino, _) => Ok(ino),
            Place::Outside(_) => Err(Failure::OutsideDirectory),
        }
    }

    fn step(&mut self, place: &Place, name: &[u8]) -> Result<Met, Failure> {
        match place {
            Place::Outside(dir) => self.step_outside(dir, name),
            Place::Inside(..) if name.len() > NAME_MAX => Err(Failure::TooLong),
            Place::Inside(dir, gate) => match self.inside.step(*dir, name) {
                Step::Directory(ino) => Ok(Met::Directory(Place::Inside(ino, gate.clone()))),
                Step::Link(body) => self.link(body),
                Step::File => Err(Failure::NotDirectory),
                Step::Missing => Err(Failure::Missing),
            },
        }
    }

    /// One component from a directory that is not ours: even if this enters
    /// the mount, no directory of the mount is searched.
    fn step_outside(&mut self, dir: &Arc<OwnedFd>, name: &[u8]) -> Result<Met, Failure> {
        let mut fd = place::open(dir, name, OFlags::NOFOLLOW)?;
        let mut ident = Ident::of(&fd)?;
        if ident.kind == Kind::Link {
            return self.link_outside(dir, name, fd);
        }
        if ident.automount {
            // Asking for a directory is what has it mounted.
            fd = place::open(dir, name, OFlags::NOFOLLOW | OFlags::DIRECTORY)?;
            ident = Ident::of(&fd)?;
        }
        self.land(fd, ident, Some(dir)).map(Met::Directory)
    }

    /// Stands on what was opened: a directory, ours or not. `outer` is where
    /// it was found by name.
    fn land(&self, fd: OwnedFd, ident: Ident, outer: Option<&Arc<OwnedFd>>) -> Result<Place, Failure> {
        if ident.kind != Kind::Directory {
            return Err(Failure::NotDirectory);
        }
        if ident.dev != self.resolver.mount.dev {
            return Ok(Place::Outside(Arc::new(fd)));
        }
        // A name outside that leads inside is a mount point.
        let root = outer.map(|_| ident.ino);
        Ok(Place::Inside(ident.ino, Gate { mount: ident.mount, root, outer: outer.cloned() }))
    }

    /// Counts a link and checks its body.
    fn link(&mut self, body: Vec<u8>) -> Result<Met, Failure> {
        self.count_link()?;
        match body.len() {
            0 => Err(Failure::Missing),
            PATH_MAX.. => Err(Failure::TooLong),
            _ => Ok(Met::Link(body)),
        }
    }

    fn count_link(&mut self) -> Result<(), Failure> {
        self.links += 1;
        if self.links > MAX_LINKS { Err(Failure::Loop) } else { Ok(()) }
    }

    /// A link found outside, opened as `fd`.
    fn link_outside(&mut self, dir: &Arc<OwnedFd>, name: &[u8], fd: OwnedFd) -> Result<Met, Failure> {
        if u64::try_from(rustix::fs::fstatfs(&fd)?.f_type) == Ok(PROC) {
            if let Some(place) = self.jump(dir, name)? {
                return Ok(Met::Directory(place));
            }
        }
        let body = rustix::fs::readlinkat(&fd, c"", Vec::new())?;
        self.link(body.into_bytes())
    }

    /// Follows a link of /proc that is no text, or another for each reader;
    /// `None` for a plain one.
    fn jump(&mut self, dir: &Arc<OwnedFd>, name: &[u8]) -> Result<Option<Place>, Failure> {
        let whose = matches!(name, b"self" | b"thread-self") && Ident::of(dir)?.ino == PROC_ROOT;
        let fd = if whose && self.caller != 0 {
            // Read by this process it would name this process.
            let thread = self.caller.to_string();
            place::open(&self.resolver.proc, thread.as_str(), OFlags::empty()).map_err(gone)?
        } else {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let resolve = ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
            match rustix::fs::openat2(dir, name, flags, Mode::empty(), resolve) {
                Err(Errno::LOOP) => place::open(dir, name, OFlags::empty())?,
                _ => return Ok(None),
            }
        };
        self.count_link()?;
        let ident = Ident::of(&fd)?;
        self.land(fd, ident, None).map(Some)
    }

    /// `..`: not above the caller's root.
    fn up(&mut self, place: Place) -> Result<Place, Failure> {
        match place {
            Place::Outside(dir) => {
                let here = Ident::of(&dir)?;
                if self.root()?.ident.same_place(&here) {
                    return Ok(Place::Outside(dir));
                }
                let fd = place::open(&dir, c"..", OFlags::empty())?;
                let ident = Ident::of(&fd)?;
                self.land(fd, ident, None)
            }
            Place::Inside(ino, gate) => self.up_inside(ino, gate),
        }
    }

    fn up_inside(&mut self, ino: u64, mut gate: Gate) -> Result<Place, Failure> {
        let mount = self.resolver.mount.dev;
        let root = self.root()?.ident;
        if root.dev == mount && root.ino == ino && root.mount == gate.mount {
            return Ok(Place::Inside(ino, gate));
        }
        let top = match gate.root {
            Some(top) => top,
            None if ino == ROOT => ROOT,
            None => self.root_of_mount(gate.mount)?,
        };
        gate.root = Some(top);
        if ino == top {
            return self.leave(ino, gate);
        }
        let parent = self.inside.parent(ino).ok_or(Failure::Missing)?;
        Ok(Place::Inside(parent, gate))
    }

    /// `..` at the root of the mount.
    fn leave(&mut self, ino: u64, gate: Gate) -> Result<Place, Failure> {
        if let Some(outer) = gate.outer {
            return Ok(Place::Outside(outer));
        }
        let Some(bottom) = self.mounts(gate.mount)?.bottom(gate.mount).cloned() else {
            // Cut off from the caller's tree: the kernel stays, too.
            return Ok(Place::Inside(ino, gate));
        };
        let cut = bottom.point.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        if cut + 1 >= bottom.point.len() {
            return Ok(Place::Inside(ino, gate));
        }
        // The table shows paths free of links.
        let mut place = self.at_root()?;
        let mut names = Names::new(&bottom.point[..cut]);
        while let Some(name) = names.next() {
            place = match self.step(&place, &name) {
                Ok(Met::Directory(next)) => next,
                Ok(Met::Link(_)) | Err(_) => return Err(Failure::NoWayOut),
            };
        }
        // Another mount may cover the path which the table shows.
        let reached = match &place {
            Place::Outside(dir) => Ident::of(dir)?.mount,
            Place::Inside(_, gate) => gate.mount,
        };
        if reached == bottom.parent { Ok(place) } else { Err(Failure::NoWayOut) }
    }

    /// The directory of the tree which the mount with this number shows at
    /// its root: another than the tree's root for a bind mount.
    fn root_of_mount(&mut self, mount: u64) -> Result<u64, Failure> {
        let Some(path) = self.mounts(mount)?.find(mount).map(|mount| mount.root.clone()) else {
            return Ok(ROOT);
        };
        let mut dir = ROOT;
        let mut names = Names::new(&path);
        while let Some(name) = names.next() {
            match self.inside.step(dir, &name) {
                Step::Directory(next) => dir = next,
                _ => return Err(Failure::NoWayOut),
            }
        }
        Ok(dir)
    }

    /// The caller's mounts, wanted for the mount with this number.
    fn mounts(&mut self, mount: u64) -> Result<&Mounts, Failure> {
        if mount == 0 {
            return Err(Failure::NoWayOut);
        }
        if self.mounts.is_none() {
            let proc = &self.resolver.proc;
            let own = || Mounts::read(proc, "self");
            let read = match self.caller {
                0 => own(),
                caller => match Mounts::read(proc, &caller.to_string()) {
                    Err(Errno::ACCESS | Errno::PERM) => own(),
                    other => other,
                },
            };
            self.mounts = Some(read.map_err(gone)?);
        }
        self.mounts.as_ref().ok_or(Failure::NoWayOut)
    }

    /// The caller's root; that of this process where it cannot be seen.
    fn root(&mut self) -> Result<&Root, Failure> {
        if self.root.is_none() {
            self.root = Some(self.look_for_root()?);
        }
        self.root.as_ref().ok_or(Failure::CallerGone)
    }

    fn look_for_root(&self) -> Result<Root, Failure> {
        let own = &self.resolver.root;
        if self.caller == 0 {
            return Ok(own.clone());
        }
        let path = root_of(self.caller);
        match Ident::at(&self.resolver.proc, path.as_str()) {
            Ok(ident) if ident.same_place(&own.ident) => Ok(own.clone()),
            Ok(_) => place::open(&self.resolver.proc, path.as_str(), OFlags::empty())
                .and_then(Root::new)
                .map_err(gone),
            Err(Errno::ACCESS | Errno::PERM) => Ok(own.clone()),
            Err(error) => Err(gone(error)),
        }
    }

    fn at_root(&mut self) -> Result<Place, Failure> {
        let mount = self.resolver.mount.dev;
        let root = self.root()?;
        Ok(if root.ident.dev == mount {
            let gate = Gate { mount: root.ident.mount, root: None, outer: None };
            Place::Inside(root.ident.ino, gate)
        } else {
            Place::Outside(Arc::clone(&root.fd))
        })
    }

    fn at_cwd(&self) -> Result<Place, Failure> {
        if self.caller == 0 {
            return Err(Failure::CallerHidden);
        }
        let hidden = |error| match error {
            Errno::ACCESS | Errno::PERM => Failure::CallerHidden,
            other => gone(other),
        };
        let proc = &self.resolver.proc;
        let path = format!("{}/cwd", self.caller);
        let (ident, unique) = place::at_unique(proc, path.as_str()).map_err(hidden)?;
        let mount = &self.resolver.mount;
        match (mount.numbers, unique) {
            // The usual case: nothing more to ask.
            (Some((own, number)), Some(unique)) if ident.dev == mount.dev && own == unique => {
                Ok(Place::Inside(ident.ino, Gate::at_root(number)))
            }
            _ => {
                let fd = place::open(proc, path.as_str(), OFlags::empty()).map_err(hidden)?;
                let ident = Ident::of(&fd)?;
                self.land(fd, ident, None)
            }
        }
    }
}

/// A directory, or a link yet to be followed.
enum Met {
    Directory(Place),
    Link(Vec<u8>),
}

/// A file of /proc that is not there: so is the thread.
fn gone(error: Errno) -> Failure {
    match error {
        Errno::NOENT | Errno::SRCH => Failure::CallerGone,
        other => other.into(),
    }
}
