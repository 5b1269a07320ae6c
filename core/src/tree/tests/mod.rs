//! configfs with a subsystem for tests: shelves hold boxes, and boxes may link to boxes.

mod entries;
mod removal;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::call::Call;
use crate::error::Errno;
use crate::ids::{Caller, RequestId};

static SHELVES: Kind = Kind { name: "shelves", makes: true, links: false, attributes: &[] };
static SHELF: Kind =
    Kind { name: "shelf", makes: false, links: false, attributes: &[Attribute::read_write("a")] };
static BOXES: Kind =
    Kind { name: "boxes", makes: true, links: false, attributes: &[Attribute::read_write("g")] };
static BOX: Kind = Kind {
    name: "box",
    makes: false,
    links: true,
    attributes: &[
        Attribute::read_write("first"),
        Attribute::read_write("slow"),
        Attribute::read_only("seen"),
        Attribute { name: "secret", mode: 0o200, waits: false },
    ],
};

const REFUSED: Refusal = Refusal::Subsystem(Errno(99), "toy");

/// Records its calls; a store of `slow` is finished later; the name `no` is refused everywhere.
#[derive(Default)]
struct Toy {
    calls: Vec<String>,
    stored: Vec<Vec<u8>>,
}

impl Toy {
    fn call(&mut self, cx: &Context<'_>, what: &str, item: ItemId) {
        self.calls.push(alloc::format!("{what} {}", String::from_utf8(cx.items.path(item)).unwrap()));
    }
}

impl Subsystem for Toy {
    fn make(&mut self, cx: &Context<'_>, parent: ItemId, name: &Name, _: ItemId) -> Result<Made, Refusal> {
        if name.as_bytes() == b"no" {
            return Err(REFUSED);
        }
        self.call(cx, "make", parent);
        if cx.items.kind(parent).unwrap().is(&SHELVES) {
            let groups = Vec::from([("old", Made::plain(&BOXES)), ("new", Made::plain(&BOXES))]);
            return Ok(Made { kind: &SHELF, groups });
        }
        Ok(Made::plain(&BOX))
    }

    fn drop_item(&mut self, cx: &Context<'_>, item: ItemId) {
        self.call(cx, "drop", item);
    }

    fn show(
        &mut self,
        cx: &Context<'_>,
        item: ItemId,
        number: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        self.call(cx, "show", item);
        out.push(b'0' + u8::try_from(number).unwrap());
        Ok(())
    }

    fn store(&mut self, _: &Context<'_>, _: ItemId, number: usize, data: &[u8]) -> Result<Stored, Refusal> {
        if data == b"no" {
            return Err(REFUSED);
        }
        self.stored.push(data.to_vec());
        Ok(if number == 1 { Stored::Later } else { Stored::Done })
    }

    fn allow_link(&mut self, cx: &Context<'_>, source: ItemId, target: ItemId) -> Result<(), Refusal> {
        if !cx.items.kind(target).unwrap().is(&BOX) {
            return Err(REFUSED);
        }
        self.call(cx, "allow", source);
        Ok(())
    }

    fn drop_link(&mut self, cx: &Context<'_>, source: ItemId, _: ItemId) {
        self.call(cx, "unlink", source);
    }
}

struct Bench {
    tree: Tree,
    toy: Toy,
    unix: u64,
    requests: u64,
}

impl Bench {
    /// s/x with the groups old and new, and boxes old/a, old/b, new/c.
    fn new() -> Self {
        let mut tree = Tree::new(Owner { uid: 5, gid: 6 }, 4096, Now::default());
        tree.add(ItemId::ROOT, "s", &Made::plain(&SHELVES), Now::default()).unwrap();
        let mut bench = Self { tree, toy: Toy::default(), unix: 1, requests: 0 };
        for path in ["s/x", "s/x/old/a", "s/x/old/b", "s/x/new/c"] {
            bench.mkdir(path).unwrap();
        }
        bench.toy.calls.clear();
        bench.tree.take_changes();
        bench
    }

    fn now(&self) -> Now {
        Now { unix: Duration::from_secs(self.unix), ..Now::default() }
    }

