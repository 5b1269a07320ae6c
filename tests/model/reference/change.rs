//! What calls change in the reference.

use std::collections::BTreeMap;
use std::time::Duration;

use uo2cb_core::Errno;
use uo2cb_core::heartbeat::Edge;

use super::{Entry, Kind, Opening, Pending, Reference, Res, What, join};
use crate::call::{Call, Output, Replied, Resolution, Target, TreeCall, WALL};

impl Reference {
    pub(super) fn insert(&mut self, path: &str, what: What) {
        self.age += 1;
        let entry = Entry { age: self.age, what, texts: BTreeMap::new() };
        self.entries.insert(path.to_owned(), entry);
    }

    pub(super) fn set_text(&mut self, dir: &str, name: &'static str, text: String) {
        if let Some(entry) = self.entries.get_mut(dir) {
            entry.texts.insert(name, text);
        }
    }

    pub(super) fn remove(&mut self, path: &str) {
        let below = format!("{path}/");
        self.entries.retain(|other, _| other != path && !other.starts_with(&below));
        self.modes.retain(|other, _| other != path && !other.starts_with(&below));
        if self.starting.as_ref().is_some_and(|(node, _)| node == path) {
            self.starting = None;
        }
        if self.local.as_deref() == Some(path) {
            self.local = None;
            self.out.push(Output::StopListening);
        }
        for opening in self.opening.iter_mut().filter(|opening| opening.dir.as_deref() == Some(path)) {
            opening.dir = None;
        }
        if self.pinned.remove(path) || self.users > 0 {
            self.pin_all();
        }
    }

    /// Carries out a call; gives all that it brings, in order.
    pub(crate) fn apply(&mut self, now: Duration, call: &Call) -> Vec<Output> {
        match call {
            Call::Tree { request, tree_call } => {
                let before = self.next_event;
                let answer = if self.stopped {
                    Some(Err(Errno::EIO))
                } else {
                    self.tree_call(now, *request, tree_call)
                };
                if let Some(answer) = answer {
                    if let (Err(errno), Some((call, path, value))) = (&answer, self.described(tree_call)) {
                        self.out.push(Output::Refused { call, path, value, errno: *errno });
                    }
                    self.answer(before, *request, answer);
                }
            }
            Call::Resolve(request, Resolution::Cancel) => self.cancel(*request),
            Call::Resolve(request, Resolution::Listening(errno)) => {
                if let Some((node, asked)) = self.starting.clone() {
                    if asked == *request {
                        self.starting = None;
                        self.local = if errno.is_none() { Some(node) } else { None };
                    }
                }
                self.finish(*request, *errno);
            }
            Call::Resolve(request, Resolution::Device(errno)) => {
                self.opening.retain(|opening| opening.request != *request);
                if errno.is_none() {
                    self.out.push(Output::CloseDisk(*request));
                }
                self.finish(*request, errno.or(Some(Errno::EINVAL)));
            }
            Call::Subscribe { request, consumer, subscription } => {
                self.subscribe(*request, *consumer, subscription)
            }
            Call::Unsubscribe(consumer) => self.unsubscribe(*consumer),
            Call::Delivered { consumer, event } => {
                if self.queue.first().is_some_and(|first| first.number == *event) {
                    self.told(*consumer);
                }
            }
            Call::Tick => {}
            Call::Shutdown => self.shut_down(),
        }
        self.pump(now);
        std::mem::take(&mut self.out)
    }

    pub(super) fn reply(&mut self, request: u64, answer: Res<Replied>) {
        self.out.push(Output::Reply(request, answer));
    }

    pub(super) fn answer(&mut self, before: u64, request: u64, answer: Res<Replied>) {
        if self.next_event > before {
            self.held.push((self.next_event, request, answer));
        } else {
            self.reply(request, answer);
        }
    }

    pub(super) fn described(&self, tree_call: &TreeCall) -> Option<(&'static str, String, Option<Vec<u8>>)> {
        Some(match tree_call {
            TreeCall::Mkdir { dir, name } => ("mkdir", join(dir, name), None),
            TreeCall::Rmdir { dir, name } => ("rmdir", join(dir, name), None),
            TreeCall::Unlink { dir, name } => ("unlink", join(dir, name), None),
            TreeCall::Symlink { dir, name, target } => ("symlink", join(dir, name), target.path()),
            TreeCall::Store { dir, attribute, value } => ("store", join(dir, attribute), Some(value.clone())),
            TreeCall::Open { dir, attribute, .. } => ("open", join(dir, attribute), None),
            TreeCall::Chmod { path, .. } => ("change of attributes", path.clone(), None),
            TreeCall::Forbidden { dir, name, call } => (crate::call::word(*call), join(dir, name), None),
            TreeCall::ListRemoved { .. } => return None,
        })
    }

