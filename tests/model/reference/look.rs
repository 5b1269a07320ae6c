//! What the reference shows.

use std::time::Duration;

use super::{Entry, Kind, Pending, Reference, What, join, leaf, parent};
use crate::call::Attr;

impl Reference {
    pub(crate) fn kind(&self, path: &str) -> Option<Kind> {
        match self.entries.get(path)?.what {
            What::Dir(kind) => Some(kind),
            What::Link { .. } => None,
        }
    }

    pub(crate) fn all(&self, kinds: &[Kind]) -> Vec<String> {
        let is = |path: &&String| self.kind(path).is_some_and(|kind| kinds.contains(&kind));
        self.entries.keys().filter(is).cloned().collect()
    }

    pub(crate) fn links(&self) -> Vec<String> {
        self.entries.keys().filter(|path| self.kind(path).is_none()).cloned().collect()
    }

    pub(crate) fn cluster(&self) -> Option<String> {
        self.all(&[Kind::Cluster]).pop()
    }

    pub(crate) fn pending(&self, listening: bool) -> Vec<u64> {
        let wanted = |pending: &&Pending| (pending.attribute == "local") == listening;
        self.pending.iter().filter(wanted).map(|pending| pending.request).collect()
    }

    pub(crate) fn parked(&self) -> Vec<u64> {
        self.parked.iter().map(|(_, request)| *request).collect()
    }

    /// Requests whose device is being opened, whether or not they still wait.
    pub(crate) fn opening(&self) -> Vec<u64> {
        self.opening.iter().map(|opening| opening.request).collect()
    }

    /// Requests that can be given up.
    pub(crate) fn given_up(&self) -> Vec<u64> {
        [self.parked(), self.pending(false)].concat()
    }

    pub(crate) fn consumers(&self) -> Vec<u64> {
        self.consumers.iter().map(|consumer| consumer.id).collect()
    }

    pub(crate) fn running(&self) -> Option<(u64, u64)> {
        Some((self.running.first()?.0, self.queue.first()?.number))
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        let slow = self.slow.filter(|_| self.next_may_join());
        self.running.iter().filter_map(|(.., deadline)| *deadline).chain(slow).min()
    }

    pub(super) fn children(&self, dir: &str) -> Vec<(&String, &Entry)> {
        let inside = |path: &str| !path.is_empty() && parent(path) == dir;
        let mut children: Vec<_> = self.entries.iter().filter(|(path, _)| inside(path)).collect();
        children.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.age));
        children
    }

    pub(super) fn attribute(
        &self,
        dir: &str,
        name: &str,
    ) -> Option<&'static (&'static str, u16, &'static str)> {
        self.kind(dir)?.attributes().iter().find(|(attribute, ..)| *attribute == name)
    }

    pub(super) fn exists(&self, dir: &str, name: &str) -> bool {
        self.entries.contains_key(&join(dir, name)) || self.attribute(dir, name).is_some()
    }

    pub(super) fn mode(&self, path: &str, otherwise: u16) -> u16 {
        self.modes.get(path).copied().unwrap_or(otherwise)
    }

    pub(super) fn set(&self, dir: &str, name: &str) -> Option<&String> {
        self.entries.get(dir)?.texts.get(name)
    }

    pub(super) fn text(&self, dir: &str, name: &str) -> String {
        match name {
            "heartbeat_mode" => format!("{}\n", self.method),
            "heartbeat_available_modes" => "disk\nuser\n".to_owned(),
            "dead_threshold" => format!("{}\n", self.dead_threshold),
            "mode" => format!("{}\n", self.disk_mode),
            "local" => format!("{}\n", u8::from(self.local.as_deref() == Some(dir))),
            _ => match (self.set(dir, name), self.attribute(dir, name)) {
                (Some(text), _) => text.clone(),
                (None, Some((.., first))) => (*first).to_owned(),
                (None, None) => String::new(),
            },
        }
    }

    pub(super) fn number(&self, dir: &str, name: &str) -> u64 {
        self.text(dir, name).trim().parse().unwrap_or(0)
    }

    pub(super) fn dir_seen(&self, path: &str) -> Attr {
        let dirs = self.children(path).iter().filter(|(_, entry)| matches!(entry.what, What::Dir(_))).count();
        Attr { kind: 'd', mode: self.mode(path, 0o755), nlink: 2 + dirs as u32, size: 0 }
    }

    pub(super) fn link_seen(&self, path: &str) -> Attr {
        Attr { kind: 'l', mode: self.mode(path, 0o777), nlink: 1, size: 0 }
    }

    /// The whole tree: each entry with what stat shows and its text, in the order of listing.
    pub(crate) fn snapshot(&self) -> Vec<(String, Attr, Option<String>)> {
        let mut all = vec![(String::new(), self.dir_seen(""), None)];
        self.walk("", &mut all);
        all
    }

    pub(super) fn walk(&self, dir: &str, all: &mut Vec<(String, Attr, Option<String>)>) {
        for (path, entry) in self.children(dir) {
            match &entry.what {
                What::Dir(_) => {
                    all.push((path.clone(), self.dir_seen(path), None));
                    self.walk(path, all);
                }
                What::Link { target, .. } => {
                    let up = "../".repeat(dir.split('/').count());
                    all.push((path.clone(), self.link_seen(path), Some(format!("{up}{target}"))));
                }
            }
        }
        for (name, mode, _) in self.kind(dir).map_or(&[][..], Kind::attributes).iter().rev() {
            let path = join(dir, name);
            let mode = self.mode(&path, *mode);
            let attr = Attr { kind: 'f', mode, nlink: 1, size: 4096 };
            all.push((path, attr, Some(self.text(dir, name))));
        }
    }

    /// Regions and who is up in each: number, name, since when.
    pub(crate) fn up(&self) -> Vec<(String, u64, String, Duration)> {
        let mut regions = self.all(&[Kind::DiskRegion, Kind::UserRegion]);
        regions.sort_by_key(|path| self.entries[path].age);
        let mut up = Vec::new();
        for region in regions {
            let mut here: Vec<_> = self
                .children(&region)
                .into_iter()
                .filter_map(|(_, entry)| match &entry.what {
                    What::Link { target, since } => {
                        let num = self.number(target, "num");
                        Some((region.clone(), num, leaf(target).to_owned(), *since))
                    }
                    What::Dir(_) => None,
                })
                .collect();
            here.sort_by_key(|(_, num, ..)| *num);
            up.extend(here);
        }
        up
    }

    /// Consumers that hold a region.
    pub(crate) fn holds(&self, path: &str) -> u32 {
        let pins = self.consumers.iter().flat_map(|consumer| &consumer.pins).filter(|pin| *pin == path);
        pins.count() as u32 + u32::from(self.pinned.contains(path))
    }

    /// Requests without an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.len() + self.parked.len() + self.held.len()
    }

    pub(super) fn linked_by(&self, path: &str) -> bool {
        self.entries.values().any(|entry| matches!(&entry.what, What::Link { target, .. } if target == path))
    }

    /// Its rmdir waits, or that of the item that it came with.
    pub(super) fn dropping(&self, path: &str) -> bool {
        let default = self.kind(path).is_some_and(Kind::is_default) && path != "cluster" && !path.is_empty();
        let item = if default { parent(path) } else { path };
        self.parked.iter().any(|(parked, _)| parked == item)
    }
}
