//! Everything that both sides show, compared.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use uo2cb_core::tree::{Answer, Object, Op as TreeOp};
use uo2cb_core::{Action, Caller, Input, Instant, ItemId, Note, Reply, RequestId, View};

use super::{Difference, Run, attr_of, text};
use crate::call::Attr;
use crate::reference::{Kind, join, leaf};

impl Run {
    /// A call that only looks.
    fn look(&mut self, view: View, op: TreeOp<'_>) -> Answer {
        let (request, caller) = (RequestId(u64::MAX), Caller::default());
        self.engine.handle(self.now(), Input::Tree { request, caller, view, op });
        // Connections may have become due meanwhile.
        let about_connections = |action: &Action| {
            matches!(action, Action::Net(_) | Action::Watched(..) | Action::Note(Note::Net(_)))
        };
        let other = |action: &Action| !about_connections(action);
        let mut actions: Vec<_> = iter::from_fn(|| self.poll_action()).filter(other).collect();
        match (actions.pop(), actions.pop()) {
            (Some(Action::Reply { result: Ok(Reply::Tree(answer)), .. }), None) => answer,
            several => panic!("not one answer to a look: {several:?}"),
        }
    }

    /// The tree as listed and read through the engine, and the id of every path.
    #[allow(clippy::type_complexity)]
    pub(super) fn listing(&mut self) -> (Vec<(String, Attr, Option<String>)>, BTreeMap<String, Object>) {
        let root = self.stat(Object::Dir(ItemId::ROOT));
        let mut all = vec![(String::new(), root, None)];
        let mut objects = BTreeMap::from([(String::new(), Object::Dir(ItemId::ROOT))]);
        self.list("", ItemId::ROOT, &mut all, &mut objects);
        (all, objects)
    }

    fn stat(&mut self, object: Object) -> Attr {
        match self.look(View::Config, TreeOp::Stat(object)) {
            Answer::Attr(attr) => attr_of(&attr),
            other => panic!("{other:?}"),
        }
    }

    fn list(
        &mut self,
        dir: &str,
        id: ItemId,
        all: &mut Vec<(String, Attr, Option<String>)>,
        objects: &mut BTreeMap<String, Object>,
    ) {
        let Answer::Entries(entries) = self.look(View::Config, TreeOp::List(id)) else {
            panic!("no entries of {dir}")
        };
        for entry in entries {
            let path = join(dir, &text(&entry.name));
            let attr = self.stat(entry.object);
            objects.insert(path.clone(), entry.object);
            let op = match entry.object {
                Object::Dir(_) => None,
                Object::Attribute(item, attribute) => Some(TreeOp::Show { item, attribute }),
                Object::Link(link) => Some(TreeOp::Readlink(link)),
            };
            let body = op.map(|op| match self.look(View::Config, op) {
                Answer::Text(body) => text(&body),
                other => panic!("{other:?}"),
            });
            all.push((path.clone(), attr, body));
            if let Object::Dir(id) = entry.object {
                self.list(&path, id, all, objects);
            }
        }
    }

    pub(super) fn compare(&mut self) -> Result<(), Difference> {
        if self.stopped() {
            return Ok(());
        }
        let (listed, objects) = self.listing();
        self.objects = objects;
        let expected = self.model.snapshot();
        if listed != expected {
            let first = listed.iter().zip(&expected).find(|(got, expected)| got != expected);
            let lengths = (expected.len(), listed.len());
            return Err(format!("tree differs, first at (got, expected) {first:?}; lengths {lengths:?}"));
        }
        let dirs = |object: &Object| !matches!(object, Object::Attribute(..));
        let shown = self.objects.iter().filter(|(path, object)| !path.is_empty() && dirs(object)).count();
        let cached = |path: &str| {
            let name = leaf(path).as_bytes().to_vec();
            self.cache.contains(&(self.dir(crate::reference::parent(path)), name))
        };
        let unknown =
            self.objects.iter().find(|(path, object)| !path.is_empty() && dirs(object) && !cached(path));
        if unknown.is_some() || self.cache.len() != shown {
            return Err(format!("a cache would be wrong: {unknown:?}, {} of {shown}", self.cache.len()));
        }
        self.compare_status()
    }

    fn compare_status(&self) -> Result<(), Difference> {
        let status = self.engine.status();
        let mut up = Vec::new();
        for region in &status.regions {
            let path = join("cluster/.../heartbeat", &text(region.name.as_bytes()));
            let object = self.objects.iter().find(|(_, object)| **object == Object::Dir(region.id));
            let path = object.map_or(path, |(path, _)| path.clone());
            if region.holds != self.model.holds(&path) {
                return Err(format!("{path} has {} holds", region.holds));
            }
            for (node, since) in &region.up {
                up.push((path.clone(), u64::from(node.num.get()), text(node.name.as_bytes()), *since));
            }
        }
        let expected = self.model.up();
        if up != expected {
            return Err(format!("up: expected {expected:?}, got {up:?}"));
        }
        let all: BTreeSet<_> = expected.iter().map(|(_, num, ..)| *num).collect();
        let union = status.cluster.map(|cluster| cluster.up).unwrap_or_default();
        if !union.iter().map(|num| u64::from(num.get())).eq(all) {
            return Err(format!("up in all: {union}"));
        }
        let counts = (self.engine.waiting(), status.consumers, status.method);
        let expected = (self.model.waiting(), self.model.consumers().len(), Some(self.model.method));
        if counts != expected {
            return Err(format!("waiting, consumers, method: expected {expected:?}, got {counts:?}"));
        }
        let deadline = self.engine.poll_timeout().map(Instant::since_start);
        let expected = self.model.deadline();
        let others = self.listens && !self.model.up().is_empty();
        let early = others && deadline.is_some_and(|at| expected.is_none_or(|expected| at < expected));
        if deadline != expected && !early {
            return Err(format!("deadline: expected {expected:?}, got {deadline:?}"));
        }
        Ok(())
    }

    /// debugfs, region by region.
    pub(super) fn compare_debugfs(&mut self) -> Result<(), Difference> {
        let Answer::Entries(top) = self.look(View::Debugfs, TreeOp::List(ItemId::ROOT)) else {
            return Ok(());
        };
        let o2hb = top.iter().find(|entry| entry.name == b"o2hb");
        let Some(Object::Dir(o2hb)) = o2hb.map(|entry| entry.object) else {
            return Err("no o2hb".to_owned());
        };
        let Answer::Entries(entries) = self.look(View::Debugfs, TreeOp::List(o2hb)) else { return Ok(()) };
        let mut got = BTreeMap::new();
        for entry in entries {
            if let Object::Dir(item) = entry.object {
                let mut show = |attribute| match self.look(View::Debugfs, TreeOp::Show { item, attribute }) {
                    Answer::Text(shown) => text(&shown),
                    other => format!("{other:?}"),
                };
                got.insert(text(&entry.name), (show(0), show(3)));
            }
        }
        let up = self.model.up();
        let regions = self.model.all(&[Kind::DiskRegion, Kind::UserRegion]);
        let expected: BTreeMap<_, _> = regions
            .iter()
            .map(|path| {
                let live: String = up
                    .iter()
                    .filter(|(region, ..)| region == path)
                    .map(|(_, num, ..)| format!("{num} "))
                    .collect();
                let pinned = u8::from(self.model.holds(path) > 0);
                (leaf(path).to_owned(), (format!("{live}\n"), format!("{pinned}\n")))
            })
            .collect();
        if got == expected { Ok(()) } else { Err(format!("debugfs: expected {expected:?}, got {got:?}")) }
    }
}