    pub(super) fn tree_call(
        &mut self,
        now: Duration,
        request: u64,
        tree_call: &TreeCall,
    ) -> Option<Res<Replied>> {
        Some(match tree_call {
            TreeCall::Mkdir { dir, name } => self.mkdir(dir, name),
            TreeCall::Rmdir { dir, name } => match self.rmdir(request, dir, name) {
                Ok(true) => Ok(Replied::Done),
                Ok(false) => return None,
                Err(errno) => Err(errno),
            },
            TreeCall::Unlink { dir, name } => self.unlink(now, request, dir, name),
            TreeCall::Symlink { dir, name, target } => self.symlink(now, request, dir, name, target),
            TreeCall::Store { dir, attribute, value } => {
                let value = &value[..value.len().min(4095)];
                match self.store(request, dir, attribute, value) {
                    Ok(true) => Ok(Replied::Stored(value.len())),
                    Ok(false) => {
                        let (dir, value) = (dir.clone(), value.to_vec());
                        self.pending.push(Pending { request, dir, attribute, value });
                        return None;
                    }
                    Err(errno) => Err(errno),
                }
            }
            TreeCall::Open { dir, attribute, read, write } => {
                let declared = self.attribute(dir, attribute).map_or(0, |(_, mode, _)| *mode);
                let mode = self.mode(&join(dir, attribute), declared);
                let none = |bits| mode & bits == 0 || declared & bits == 0;
                let refused = (*write && none(0o222)) || (*read && none(0o444));
                if refused { Err(Errno::EACCES) } else { Ok(Replied::Done) }
            }
            TreeCall::Chmod { path, mode } => {
                self.modes.insert(path.clone(), mode & 0o7777);
                let attr = self.snapshot().into_iter().find(|(other, ..)| other == path);
                attr.map(|(_, attr, _)| Replied::Attr(attr)).ok_or(Errno::ENOENT)
            }
            TreeCall::Forbidden { dir, name, call } => Err(self.forbidden(dir, name, *call)),
            TreeCall::ListRemoved { .. } => Err(Errno::ENOENT),
        })
    }

    pub(super) fn name_free(&self, dir: &str, name: &str) -> Res<()> {
        if name.len() > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        if name == "." || name == ".." || self.exists(dir, name) { Err(Errno::EEXIST) } else { Ok(()) }
    }

    pub(super) fn mkdir(&mut self, dir: &str, name: &str) -> Res<Replied> {
        self.name_free(dir, name)?;
        let path = join(dir, name);
        match self.kind(dir) {
            Some(Kind::Clusters) => {
                if self.cluster().is_some() {
                    return Err(Errno::ENOSPC);
                }
                let group = if self.method == "user" { Kind::UserGroup } else { Kind::DiskGroup };
                self.insert(&path, What::Dir(Kind::Cluster));
                self.insert(&join(&path, "node"), What::Dir(Kind::Nodes));
                self.insert(&join(&path, "heartbeat"), What::Dir(group));
            }
            Some(Kind::Nodes) => {
                if name.len() > 64 {
                    return Err(Errno::ENAMETOOLONG);
                }
                self.insert(&path, What::Dir(Kind::Node));
            }
            Some(Kind::UserGroup | Kind::DiskGroup) => {
                if name.len() > 32 {
                    return Err(Errno::ENAMETOOLONG);
                }
                let user = self.kind(dir) == Some(Kind::UserGroup);
                let regions = self.all(&[Kind::DiskRegion]).len();
                if !user && self.disk_mode == "global" && regions >= 32 {
                    return Err(Errno::EFBIG);
                }
                self.insert(&path, What::Dir(if user { Kind::UserRegion } else { Kind::DiskRegion }));
            }
            _ => return Err(Errno::EPERM),
        }
        Ok(Replied::Attr(self.dir_seen(&path)))
    }

    /// False: it waits for a store.
    pub(super) fn rmdir(&mut self, request: u64, dir: &str, name: &str) -> Res<bool> {
        let path = join(dir, name);
        if name.len() > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        if !self.exists(dir, name) {
            return Err(Errno::ENOENT);
        }
        let Some(kind) = self.kind(&path) else { return Err(Errno::ENOTDIR) };
        if kind.is_default() {
            return Err(Errno::EPERM);
        }
        if self.dropping(&path) {
            return Err(Errno::ENOENT);
        }
        if self.holds(&path) > 0 || self.linked_by(&path) {
            return Err(Errno::EBUSY);
        }
        let below = format!("{path}/");
        let stays = |(other, entry): (&String, &Entry)| {
            other.starts_with(&below) && !matches!(entry.what, What::Dir(kind) if kind.is_default())
        };
        if self.entries.iter().any(stays) {
            return Err(Errno::ENOTEMPTY);
        }
        if self.pending.iter().any(|pending| pending.dir == path) {
            self.parked.push((path, request));
            return Ok(false);
        }
        self.remove(&path);
        Ok(true)
    }

