//! The trees in process, by path from their root. No mount is needed or touched.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crossbeam_channel::bounded;
use uo2cb_core::tree::{Answer, Attr, FileType, Items, NoTarget, Object, Op};
use uo2cb_core::{Caller, ItemId, Name, Refusal, View};

use super::monitor::Monitor;

/// An entry of a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// Its name; bytes that are not UTF-8 are escaped.
    pub name: String,
    /// Directory?
    pub is_dir: bool,
    /// Symbolic link?
    pub is_link: bool,
}

/// One of a node's trees. Paths are relative to its root (a leading `/` means the same) and may lead through
/// links. Every call gives what the system call would give on a mounted tree, and returns when that would.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    monitor: &'a Monitor,
    view: View,
}

impl<'a> Tree<'a> {
    pub(crate) fn new(monitor: &'a Monitor, view: View) -> Self {
        Self { monitor, view }
    }

    /// mkdir(2).
    pub fn mkdir(&self, path: impl AsRef<Path>) -> Result<(), Refusal> {
        let (dir, name) = self.entry(path.as_ref())?;
        self.call(Op::Mkdir { dir, name }).map(drop)
    }

    /// rmdir(2).
    pub fn rmdir(&self, path: impl AsRef<Path>) -> Result<(), Refusal> {
        let (dir, name) = self.entry(path.as_ref())?;
        self.call(Op::Rmdir { dir, name }).map(drop)
    }

    /// symlink(2): `link` will point at `target`. Returns when every consumer has been told.
    pub fn symlink(&self, target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<(), Refusal> {
        let (dir, name) = self.entry(link.as_ref())?;
        let target = self.find(target.as_ref(), true);
        let target = target.map_err(|refusal| match refusal {
            Refusal::NoSuchEntry | Refusal::Gone => Refusal::TargetMissing,
            Refusal::NotADirectory => Refusal::TargetNotADirectory,
            other => other,
        });
        self.call(Op::Symlink { dir, name, target: target.map_err(NoTarget::from) }).map(drop)
    }

    /// unlink(2). Returns when every consumer has been told.
    pub fn unlink(&self, path: impl AsRef<Path>) -> Result<(), Refusal> {
        let (dir, name) = self.entry(path.as_ref())?;
        self.call(Op::Unlink { dir, name }).map(drop)
    }

    /// Text of an attribute.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<String, Refusal> {
        let (item, attribute) = self.attribute(path.as_ref())?;
        self.call(Op::Open { item, attribute, read: true, write: false })?;
        match self.call(Op::Show { item, attribute })? {
            Answer::Text(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            _ => Ok(String::new()),
        }
    }

    /// One write(2) to an attribute; gives how many bytes were taken, at most 4095.
    pub fn write(&self, path: impl AsRef<Path>, data: impl AsRef<[u8]>) -> Result<usize, Refusal> {
        let (item, attribute) = self.attribute(path.as_ref())?;
        self.call(Op::Open { item, attribute, read: false, write: true })?;
        match self.call(Op::Store { item, attribute, data: data.as_ref() })? {
            Answer::Stored(length) => Ok(length),
            _ => Ok(0),
        }
    }

    /// Entries of a directory: newest first, then the attributes.
    pub fn list(&self, path: impl AsRef<Path>) -> Result<Vec<Entry>, Refusal> {
        let Object::Dir(dir) = self.find(path.as_ref(), true)? else { return Err(Refusal::NotADirectory) };
        let Answer::Entries(entries) = self.call(Op::List(dir))? else { return Ok(Vec::new()) };
        let entry = |entry: uo2cb_core::tree::DirEntry| Entry {
            name: uo2cb_core::printable(&entry.name),
            is_dir: entry.object.file_type() == FileType::Directory,
            is_link: entry.object.file_type() == FileType::Symlink,
        };
        Ok(entries.into_iter().map(entry).collect())
    }

    /// readlink(2).
    pub fn readlink(&self, path: impl AsRef<Path>) -> Result<String, Refusal> {
        let Object::Link(link) = self.find(path.as_ref(), false)? else { return Err(Refusal::NotALink) };
        match self.call(Op::Readlink(link))? {
            Answer::Text(body) => Ok(String::from_utf8_lossy(&body).into_owned()),
            _ => Ok(String::new()),
        }
    }

    /// lstat(2).
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Attr, Refusal> {
        match self.call(Op::Stat(self.find(path.as_ref(), false)?))? {
            Answer::Attr(attr) => Ok(attr),
            _ => Err(Refusal::Gone),
        }
    }

    fn call(&self, op: Op<'_>) -> Result<Answer, Refusal> {
        let (respond, answer) = bounded(1);
        let respond = Box::new(move |result| {
            let _ = respond.send(result);
        });
        self.monitor.request(None, self.view, caller(), op, respond);
        answer.recv().unwrap_or(Err(Refusal::ShuttingDown))
    }

    fn attribute(&self, path: &Path) -> Result<(ItemId, u8), Refusal> {
        match self.find(path, true)? {
            Object::Attribute(item, attribute) => Ok((item, attribute)),
            Object::Dir(_) | Object::Link(_) => Err(Refusal::IsADirectory),
        }
    }

    /// Directory and name of the last component.
    fn entry<'p>(&self, path: &'p Path) -> Result<(ItemId, &'p [u8]), Refusal> {
        let path = trimmed(path);
        let split = path.iter().rposition(|byte| *byte == b'/');
        let (parent, name) = split.map_or((&path[..0], path), |at| (&path[..at], &path[at + 1..]));
        match self.walk(parent, true)? {
            Object::Dir(dir) => Ok((dir, name)),
            Object::Attribute(..) | Object::Link(_) => Err(Refusal::NotADirectory),
        }
    }

    fn find(&self, path: &Path, follow: bool) -> Result<Object, Refusal> {
        self.walk(trimmed(path), follow)
    }

    fn walk(&self, path: &[u8], follow: bool) -> Result<Object, Refusal> {
        self.monitor.read(|engine| {
            let items = engine.tree(self.view).items();
            let mut at = Object::Dir(ItemId::ROOT);
            let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).peekable();
            while let Some(name) = names.next() {
                let Object::Dir(dir) = at else { return Err(Refusal::NotADirectory) };
                at = step(items, dir, name)?;
                if let (Object::Link(link), true) = (at, follow || names.peek().is_some()) {
                    at = Object::Dir(items.target(link).ok_or(Refusal::Gone)?);
                }
            }
            Ok(at)
        })
    }
}

fn step(items: &Items, dir: ItemId, name: &[u8]) -> Result<Object, Refusal> {
    match name {
        b"." => Ok(Object::Dir(dir)),
        b".." => Ok(Object::Dir(items.parent(dir).unwrap_or(dir))),
        _ if name.len() > Name::MAX => Err(Refusal::NameTooLong),
        _ => items.child(dir, name).ok_or(Refusal::NoSuchEntry),
    }
}

/// Without slashes at either end.
fn trimmed(path: &Path) -> &[u8] {
    let mut path = path.as_os_str().as_bytes();
    while let Some(rest) = path.strip_prefix(b"/") {
        path = rest;
    }
    while let Some(rest) = path.strip_suffix(b"/") {
        path = rest;
    }
    path
}

/// The calling thread as a caller.
fn caller() -> Caller {
    Caller {
        pid: rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs(),
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    }
}