    fn call(&self) -> Call {
        Call { now: self.now(), caller: Caller::default(), request: RequestId(self.requests) }
    }

    fn apply(&mut self, op: &Op<'_>) -> Outcome {
        self.unix += 1;
        self.requests += 1;
        let call = self.call();
        self.tree.apply(&mut self.toy, call, op)
    }

    fn ready(&mut self, op: &Op<'_>) -> Result<Answer, Refusal> {
        match self.apply(op) {
            Outcome::Ready(result) => result,
            Outcome::Storing(_) | Outcome::Removing(_) => panic!("waits"),
        }
    }

    fn object(&self, path: &str) -> Option<Object> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(Object::Dir(ItemId::ROOT), |at, name| {
            match at {
                Object::Dir(dir) => self.tree.items().child(dir, name.as_bytes()),
                Object::Attribute(..) | Object::Link(_) => None,
            }
        })
    }

    fn dir(&self, path: &str) -> ItemId {
        match self.object(path) {
            Some(Object::Dir(dir)) => dir,
            other => panic!("{path}: {other:?}"),
        }
    }

    fn split<'a>(&self, path: &'a str) -> (ItemId, &'a [u8]) {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.dir(dir), name.as_bytes())
    }

    fn mkdir(&mut self, path: &str) -> Result<(), Refusal> {
        let (dir, name) = self.split(path);
        self.ready(&Op::Mkdir { dir, name }).map(|_| ())
    }

    fn rmdir(&mut self, path: &str) -> Result<(), Refusal> {
        let (dir, name) = self.split(path);
        self.ready(&Op::Rmdir { dir, name }).map(|_| ())
    }

    fn link(&mut self, target: &str, path: &str) -> Result<(), Refusal> {
        let target = self.object(target).ok_or(Refusal::TargetMissing.into());
        let (dir, name) = self.split(path);
        self.ready(&Op::Symlink { dir, name, target }).map(|_| ())
    }

    fn unlink(&mut self, path: &str) -> Result<(), Refusal> {
        let (dir, name) = self.split(path);
        self.ready(&Op::Unlink { dir, name }).map(|_| ())
    }

    fn stat(&mut self, path: &str) -> Attr {
        let object = self.object(path).unwrap();
        match self.ready(&Op::Stat(object)) {
            Ok(Answer::Attr(attr)) => attr,
            other => panic!("{other:?}"),
        }
    }

    fn list(&mut self, path: &str) -> Vec<String> {
        match self.ready(&Op::List(self.dir(path))) {
            Ok(Answer::Entries(entries)) => {
                entries.into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn store(&mut self, path: &str, data: &[u8]) -> Outcome {
        let Some(Object::Attribute(item, attribute)) = self.object(path) else { panic!("{path}") };
        self.apply(&Op::Store { item, attribute, data })
    }

    /// A store that waits: of which item.
    fn slow(&mut self, path: &str) -> ItemId {
        let item = self.dir(path);
        assert_eq!(self.store(&alloc::format!("{path}/slow"), b"x"), Outcome::Storing(item));
        item
    }

    /// An rmdir that waits: of which item.
    fn parked(&mut self, path: &str) -> ItemId {
        let item = self.dir(path);
        let (dir, name) = self.split(path);
        assert_eq!(self.apply(&Op::Rmdir { dir, name }), Outcome::Removing(item));
        item
    }

    /// A store ends, and the removal behind it goes on: of which item.
    fn finish(&mut self, store: ItemId) -> Option<ItemId> {
        let removed = self.tree.store_ended(store)?;
        let call = self.call();
        self.tree.go_on_removing(&mut self.toy, removed, call);
        Some(removed)
    }

    fn open(&mut self, path: &str, read: bool, write: bool) -> Result<Answer, Refusal> {
        let Some(Object::Attribute(item, attribute)) = self.object(path) else { panic!("{path}") };
        self.ready(&Op::Open { item, attribute, read, write })
    }

    fn chmod(&mut self, path: &str, mode: u16) {
        let object = self.object(path).unwrap();
        self.ready(&Op::SetAttr(object, SetAttr { mode: Some(mode), ..SetAttr::default() })).unwrap();
    }
}
