//! The walk along a path: outside the tree with the kernel, inside it in memory.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::dir::{Dir, Through};
use super::look::{self, Ident, Kind};
use super::mountinfo::Mounts;
use super::names::Names;
use super::procfs::{PROC, is_gone};
use super::rights::{Whose, open_to_all};
use super::{Failure, Inside, NAME_MAX, PATH_MAX, ROOT, Resolver, Root, Step, root_of};

/// How many links the kernel follows in one path.
const MAX_LINKS: u32 = 40;

/// The inode number of the root of every /proc.
const PROC_ROOT: u64 = 1;

/// Where a walk may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    /// The tree only: nothing is asked that could take its time.
    Tree,
    /// Everywhere, with these rights.
    Everywhere(Whose),
}

/// Why a walk stops short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The target is not to be had.
    Failure(Failure),
    /// The path leaves the bounds.
    OutOfBounds,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Failure(errno.into())
    }
}

/// One resolution.
pub(super) struct Walk<'a> {
    resolver: &'a Resolver,
    /// The caller's thread; 0 where it cannot be looked at.
    caller: u32,
    inside: &'a dyn Inside,
    bounds: Bounds,
    /// The caller's root, once asked for.
    root: Option<Root>,
    /// The caller's mounts, once asked for.
    mounts: Option<Mounts>,
    links: u32,
    /// The component that is being looked up.
    component: Vec<u8>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(resolver: &'a Resolver, caller: u32, inside: &'a dyn Inside) -> Self {
        let (bounds, component) = (Bounds::Tree, Vec::new());
        Self { resolver, caller, inside, bounds, root: None, mounts: None, links: 0, component }
    }

    /// The component at which the walk has stopped; empty: at none.
    pub(super) fn component(self) -> Vec<u8> {
        self.component
    }

    /// Lets it go everywhere. What is needed of the caller is looked up before `rights` gives this thread others.
    pub(super) fn everywhere(&mut self, absolute: bool, rights: impl FnOnce() -> Whose) -> Result<Dir, Stop> {
        self.bounds = Bounds::Everywhere(Whose::Thread);
        self.root()?;
        let start = if absolute { self.at_root()? } else { self.at_cwd()? };
        self.bounds = Bounds::Everywhere(rights());
        Ok(start)
    }

    /// Resolves `target` from the caller's root or current directory.
    pub(super) fn start(&mut self, target: &[u8]) -> Result<u64, Stop> {
        let from = if target.first() == Some(&b'/') { self.at_root()? } else { self.at_cwd()? };
        self.run(from, target)
    }

    /// Resolves `path` from `dir`.
    pub(super) fn run(&mut self, mut dir: Dir, path: &[u8]) -> Result<u64, Stop> {
        let mut names = Names::new(path);
        while let Some(name) = names.next() {
            let step = self.advance(dir.clone(), &name);
            dir = match step {
                Ok(Met::Directory(next)) => next,
                Ok(Met::Link(body)) => {
                    let start = if body.first() == Some(&b'/') { self.at_root()? } else { dir };
                    names.insert(body);
                    start
                }
                Err(stop) => {
                    self.component = name.into_owned();
                    return Err(stop);
                }
            };
        }
        match dir {
            Dir::Inside(ino, _) => Ok(ino),
            Dir::Outside(_) => Err(Failure::OutsideDirectory.into()),
        }
    }

    fn advance(&mut self, dir: Dir, name: &[u8]) -> Result<Met, Stop> {
        match name {
            b"." | b".." => {
                self.search(&dir)?;
                let next = if name == b"." { dir } else { self.up(dir)? };
                Ok(Met::Directory(next))
            }
            name => self.step(&dir, name),
        }
    }

    /// Whether the caller may look up anything in a directory; [`step`](Self::step) sees to that by itself.
    fn search(&self, dir: &Dir) -> Result<(), Stop> {
        match dir {
            Dir::Inside(dir, _) if self.inside.may_search(*dir) => Ok(()),
            Dir::Inside(..) => Err(Failure::Denied.into()),
            Dir::Outside(dir) => {
                self.may_go_through(dir)?;
                look::open(dir, c".", OFlags::empty())?;
                Ok(())
            }
        }
    }

    /// Before every look into a directory of another file system: the kernel checks the rights of this thread.
    fn may_go_through(&self, dir: &Arc<OwnedFd>) -> Result<(), Stop> {
        match self.bounds {
            Bounds::Tree => Err(Stop::OutOfBounds),
            Bounds::Everywhere(Whose::Anybody) if !open_to_all(dir) => Err(Failure::Denied.into()),
            Bounds::Everywhere(_) => Ok(()),
        }
    }

    fn step(&mut self, dir: &Dir, name: &[u8]) -> Result<Met, Stop> {
        match dir {
            Dir::Outside(dir) => self.step_outside(dir, name),
            Dir::Inside(..) if name.len() > NAME_MAX => Err(Failure::TooLong.into()),
            Dir::Inside(dir, through) => match self.inside.step(*dir, name) {
                Step::Directory(ino) => Ok(Met::Directory(Dir::Inside(ino, through.clone()))),
                Step::Link(body) => self.link(body),
                Step::File => Err(Failure::NotDirectory.into()),
                Step::Missing => Err(Failure::Missing.into()),
                Step::Denied => Err(Failure::Denied.into()),
            },
        }
    }

    /// One component from a directory that is not ours: even if this enters
    /// the mount, no directory of the mount is searched.
    fn step_outside(&mut self, dir: &Arc<OwnedFd>, name: &[u8]) -> Result<Met, Stop> {
        self.may_go_through(dir)?;
        let mut fd = look::open(dir, name, OFlags::NOFOLLOW)?;
        let mut ident = Ident::of(&fd)?;
        if ident.kind == Kind::Link {
            return self.link_outside(dir, name, fd);
        }
        if ident.automount {
            // Asking for a directory is what has it mounted.
            fd = look::open(dir, name, OFlags::NOFOLLOW | OFlags::DIRECTORY)?;
            ident = Ident::of(&fd)?;
        }
        self.land(fd, ident, Some(dir)).map(Met::Directory)
    }

    /// Stands on what was opened: a directory, ours or not. `outer` is where
    /// it was found by name.
    fn land(&self, fd: OwnedFd, ident: Ident, outer: Option<&Arc<OwnedFd>>) -> Result<Dir, Stop> {
        if ident.kind != Kind::Directory {
            return Err(Failure::NotDirectory.into());
        }
        if ident.dev != self.resolver.mount.dev {
            return Ok(Dir::Outside(Arc::new(fd)));
        }
        // A name outside that leads inside is a mount point.
        let root = outer.map(|_| ident.ino);
        Ok(Dir::Inside(ident.ino, Through { mount: ident.mount, root, outer: outer.cloned() }))
    }

    /// Counts a link and checks its body.
    fn link(&mut self, body: Vec<u8>) -> Result<Met, Stop> {
        self.count_link()?;
        match body.len() {
            0 => Err(Failure::Missing.into()),
            PATH_MAX.. => Err(Failure::TooLong.into()),
            _ => Ok(Met::Link(body)),
        }
    }

    fn count_link(&mut self) -> Result<(), Stop> {
        self.links += 1;
        if self.links > MAX_LINKS { Err(Failure::Loop.into()) } else { Ok(()) }
    }

    /// A link found outside, opened as `fd`.
    fn link_outside(&mut self, dir: &Arc<OwnedFd>, name: &[u8], fd: OwnedFd) -> Result<Met, Stop> {
        if u64::try_from(rustix::fs::fstatfs(&fd)?.f_type) == Ok(PROC) {
            if let Some(dir) = self.proc_link(dir, name)? {
                return Ok(Met::Directory(dir));
            }
        }
        let body = rustix::fs::readlinkat(&fd, c"", Vec::new())?;
        self.link(body.into_bytes())
    }

    /// Follows a link of /proc that is no text, or another for each reader;
    /// `None` for a plain one.
    fn proc_link(&mut self, dir: &Arc<OwnedFd>, name: &[u8]) -> Result<Option<Dir>, Stop> {
        let whose = matches!(name, b"self" | b"thread-self") && Ident::of(dir)?.ino == PROC_ROOT;
        let fd = if whose {
            // Read by this process it would name this process.
            if self.caller == 0 {
                return Err(self.resolver.hidden().into());
            }
            let thread = self.caller.to_string();
            look::open(&self.resolver.proc, thread.as_str(), OFlags::empty())
                .map_err(|errno| self.of_caller(errno))?
        } else {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let resolve = ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
            match rustix::fs::openat2(dir, name, flags, Mode::empty(), resolve) {
                // The kernel would ask whether the caller may look into that process.
                Err(Errno::LOOP) if self.bounds == Bounds::Everywhere(Whose::Anybody) => {
                    return Err(Failure::Denied.into());
                }
                Err(Errno::LOOP) => look::open(dir, name, OFlags::empty())?,
                _ => return Ok(None),
            }
        };
        self.count_link()?;
        let ident = Ident::of(&fd)?;
        self.land(fd, ident, None).map(Some)
    }

    /// `..`: not above the caller's root.
    fn up(&mut self, dir: Dir) -> Result<Dir, Stop> {
        match dir {
            Dir::Outside(dir) => {
                let here = Ident::of(&dir)?;
                if self.root()?.ident.same(&here) {
                    return Ok(Dir::Outside(dir));
                }
                let fd = look::open(&dir, c"..", OFlags::empty())?;
                let ident = Ident::of(&fd)?;
                self.land(fd, ident, None)
            }
            Dir::Inside(ino, through) => self.up_inside(ino, through),
        }
    }

    fn up_inside(&mut self, ino: u64, mut through: Through) -> Result<Dir, Stop> {
        let mount = self.resolver.mount.dev;
        let root = self.root()?.ident;
        if root.dev == mount && root.ino == ino && root.mount == through.mount {
            return Ok(Dir::Inside(ino, through));
        }
        let top = match through.root {
            Some(top) => top,
            None if ino == ROOT => ROOT,
            None if self.bounds == Bounds::Tree => return Err(Stop::OutOfBounds),
            None => self.root_of_mount(through.mount)?,
        };
        through.root = Some(top);
        if ino == top {
            return self.leave(ino, through);
        }
        let parent = self.inside.parent(ino).ok_or(Failure::Missing)?;
        Ok(Dir::Inside(parent, through))
    }

    /// `..` at the root of the mount.
    fn leave(&mut self, ino: u64, through: Through) -> Result<Dir, Stop> {
        if self.bounds == Bounds::Tree {
            return Err(Stop::OutOfBounds);
        }
        if let Some(outer) = through.outer {
            return Ok(Dir::Outside(outer));
        }
        let Some(bottom) = self.mounts(through.mount)?.bottom(through.mount).cloned() else {
            // Cut off from the caller's tree: the kernel stays, too.
            return Ok(Dir::Inside(ino, through));
        };
        let cut = bottom.point.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        if cut + 1 >= bottom.point.len() {
            return Ok(Dir::Inside(ino, through));
        }
        // The table shows paths free of links.
        let mut dir = self.at_root()?;
        let mut names = Names::new(&bottom.point[..cut]);
        while let Some(name) = names.next() {
            dir = match self.step(&dir, &name) {
                Ok(Met::Directory(next)) => next,
                Ok(Met::Link(_)) | Err(_) => return Err(Failure::NoWayOut.into()),
            };
        }
        // Another mount may cover the path which the table shows.
        let reached = match &dir {
            Dir::Outside(dir) => Ident::of(dir)?.mount,
            Dir::Inside(_, through) => through.mount,
        };
        if reached == bottom.parent { Ok(dir) } else { Err(Failure::NoWayOut.into()) }
    }

    /// The directory of the tree which the mount with this number shows at
    /// its root: another than the tree's root for a bind mount.
    fn root_of_mount(&mut self, mount: u64) -> Result<u64, Stop> {
        let Some(path) = self.mounts(mount)?.find(mount).map(|mount| mount.root.clone()) else {
            return Ok(ROOT);
        };
        let mut dir = ROOT;
        let mut names = Names::new(&path);
        while let Some(name) = names.next() {
            match self.inside.step(dir, &name) {
                Step::Directory(next) => dir = next,
                _ => return Err(Failure::NoWayOut.into()),
            }
        }
        Ok(dir)
    }

    /// The caller's mounts, wanted for the mount with this number.
    fn mounts(&mut self, mount: u64) -> Result<&Mounts, Stop> {
        if mount == 0 {
            return Err(Failure::NoWayOut.into());
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
            self.mounts = Some(read.map_err(|errno| self.of_caller(errno))?);
        }
        self.mounts.as_ref().ok_or(Failure::NoWayOut.into())
    }

    /// The caller's root; that of this process where it cannot be seen.
    fn root(&mut self) -> Result<&Root, Stop> {
        if self.root.is_none() {
            self.root = Some(self.look_for_root()?);
        }
        self.root.as_ref().ok_or(Failure::CallerGone.into())
    }

    fn look_for_root(&self) -> Result<Root, Stop> {
        let own = &self.resolver.root;
        if self.caller == 0 {
            return Ok(own.clone());
        }
        let (proc, path) = (&self.resolver.proc, root_of(self.caller));
        let root = match Ident::at(proc, path.as_str()) {
            Ok(ident) if ident.same(&own.ident) => Ok(own.clone()),
            Ok(_) => look::open(proc, path.as_str(), OFlags::empty()).and_then(Root::new),
            Err(Errno::ACCESS | Errno::PERM) => Ok(own.clone()),
            Err(error) => Err(error),
        };
        root.map_err(|errno| self.of_caller(errno).into())
    }

    fn at_root(&mut self) -> Result<Dir, Stop> {
        let mount = self.resolver.mount.dev;
        let root = self.root()?;
        Ok(if root.ident.dev == mount {
            let through = Through { mount: root.ident.mount, root: None, outer: None };
            Dir::Inside(root.ident.ino, through)
        } else {
            Dir::Outside(Arc::clone(&root.fd))
        })
    }

    fn at_cwd(&self) -> Result<Dir, Stop> {
        if self.caller == 0 {
            return Err(self.resolver.hidden().into());
        }
        let (proc, path) = (&self.resolver.proc, format!("{}/cwd", self.caller));
        let of_caller = |errno| self.of_caller(errno);
        let (ident, unique) = look::at_unique(proc, path.as_str()).map_err(of_caller)?;
        let mount = &self.resolver.mount;
        match (mount.numbers, unique) {
            _ if ident.dev != mount.dev && self.bounds == Bounds::Tree => Err(Stop::OutOfBounds),
            // The usual case: nothing more to ask.
            (Some((own, number)), Some(unique)) if ident.dev == mount.dev && own == unique => {
                Ok(Dir::Inside(ident.ino, Through::whole(number)))
            }
            _ => {
                let fd = look::open(proc, path.as_str(), OFlags::empty()).map_err(of_caller)?;
                let ident = Ident::of(&fd)?;
                self.land(fd, ident, None)
            }
        }
    }

    /// What it means that the caller's files in /proc cannot be had. That they do not show is not yet the
    /// caller's end: /proc can hide them.
    fn of_caller(&self, errno: Errno) -> Failure {
        match errno {
            Errno::NOENT | Errno::SRCH if is_gone(self.caller) => Failure::CallerGone,
            Errno::NOENT | Errno::SRCH | Errno::ACCESS | Errno::PERM => Failure::CallerHidden,
            other => other.into(),
        }
    }
}

/// A directory, or a link yet to be followed.
enum Met {
    Directory(Dir),
    Link(Vec<u8>),
}