    pub(super) fn symlink(
        &mut self,
        now: Duration,
        request: u64,
        dir: &str,
        name: &str,
        to: &Target,
    ) -> Res<Replied> {
        self.name_free(dir, name)?;
        if self.kind(dir) != Some(Kind::UserRegion) {
            return Err(Errno::EPERM);
        }
        let target = match to {
            Target::Refused(errno) => return Err(*errno),
            Target::Path(path) if path.is_empty() => return Err(Errno::ENOENT),
            Target::Attribute(..) => return Err(Errno::ENOTDIR),
            Target::Path(path) => path,
        };
        let Some(kind) = self.kind(target) else { return Err(Errno::ENOTDIR) };
        if self.dropping(target) {
            return Err(Errno::ENOENT);
        }
        if kind != Kind::Node {
            return Err(Errno::EPERM);
        }
        if self.set(target, "num").is_none() {
            return Err(Errno::EINVAL);
        }
        let twice = |(_, entry): &(&String, &Entry)| matches!(&entry.what, What::Link { target: other, .. } if other == target);
        if self.children(dir).iter().any(twice) {
            return Err(Errno::EEXIST);
        }
        let path = join(dir, name);
        self.insert(&path, What::Link { target: target.clone(), since: now + WALL });
        self.event(now, request, Edge::Up, target, dir);
        Ok(Replied::Attr(self.link_seen(&path)))
    }

    pub(super) fn unlink(&mut self, now: Duration, request: u64, dir: &str, name: &str) -> Res<Replied> {
        let path = join(dir, name);
        if name.len() > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        match self.entries.get(&path).map(|entry| entry.what.clone()) {
            None if self.exists(dir, name) => Err(Errno::EPERM),
            None => Err(Errno::ENOENT),
            Some(What::Dir(_)) => Err(Errno::EISDIR),
            Some(What::Link { target, .. }) => {
                self.remove(&path);
                self.event(now, request, Edge::Down, &target, dir);
                Ok(Replied::Done)
            }
        }
    }

    pub(super) fn forbidden(&self, dir: &str, name: &str, call: uo2cb_core::tree::Forbidden) -> Errno {
        use uo2cb_core::tree::Forbidden;
        let exists = name == "." || name == ".." || self.exists(dir, name);
        match call {
            _ if name.len() > 255 => Errno::ENAMETOOLONG,
            Forbidden::Rename if exists => Errno::EPERM,
            Forbidden::Rename => Errno::ENOENT,
            _ if exists => Errno::EEXIST,
            Forbidden::NewFile => Errno::EACCES,
            Forbidden::SpecialFile | Forbidden::HardLink => Errno::EPERM,
        }
    }

    /// A store ends, and with the last store of an item the rmdir that waits for it.
    pub(super) fn finish(&mut self, request: u64, errno: Option<Errno>) {
        let Some(at) = self.pending.iter().position(|pending| pending.request == request) else { return };
        let Pending { dir, attribute, value, .. } = self.pending.remove(at);
        let length = value.len();
        if let Some(errno) = errno {
            let (path, value) = (join(&dir, attribute), Some(value));
            self.out.push(Output::Refused { call: "store", path, value, errno });
        }
        let parked = self.parked.iter().position(|(parked, _)| *parked == dir);
        let parked = parked.filter(|_| !self.pending.iter().any(|pending| pending.dir == dir));
        let removed = parked.map(|at| self.parked.remove(at));
        if removed.is_some() {
            self.remove(&dir);
        }
        self.reply(request, errno.map_or(Ok(Replied::Stored(length)), Err));
        if let Some((_, rmdir)) = removed {
            self.reply(rmdir, Ok(Replied::Done));
        }
    }

    pub(super) fn cancel(&mut self, request: u64) {
        if let Some(at) = self.parked.iter().position(|(_, parked)| *parked == request) {
            let (path, _) = self.parked.remove(at);
            self.out.push(Output::Refused { call: "rmdir", path, value: None, errno: Errno::EINTR });
            self.reply(request, Err(Errno::EINTR));
        }
        if self.opening.iter().any(|opening| opening.request == request) {
            self.finish(request, Some(Errno::EIO));
        }
    }

    /// Without a local node nobody waits for a device.
    pub(super) fn stop_regions(&mut self) {
        let age = |opening: &Opening| Some(self.entries.get(opening.dir.as_ref()?)?.age);
        let mut waiting: Vec<_> =
            self.opening.iter().filter_map(|opening| Some((age(opening)?, opening.request))).collect();
        waiting.sort_unstable();
        for (_, request) in waiting {
            self.finish(request, Some(Errno::EIO));
        }
    }

    /// In global mode users pin every region.
    pub(super) fn pin_all(&mut self) {
        if self.users > 0 {
            self.pinned.extend(self.all(&[Kind::DiskRegion]));
        }
    }
}
