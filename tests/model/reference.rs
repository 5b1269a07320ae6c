//! What the tree should be, as naively as it can be said: a map from path to entry, everything else computed
//! anew at each question. Calls come with paths; outcomes are compared with the engine's, in order.

use std::collections::BTreeMap;
use std::time::Duration;

use uo2cb_core::Errno;
use uo2cb_core::heartbeat::Edge;

use crate::call::{Ask, Call, Kill, Out, Said, Seen, Target, Told, WALL, Wish};
use crate::values;

/// What a directory is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Root,
    Clusters,
    Cluster,
    Nodes,
    Node,
    DiskGroup,
    DiskRegion,
    UserGroup,
    UserRegion,
}

impl Kind {
    /// Name, mode and first text of each attribute, in the order of declaration.
    pub(crate) fn attributes(self) -> &'static [(&'static str, u16, &'static str)] {
        match self {
            Kind::Clusters => &[("heartbeat_mode", 0o644, ""), ("heartbeat_available_modes", 0o444, "")],
            Kind::Cluster => &[
                ("idle_timeout_ms", 0o644, "30000\n"),
                ("keepalive_delay_ms", 0o644, "2000\n"),
                ("reconnect_delay_ms", 0o644, "2000\n"),
                ("fence_method", 0o644, "reset\n"),
            ],
            Kind::Node => &[
                ("num", 0o644, "0\n"),
                ("ipv4_port", 0o644, "0\n"),
                ("ipv4_address", 0o644, "0.0.0.0\n"),
                ("local", 0o644, "0\n"),
            ],
            Kind::DiskGroup => &[("dead_threshold", 0o644, ""), ("mode", 0o644, "")],
            Kind::DiskRegion => &[
                ("block_bytes", 0o644, "0\n"),
                ("start_block", 0o644, "0\n"),
                ("blocks", 0o644, "0\n"),
                ("dev", 0o644, ""),
                ("pid", 0o444, ""),
            ],
            Kind::Root | Kind::Nodes | Kind::UserGroup | Kind::UserRegion => &[],
        }
    }

    fn is_default(self) -> bool {
        matches!(self, Kind::Root | Kind::Clusters | Kind::Nodes | Kind::DiskGroup | Kind::UserGroup)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Dir(Kind),
    Link { target: String, since: Duration },
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Higher is newer.
    pub(crate) age: u64,
    pub(crate) what: What,
    /// Attributes that were set, by name.
    texts: BTreeMap<&'static str, String>,
}

#[derive(Clone, Debug)]
struct Event {
    number: u64,
    edge: Edge,
    num: u64,
    node: String,
    region: String,
    pid: u32,
    at: Duration,
}

#[derive(Clone, Debug)]
struct Consumer {
    id: u64,
    order: u64,
    wish: Wish,
    /// First event that it may get.
    from: u64,
    pins: Vec<String>,
}

#[derive(Clone, Debug)]
struct Pending {
    request: u64,
    dir: String,
    attribute: &'static str,
    value: Vec<u8>,
}

pub(crate) struct Reference {
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Changed permission bits, by path.
    modes: BTreeMap<String, u16>,
    age: u64,
    pub(crate) method: &'static str,
    dead_threshold: u32,
    disk_mode: &'static str,
    local: Option<String>,
    starting: Option<(String, u64)>,
    pending: Vec<Pending>,
    /// Directory, and the rmdir that waits.
    parked: Vec<(String, u64)>,
    queue: Vec<Event>,
    next_event: u64,
    consumers: Vec<Consumer>,
    next_order: u64,
    /// Who has been told of the first event of the queue.
    told: Vec<u64>,
    running: Option<(u64, Option<Duration>)>,
    held: Vec<(u64, u64, Result<Said, Errno>)>,
    out: Vec<Out>,
    stopped: bool,
}

type Res<T> = Result<T, Errno>;

pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

pub(crate) fn leaf(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

impl Reference {
    pub(crate) fn new() -> Self {
        let mut new = Self {
            entries: BTreeMap::new(),
            modes: BTreeMap::new(),
            age: 0,
            method: "disk",
            dead_threshold: 31,
            disk_mode: "local",
            local: None,
            starting: None,
            pending: Vec::new(),
            parked: Vec::new(),
            queue: Vec::new(),
            next_event: 0,
            consumers: Vec::new(),
            next_order: 0,
            told: Vec::new(),
            running: None,
            held: Vec::new(),
            out: Vec::new(),
            stopped: false,
        };
        new.insert("", What::Dir(Kind::Root));
        new.insert("cluster", What::Dir(Kind::Clusters));
        new
    }

    // Looking

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

    pub(crate) fn consumers(&self) -> Vec<u64> {
        self.consumers.iter().map(|consumer| consumer.id).collect()
    }

    pub(crate) fn running(&self) -> Option<(u64, u64)> {
        Some((self.running?.0, self.queue.first()?.number))
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.running?.1
    }

    fn children(&self, dir: &str) -> Vec<(&String, &Entry)> {
        let inside = |path: &str| !path.is_empty() && parent(path) == dir;
        let mut children: Vec<_> = self.entries.iter().filter(|(path, _)| inside(path)).collect();
        children.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.age));
        children
    }

    fn attribute(&self, dir: &str, name: &str) -> Option<&'static (&'static str, u16, &'static str)> {
        self.kind(dir)?.attributes().iter().find(|(attribute, ..)| *attribute == name)
    }

    fn exists(&self, dir: &str, name: &str) -> bool {
        self.entries.contains_key(&join(dir, name)) || self.attribute(dir, name).is_some()
    }

    fn mode(&self, path: &str, otherwise: u16) -> u16 {
        self.modes.get(path).copied().unwrap_or(otherwise)
    }

    fn set(&self, dir: &str, name: &str) -> Option<&String> {
        self.entries.get(dir)?.texts.get(name)
    }

    fn text(&self, dir: &str, name: &str) -> String {
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

    fn number(&self, dir: &str, name: &str) -> u64 {
        self.text(dir, name).trim().parse().unwrap_or(0)
    }

    fn dir_seen(&self, path: &str) -> Seen {
        let dirs = self.children(path).iter().filter(|(_, entry)| matches!(entry.what, What::Dir(_))).count();
        Seen { kind: 'd', mode: self.mode(path, 0o755), nlink: 2 + dirs as u32, size: 0 }
    }

    fn link_seen(&self, path: &str) -> Seen {
        Seen { kind: 'l', mode: self.mode(path, 0o777), nlink: 1, size: 0 }
    }

    /// The whole tree: each entry with what stat shows and its text, in the order of listing.
    pub(crate) fn snapshot(&self) -> Vec<(String, Seen, Option<String>)> {
        let mut all = vec![(String::new(), self.dir_seen(""), None)];
        self.walk("", &mut all);
        all
    }

    fn walk(&self, dir: &str, all: &mut Vec<(String, Seen, Option<String>)>) {
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
            let seen = Seen { kind: 'f', mode, nlink: 1, size: 4096 };
            all.push((path, seen, Some(self.text(dir, name))));
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
        self.consumers.iter().flat_map(|consumer| &consumer.pins).filter(|pin| *pin == path).count() as u32
    }

    /// Requests without an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.len() + self.parked.len() + self.held.len()
    }

    fn linked_by(&self, path: &str) -> bool {
        self.entries.values().any(|entry| matches!(&entry.what, What::Link { target, .. } if target == path))
    }

    /// Its rmdir waits, or that of the item that it came with.
    fn dropping(&self, path: &str) -> bool {
        let default = self.kind(path).is_some_and(Kind::is_default) && path != "cluster" && !path.is_empty();
        let item = if default { parent(path) } else { path };
        self.parked.iter().any(|(parked, _)| parked == item)
    }

    // Changing

    fn insert(&mut self, path: &str, what: What) {
        self.age += 1;
        let entry = Entry { age: self.age, what, texts: BTreeMap::new() };
        self.entries.insert(path.to_owned(), entry);
    }

    fn set_text(&mut self, dir: &str, name: &'static str, text: String) {
        if let Some(entry) = self.entries.get_mut(dir) {
            entry.texts.insert(name, text);
        }
    }

    fn remove(&mut self, path: &str) {
        let below = format!("{path}/");
        self.entries.retain(|other, _| other != path && !other.starts_with(&below));
        self.modes.retain(|other, _| other != path && !other.starts_with(&below));
        if self.starting.as_ref().is_some_and(|(node, _)| node == path) {
            self.starting = None;
        }
        if self.local.as_deref() == Some(path) {
            self.local = None;
            self.out.push(Out::StopListening);
        }
    }

    /// Carries out a call; gives all that it brings, in order.
    pub(crate) fn apply(&mut self, now: Duration, call: &Call) -> Vec<Out> {
        match call {
            Call::Tree { request, ask } => {
                let before = self.next_event;
                let answer = if self.stopped { Some(Err(Errno::EIO)) } else { self.ask(now, *request, ask) };
                if let Some(answer) = answer {
                    if let (Err(errno), Some((call, path, value))) = (&answer, self.described(ask)) {
                        self.out.push(Out::Refused { call, path, value, errno: *errno });
                    }
                    self.answer(before, *request, answer);
                }
            }
            Call::Kill(request, Kill::Cancel) => self.cancel(*request),
            Call::Kill(request, Kill::Listening(errno)) => {
                if let Some((node, asked)) = self.starting.clone() {
                    if asked == *request {
                        self.starting = None;
                        self.local = if errno.is_none() { Some(node) } else { None };
                    }
                }
                self.finish(*request, *errno);
            }
            // There is no disk heartbeat yet: what is right is refused too.
            Call::Kill(request, Kill::Device(errno)) => {
                self.finish(*request, errno.or(Some(Errno::EOPNOTSUPP)));
            }
            Call::Subscribe { request, consumer, wish } => self.subscribe(*request, *consumer, wish),
            Call::Unsubscribe(consumer) => self.unsubscribe(*consumer),
            Call::Delivered { consumer, event } => {
                if self.running() == Some((*consumer, *event)) {
                    self.running = None;
                }
            }
            Call::Tick => {}
            Call::Shutdown => self.shut_down(),
        }
        self.pump(now);
        std::mem::take(&mut self.out)
    }

    fn reply(&mut self, request: u64, answer: Res<Said>) {
        self.out.push(Out::Reply(request, answer));
    }

    fn answer(&mut self, before: u64, request: u64, answer: Res<Said>) {
        if self.next_event > before {
            self.held.push((self.next_event, request, answer));
        } else {
            self.reply(request, answer);
        }
    }

    fn described(&self, ask: &Ask) -> Option<(&'static str, String, Option<Vec<u8>>)> {
        Some(match ask {
            Ask::Mkdir { dir, name } => ("mkdir", join(dir, name), None),
            Ask::Rmdir { dir, name } => ("rmdir", join(dir, name), None),
            Ask::Unlink { dir, name } => ("unlink", join(dir, name), None),
            Ask::Symlink { dir, name, target } => ("symlink", join(dir, name), target.path()),
            Ask::Store { dir, attribute, value } => ("store", join(dir, attribute), Some(value.clone())),
            Ask::Open { dir, attribute, .. } => ("open", join(dir, attribute), None),
            Ask::Chmod { path, .. } => ("change of attributes", path.clone(), None),
            Ask::Forbidden { dir, name, call } => (crate::call::word(*call), join(dir, name), None),
            Ask::Ghost { .. } => return None,
        })
    }

    fn ask(&mut self, now: Duration, request: u64, ask: &Ask) -> Option<Res<Said>> {
        Some(match ask {
            Ask::Mkdir { dir, name } => self.mkdir(dir, name),
            Ask::Rmdir { dir, name } => match self.rmdir(request, dir, name) {
                Ok(true) => Ok(Said::Done),
                Ok(false) => return None,
                Err(errno) => Err(errno),
            },
            Ask::Unlink { dir, name } => self.unlink(now, request, dir, name),
            Ask::Symlink { dir, name, target } => self.symlink(now, request, dir, name, target),
            Ask::Store { dir, attribute, value } => {
                let value = &value[..value.len().min(4095)];
                match self.store(request, dir, attribute, value) {
                    Ok(true) => Ok(Said::Stored(value.len())),
                    Ok(false) => {
                        let (dir, value) = (dir.clone(), value.to_vec());
                        self.pending.push(Pending { request, dir, attribute, value });
                        return None;
                    }
                    Err(errno) => Err(errno),
                }
            }
            Ask::Open { dir, attribute, read, write } => {
                let declared = self.attribute(dir, attribute).map_or(0, |(_, mode, _)| *mode);
                let mode = self.mode(&join(dir, attribute), declared);
                let none = |bits| mode & bits == 0 || declared & bits == 0;
                let refused = (*write && none(0o222)) || (*read && none(0o444));
                if refused { Err(Errno::EACCES) } else { Ok(Said::Done) }
            }
            Ask::Chmod { path, mode } => {
                self.modes.insert(path.clone(), mode & 0o7777);
                let seen = self.snapshot().into_iter().find(|(other, ..)| other == path);
                seen.map(|(_, seen, _)| Said::Seen(seen)).ok_or(Errno::ENOENT)
            }
            Ask::Forbidden { dir, name, call } => Err(self.forbidden(dir, name, *call)),
            Ask::Ghost { .. } => Err(Errno::ENOENT),
        })
    }

    fn name_free(&self, dir: &str, name: &str) -> Res<()> {
        if name.len() > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        if name == "." || name == ".." || self.exists(dir, name) { Err(Errno::EEXIST) } else { Ok(()) }
    }

    fn mkdir(&mut self, dir: &str, name: &str) -> Res<Said> {
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
        Ok(Said::Seen(self.dir_seen(&path)))
    }

    /// False: it waits for a store.
    fn rmdir(&mut self, request: u64, dir: &str, name: &str) -> Res<bool> {
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

    fn symlink(&mut self, now: Duration, request: u64, dir: &str, name: &str, to: &Target) -> Res<Said> {
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
        Ok(Said::Seen(self.link_seen(&path)))
    }

    fn unlink(&mut self, now: Duration, request: u64, dir: &str, name: &str) -> Res<Said> {
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
                Ok(Said::Done)
            }
        }
    }

    fn forbidden(&self, dir: &str, name: &str, call: uo2cb_core::tree::Forbidden) -> Errno {
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

    // Attributes

    /// False: it waits for the driver.
    fn store(&mut self, request: u64, dir: &str, name: &'static str, value: &[u8]) -> Res<bool> {
        if self.dropping(dir) {
            return Err(Errno::ENOENT);
        }
        match name {
            "heartbeat_mode" => {
                if self.cluster().is_some() {
                    return Err(Errno::EBUSY);
                }
                self.method = match value {
                    b"user" | b"user\n" => "user",
                    b"disk" | b"disk\n" => "disk",
                    _ => return Err(Errno::EINVAL),
                };
            }
            "idle_timeout_ms" | "keepalive_delay_ms" | "reconnect_delay_ms" => {
                let new = values::number(value)?;
                if new == 0 {
                    return Err(Errno::EINVAL);
                }
                if new >= 4_294_967_295 {
                    return Err(Errno::ERANGE);
                }
                let idle = if name == "idle_timeout_ms" { new } else { self.number(dir, "idle_timeout_ms") };
                let keepalive =
                    if name == "keepalive_delay_ms" { new } else { self.number(dir, "keepalive_delay_ms") };
                if idle <= keepalive {
                    return Err(Errno::EINVAL);
                }
                self.set_text(dir, name, format!("{new}\n"));
            }
            "fence_method" => {
                let text = String::from_utf8_lossy(value).to_ascii_lowercase();
                if text != "reset\n" && text != "panic\n" {
                    return Err(Errno::EINVAL);
                }
                self.set_text(dir, name, text);
            }
            "num" => {
                let new = values::number(value)?;
                if new >= 255 {
                    return Err(Errno::ERANGE);
                }
                if self.set(dir, "ipv4_address").is_none() || self.set(dir, "ipv4_port").is_none() {
                    return Err(Errno::EINVAL);
                }
                self.set_once(dir, name, format!("{new}\n"), true)?;
            }
            "ipv4_port" => {
                let new = values::number(value)?;
                match new {
                    0 => return Err(Errno::EINVAL),
                    1..=65534 => self.set_once(dir, name, format!("{new}\n"), false)?,
                    _ => return Err(Errno::ERANGE),
                }
            }
            "ipv4_address" => {
                let new = values::address(value)?;
                self.set_once(dir, name, format!("{new}\n"), true)?;
            }
            "local" => return self.store_local(request, dir, value),
            "dead_threshold" => {
                let new = values::decimal(value)? as u32;
                if new > 2 && self.all(&[Kind::DiskRegion]).is_empty() {
                    self.dead_threshold = new;
                }
            }
            "mode" => {
                let text = String::from_utf8_lossy(value).to_ascii_lowercase();
                let word = text.strip_suffix('\n').unwrap_or(&text);
                let known = ["local", "global"].into_iter().find(|known| known.starts_with(word));
                let mode = known.filter(|_| !word.is_empty()).ok_or(Errno::EINVAL)?;
                if self.all(&[Kind::DiskRegion]).is_empty() {
                    self.disk_mode = mode;
                }
            }
            "block_bytes" => match values::number(value)? {
                new @ (512 | 1024 | 2048 | 4096) => self.set_text(dir, name, format!("{new}\n")),
                512..=4096 => return Err(Errno::EINVAL),
                _ => return Err(Errno::ERANGE),
            },
            "start_block" => {
                let new = values::strict(value)?;
                self.set_text(dir, name, format!("{new}\n"));
            }
            "blocks" => match values::number(value)? {
                new @ 1..=255 => self.set_text(dir, name, format!("{new}\n")),
                _ => return Err(Errno::ERANGE),
            },
            "dev" => {
                if self.local.is_none() {
                    return Err(Errno::EINVAL);
                }
                let descriptor = values::number(value)?;
                let unset = |name| self.number(dir, name) == 0;
                if descriptor > i32::MAX as u64
                    || unset("blocks")
                    || unset("start_block")
                    || unset("block_bytes")
                {
                    return Err(Errno::EINVAL);
                }
                self.out.push(Out::OpenDevice { request, descriptor });
                return Ok(false);
            }
            _ => return Err(Errno::EACCES),
        }
        Ok(true)
    }

    fn set_once(&mut self, dir: &str, name: &'static str, text: String, unique: bool) -> Res<()> {
        let taken = |node: &String| self.set(node, name) == Some(&text);
        if unique && self.all(&[Kind::Node]).iter().any(taken) {
            return Err(Errno::EEXIST);
        }
        if self.set(dir, name).is_some() {
            return Err(Errno::EBUSY);
        }
        self.set_text(dir, name, text);
        Ok(())
    }

    fn store_local(&mut self, request: u64, dir: &str, value: &[u8]) -> Res<bool> {
        let wanted = values::number(value)? != 0;
        if ["num", "ipv4_port", "ipv4_address"].iter().any(|name| self.set(dir, name).is_none()) {
            return Err(Errno::EINVAL);
        }
        let now = self.local.clone().or(self.starting.clone().map(|(node, _)| node));
        match now {
            None if wanted => {
                self.starting = Some((dir.to_owned(), request));
                let (address, port) = (self.text(dir, "ipv4_address"), self.number(dir, "ipv4_port"));
                self.out.push(Out::Listen { request, at: format!("{}:{port}", address.trim()) });
                return Ok(false);
            }
            Some(other) if wanted && other != dir => return Err(Errno::EBUSY),
            Some(other) if !wanted && other == dir => {
                self.local = None;
                self.starting = None;
                self.out.push(Out::StopListening);
            }
            _ => {}
        }
        Ok(true)
    }

    /// A store ends, and with the last store of an item the rmdir that waits for it.
    fn finish(&mut self, request: u64, errno: Option<Errno>) {
        let Some(at) = self.pending.iter().position(|pending| pending.request == request) else { return };
        let Pending { dir, attribute, value, .. } = self.pending.remove(at);
        let length = value.len();
        if let Some(errno) = errno {
            let (path, value) = (join(&dir, attribute), Some(value));
            self.out.push(Out::Refused { call: "store", path, value, errno });
        }
        let parked = self.parked.iter().position(|(parked, _)| *parked == dir);
        let parked = parked.filter(|_| !self.pending.iter().any(|pending| pending.dir == dir));
        let removed = parked.map(|at| self.parked.remove(at));
        if removed.is_some() {
            self.remove(&dir);
        }
        self.reply(request, errno.map_or(Ok(Said::Stored(length)), Err));
        if let Some((_, rmdir)) = removed {
            self.reply(rmdir, Ok(Said::Done));
        }
    }

    fn cancel(&mut self, request: u64) {
        if let Some(at) = self.parked.iter().position(|(_, parked)| *parked == request) {
            let (path, _) = self.parked.remove(at);
            self.out.push(Out::Refused { call: "rmdir", path, value: None, errno: Errno::EINTR });
            self.reply(request, Err(Errno::EINTR));
        }
    }

    // Events

    fn event(&mut self, now: Duration, request: u64, edge: Edge, node: &str, region: &str) {
        let number = self.next_event;
        self.next_event += 1;
        let (num, node, region) = (self.number(node, "num"), leaf(node).to_owned(), region.to_owned());
        self.queue.push(Event { number, edge, num, node, region, pid: request as u32, at: now + WALL });
    }

    fn subscribe(&mut self, request: u64, consumer: u64, wish: &Wish) {
        let (mut pins, mut region) = (Vec::new(), None);
        if self.stopped {
            return self.reply(request, Err(Errno::EIO));
        }
        if let Some(name) = &wish.region {
            let regions = self.all(&[Kind::DiskRegion, Kind::UserRegion]);
            let Some(path) = regions.into_iter().find(|path| leaf(path) == name) else {
                return self.reply(request, Err(Errno::ENOENT));
            };
            let Some(local) = self.local.clone() else { return self.reply(request, Err(Errno::EINVAL)) };
            if self.dropping(&path) || self.dropping(&local) {
                return self.reply(request, Err(Errno::ENOENT));
            }
            region = Some(path.clone());
            pins = vec![path, local];
        }
        let up =
            self.up().into_iter().filter(|(in_region, ..)| region.as_ref().is_none_or(|r| r == in_region));
        let up = up.map(|(region, num, node, since)| (leaf(&region).to_owned(), num, node, since)).collect();
        let (order, from) = (self.next_order, self.next_event);
        self.next_order += 1;
        self.consumers.push(Consumer { id: consumer, order, wish: wish.clone(), from, pins });
        self.reply(request, Ok(Said::Subscribed(up)));
    }

    fn unsubscribe(&mut self, consumer: u64) {
        self.consumers.retain(|other| other.id != consumer);
        if self.running.is_some_and(|(running, _)| running == consumer) {
            self.running = None;
        }
    }

    fn pump(&mut self, now: Duration) {
        while let Some(event) = self.queue.first().cloned() {
            if let Some((consumer, deadline)) = self.running {
                if deadline.is_none_or(|deadline| now < deadline) {
                    break;
                }
                self.unsubscribe(consumer);
                self.out.push(Out::Expelled(consumer));
                continue;
            }
            let wants = |consumer: &&Consumer| {
                let Wish { region, edge, .. } = &consumer.wish;
                consumer.from <= event.number
                    && edge.is_none_or(|edge| edge == event.edge)
                    && region.as_ref().is_none_or(|region| region == leaf(&event.region))
                    && !self.told.contains(&consumer.id)
            };
            let next = self
                .consumers
                .iter()
                .filter(wants)
                .min_by_key(|consumer| (consumer.wish.priority, consumer.order));
            let Some(next) = next else {
                self.queue.remove(0);
                self.told.clear();
                continue;
            };
            let consumer = next.id;
            self.running = Some((consumer, next.wish.patience.map(|patience| now + patience)));
            self.told.push(consumer);
            let Event { number, edge, num, node, region, pid, at } = event;
            let told = Told { number, edge, num, node, region: leaf(&region).to_owned(), pid, at };
            self.out.push(Out::Deliver(consumer, told));
        }
        let delivered = self.queue.first().map_or(self.next_event, |event| event.number);
        while self.held.first().is_some_and(|(until, ..)| *until <= delivered) {
            let (_, request, answer) = self.held.remove(0);
            self.reply(request, answer);
        }
    }

    fn shut_down(&mut self) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        self.consumers.clear();
        self.running = None;
        for (_, request, answer) in std::mem::take(&mut self.held) {
            self.reply(request, answer);
        }
        let mut requests: Vec<_> = self.pending.iter().map(|pending| pending.request).collect();
        requests.sort_unstable();
        for request in requests {
            self.finish(request, Some(Errno::EIO));
        }
        self.out.push(Out::Stopped);
    }
}
