//! configfs as such, with a toy subsystem: shelves hold boxes, boxes may point at boxes.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::error::Errno;
use crate::ids::Caller;

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
        Attribute { name: "secret", mode: 0o200 },
    ],
};

const REFUSED: Refusal = Refusal::Subsystem(Errno(99), "toy");

/// Remembers what it was asked; `slow` is stored later; the name `no` is refused everywhere.
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

    fn apply(&mut self, op: &Op<'_>) -> Outcome {
        self.unix += 1;
        self.requests += 1;
        let asked = Asked { now: self.now(), caller: Caller::default(), request: RequestId(self.requests) };
        self.tree.apply(&mut self.toy, asked, op)
    }

    fn ready(&mut self, op: &Op<'_>) -> Result<Answer, Refusal> {
        match self.apply(op) {
            Outcome::Ready(result) => result,
            Outcome::Waits => panic!("waits"),
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
        let target = self.object(target).ok_or(Refusal::TargetMissing);
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

    /// A store that waits, and its name.
    fn slow(&mut self, item: &str) -> RequestId {
        assert_eq!(self.store(&alloc::format!("{item}/slow"), b"x"), Outcome::Waits);
        RequestId(self.requests)
    }

    /// An rmdir that waits, and its name.
    fn parked(&mut self, path: &str) -> RequestId {
        let (dir, name) = self.split(path);
        assert_eq!(self.apply(&Op::Rmdir { dir, name }), Outcome::Waits);
        RequestId(self.requests)
    }

    fn finish(&mut self, store: RequestId) -> Vec<(RequestId, Result<Answer, Refusal>)> {
        let now = self.now();
        self.tree.finish_store(&mut self.toy, store, Ok(1), now)
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

#[test]
fn newest_first_then_attributes_against_their_declaration() {
    let mut bench = Bench::new();
    assert_eq!(bench.list("s/x"), ["new", "old", "a"]);
    assert_eq!(bench.list("s/x/old"), ["b", "a", "g"]);
    assert_eq!(bench.list("s/x/old/a"), ["secret", "seen", "slow", "first"]);
    bench.link("s/x/new/c", "s/x/old/a/to").unwrap();
    bench.rmdir("s/x/old/b").unwrap();
    bench.mkdir("s/x/old/b2").unwrap();
    assert_eq!(bench.list("s/x/old"), ["b2", "a", "g"]);
    assert_eq!(bench.list("s/x/old/a")[0], "to");
}

#[test]
fn nlink_counts_directories_only() {
    let mut bench = Bench::new();
    assert_eq!(bench.stat("").nlink, 3);
    assert_eq!(bench.stat("s/x").nlink, 4);
    assert_eq!(bench.stat("s/x/old").nlink, 4);
    bench.link("s/x/new/c", "s/x/old/a/to").unwrap();
    assert_eq!(bench.stat("s/x/old/a").nlink, 2);
    assert_eq!(bench.stat("s/x/old/a/to").nlink, 1);
    assert_eq!(bench.stat("s/x/old/a/first").nlink, 1);
    bench.rmdir("s/x/old/b").unwrap();
    assert_eq!(bench.stat("s/x/old").nlink, 3);
}

#[test]
fn modes_sizes_and_owner() {
    let mut bench = Bench::new();
    bench.link("s/x/new/c", "s/x/old/a/to").unwrap();
    for (path, mode, size) in [
        ("", 0o755, 0),
        ("s/x", 0o755, 0),
        ("s/x/old/a/first", 0o644, 4096),
        ("s/x/old/a/seen", 0o444, 4096),
        ("s/x/old/a/to", 0o777, 0),
    ] {
        let Attr { meta, size: shown, .. } = bench.stat(path);
        assert_eq!((meta.mode, shown), (mode, size), "{path}");
        assert_eq!(meta.owner, Owner { uid: 5, gid: 6 });
    }
}

#[test]
fn chmod_chown_and_times_stick_as_long_as_the_item() {
    let mut bench = Bench::new();
    for path in ["s", "s/x/old", "s/x/old/a", "s/x/old/a/seen"] {
        bench.chmod(path, 0o104_755);
        assert_eq!(bench.stat(path).meta.mode, 0o4755, "{path}");
    }
    let object = bench.object("s/x/old/a").unwrap();
    let times = SetAttr { uid: Some(1), mtime: Some(Duration::from_secs(9)), ..SetAttr::default() };
    bench.ready(&Op::SetAttr(object, times)).unwrap();
    let meta = bench.stat("s/x/old/a").meta;
    assert_eq!((meta.owner.uid, meta.owner.gid, meta.mtime), (1, 6, Duration::from_secs(9)));
    bench.rmdir("s/x/old/a").unwrap();
    bench.mkdir("s/x/old/a").unwrap();
    assert_eq!(bench.stat("s/x/old/a").meta.mode, 0o755);
    assert_eq!(bench.stat("s/x/old/a/seen").meta.mode, 0o444);
}

#[test]
fn a_chmod_is_told() {
    let mut bench = Bench::new();
    bench.chmod("s/x/old/a/seen", 0o400);
    let object = bench.object("s/x/old/a/seen").unwrap();
    assert_eq!(bench.tree.take_changes(), [Change::Touched(object)]);
    assert_eq!(bench.tree.take_changes(), []);
}

#[test]
fn mode_bits_bind_everybody_and_give_no_store() {
    let mut bench = Bench::new();
    let (first, seen, secret) = ("s/x/old/a/first", "s/x/old/a/seen", "s/x/old/a/secret");
    assert_eq!(bench.open(first, true, true), Ok(Answer::Done));
    assert_eq!(bench.open(seen, true, false), Ok(Answer::Done));
    assert_eq!(bench.open(seen, false, true), Err(Refusal::ReadOnly));
    assert_eq!(bench.open(secret, true, false), Err(Refusal::WriteOnly));
    bench.chmod(seen, 0o666);
    assert_eq!(bench.open(seen, true, true), Err(Refusal::ReadOnly));
    bench.chmod(first, 0o444);
    assert_eq!(bench.open(first, false, true), Err(Refusal::ReadOnly));
    bench.chmod(first, 0o200);
    assert_eq!(bench.open(first, true, false), Err(Refusal::WriteOnly));
    // One bit anywhere is enough; whose it is, the mount looks at.
    bench.chmod(first, 0o006);
    assert_eq!(bench.open(first, true, true), Ok(Answer::Done));
}

#[test]
fn a_store_without_a_store_is_refused_before_the_subsystem_is_asked() {
    let mut bench = Bench::new();
    assert_eq!(bench.store("s/x/old/a/seen", b"1"), Outcome::Ready(Err(Refusal::ReadOnly)));
    assert!(bench.toy.stored.is_empty());
    let Some(Object::Attribute(item, attribute)) = bench.object("s/x/old/a/secret") else { panic!() };
    assert_eq!(bench.ready(&Op::Show { item, attribute }), Err(Refusal::WriteOnly));
}

#[test]
fn a_store_takes_4095_bytes() {
    let mut bench = Bench::new();
    for (given, taken) in [(0, 0), (4095, 4095), (4096, 4095), (9000, 4095)] {
        let outcome = bench.store("s/x/old/a/first", &alloc::vec![b'1'; given]);
        assert_eq!(outcome, Outcome::Ready(Ok(Answer::Stored(taken))));
        assert_eq!(bench.toy.stored.pop().unwrap().len(), taken);
    }
}

#[test]
fn truncate_does_nothing_up_to_the_largest_file() {
    let mut bench = Bench::new();
    let mut truncate = |path: &str, size| {
        let object = bench.object(path).unwrap();
        bench.ready(&Op::SetAttr(object, SetAttr { size: Some(size), ..SetAttr::default() })).map(|_| ())
    };
    assert_eq!(truncate("s/x/old/a/seen", 0), Ok(()));
    assert_eq!(truncate("s/x/old/a/first", (1 << 31) - 1), Ok(()));
    assert_eq!(truncate("s/x/old/a/first", 1 << 31), Err(Refusal::SizeTooBig));
    assert_eq!(truncate("s/x", 0), Err(Refusal::IsADirectory));
    assert_eq!(bench.stat("s/x/old/a/first").size, 4096);
}

#[test]
fn an_existing_name_is_refused_first() {
    let mut bench = Bench::new();
    for path in ["s/x", "s/x/old", "s/x/a", "s/x/old/g", "s/x/old/a/first", "s/x/.", "s/.."] {
        assert_eq!(bench.mkdir(path), Err(Refusal::NameExists), "{path}");
        assert_eq!(bench.link("s/x", path), Err(Refusal::NameExists), "{path}");
    }
    for path in ["y", "s/x/y", "s/x/old/a/y"] {
        assert_eq!(bench.mkdir(path), Err(Refusal::NothingMadeHere), "{path}");
    }
    assert_eq!(bench.mkdir(&alloc::format!("s/x/{}", "y".repeat(256))), Err(Refusal::NameTooLong));
    assert_eq!(bench.mkdir(&alloc::format!("s/x/{}", "y".repeat(255))), Err(Refusal::NothingMadeHere));
    assert!(bench.tree.take_changes().is_empty() && bench.toy.calls.is_empty());
}

#[test]
fn a_refused_mkdir_leaves_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.mkdir("s/x/old/no"), Err(REFUSED));
    assert_eq!(bench.list("s/x/old"), ["b", "a", "g"]);
    assert!(bench.tree.take_changes().is_empty());
}

#[test]
fn default_groups_come_and_go_with_their_parent_only() {
    let mut bench = Bench::new();
    for path in ["s", "s/x/old", "s/x/new"] {
        assert_eq!(bench.rmdir(path), Err(Refusal::DefaultGroup), "{path}");
    }
    bench.mkdir("s/y").unwrap();
    let gone = [bench.dir("s/y"), bench.dir("s/y/old"), bench.dir("s/y/new")];
    bench.tree.take_changes();
    bench.rmdir("s/y").unwrap();
    let [Change::Removed { items, .. }] = &bench.tree.take_changes()[..] else { panic!() };
    assert!(items.len() == 3 && gone.iter().all(|item| items.contains(item)));
    assert_eq!(bench.ready(&Op::List(gone[1])), Err(Refusal::Gone));
    assert_eq!(bench.toy.calls.last().unwrap(), "drop s/y");
}

#[test]
fn rmdir_looks_at_default_dependents_links_contents_in_this_order() {
    let mut bench = Bench::new();
    let (old, x) = (bench.dir("s/x/old"), bench.dir("s/x"));
    // A default group stays one, pinned or not.
    bench.tree.depend(old).unwrap();
    assert_eq!(bench.rmdir("s/x/old"), Err(Refusal::DefaultGroup));
    bench.tree.undepend(old);
    assert_eq!(bench.rmdir("s/x"), Err(Refusal::NotEmpty));
    bench.tree.depend(x).unwrap();
    assert_eq!(bench.rmdir("s/x"), Err(Refusal::Depended));
    bench.tree.undepend(x);
    // A box that is linked to and holds a link itself: the former is said.
    bench.link("s/x/new/c", "s/x/old/a/to").unwrap();
    assert_eq!(bench.rmdir("s/x/old/a"), Err(Refusal::NotEmpty));
    bench.link("s/x/old/a", "s/x/new/c/back").unwrap();
    assert_eq!(bench.rmdir("s/x/old/a"), Err(Refusal::LinkedTo));
    let a = bench.dir("s/x/old/a");
    bench.tree.depend(a).unwrap();
    assert_eq!(bench.rmdir("s/x/old/a"), Err(Refusal::Depended));
    assert_eq!(bench.rmdir("s/x/old/a/first"), Err(Refusal::NotADirectory));
    assert_eq!(bench.rmdir("s/x/old/a/to"), Err(Refusal::NotADirectory));
    assert_eq!(bench.rmdir("s/x/old/z"), Err(Refusal::NoSuchEntry));
}

#[test]
fn as_many_undepends_as_depends() {
    let mut bench = Bench::new();
    let a = bench.dir("s/x/old/a");
    bench.tree.depend(a).unwrap();
    bench.tree.depend(a).unwrap();
    bench.tree.undepend(a);
    assert_eq!(bench.rmdir("s/x/old/a"), Err(Refusal::Depended));
    assert_eq!(bench.tree.dependents(a), 1);
    bench.tree.undepend(a);
    assert_eq!(bench.rmdir("s/x/old/a"), Ok(()));
    assert_eq!(bench.tree.depend(a), Err(Refusal::Gone));
}

#[test]
fn a_link_reads_as_the_way_over_the_root() {
    let mut bench = Bench::new();
    bench.link("s/x/new/c", "s/x/old/a/to").unwrap();
    let Some(Object::Link(link)) = bench.object("s/x/old/a/to") else { panic!() };
    let body = b"../../../../s/x/new/c".to_vec();
    assert_eq!(bench.ready(&Op::Readlink(link)), Ok(Answer::Text(body)));
    assert_eq!(bench.ready(&Op::Readlink(bench.dir("s/x"))), Err(Refusal::NotALink));
    assert_eq!(bench.tree.items().target(link), Some(bench.dir("s/x/new/c")));
}

#[test]
fn a_link_pins_its_target_until_unlink() {
    let mut bench = Bench::new();
    bench.link("s/x/new/c", "s/x/old/a/to").unwrap();
    bench.link("s/x/new/c", "s/x/old/b/to").unwrap();
    assert_eq!(bench.rmdir("s/x/new/c"), Err(Refusal::LinkedTo));
    bench.unlink("s/x/old/a/to").unwrap();
    assert_eq!(bench.toy.calls.last().unwrap(), "unlink s/x/old/a");
    assert_eq!(bench.rmdir("s/x/new/c"), Err(Refusal::LinkedTo));
    bench.unlink("s/x/old/b/to").unwrap();
    assert_eq!(bench.rmdir("s/x/new/c"), Ok(()));
}

#[test]
fn a_symlink_looks_at_its_place_before_its_target() {
    let mut bench = Bench::new();
    assert_eq!(bench.link("nowhere", "s/x/old/l"), Err(Refusal::NoLinksHere));
    assert_eq!(bench.link("nowhere", "s/x/old/a/first"), Err(Refusal::NameExists));
    assert_eq!(bench.link("nowhere", "s/x/old/a/l"), Err(Refusal::TargetMissing));
    assert_eq!(bench.link("s/x/a", "s/x/old/a/l"), Err(Refusal::TargetNotADirectory));
    assert_eq!(bench.link("", "s/x/old/a/l"), Err(Refusal::TargetIsRoot));
    // Then the subsystem decides.
    assert_eq!(bench.link("s/x", "s/x/old/a/l"), Err(REFUSED));
    assert_eq!(bench.link("s/x/old/a", "s/x/old/a/l"), Ok(()));
}

#[test]
fn unlink_takes_links_only() {
    let mut bench = Bench::new();
    assert_eq!(bench.unlink("s/x"), Err(Refusal::IsADirectory));
    assert_eq!(bench.unlink("s/x/a"), Err(Refusal::AttributeStays));
    assert_eq!(bench.unlink("s/x/z"), Err(Refusal::NoSuchEntry));
}

#[test]
fn what_configfs_never_allows() {
    let mut bench = Bench::new();
    let dir = bench.dir("s/x");
    let mut forbid = |name: &[u8], call| bench.ready(&Op::Forbidden { dir, name, call }).unwrap_err().errno();
    for (call, fresh, existing) in [
        (Forbidden::NewFile, Errno::EACCES, Errno::EEXIST),
        (Forbidden::SpecialFile, Errno::EPERM, Errno::EEXIST),
        (Forbidden::HardLink, Errno::EPERM, Errno::EEXIST),
        (Forbidden::Rename, Errno::ENOENT, Errno::EPERM),
    ] {
        assert_eq!((forbid(b"z", call), forbid(b"old", call)), (fresh, existing), "{call:?}");
        assert_eq!(forbid(&[b'z'; 256], call), Errno::ENAMETOOLONG);
    }
}

#[test]
fn rmdir_waits_for_a_store_in_flight() {
    let mut bench = Bench::new();
    let store = bench.slow("s/x/old/a");
    let rmdir = bench.parked("s/x/old/a");
    assert!(bench.tree.waiting().eq([store, rmdir]));
    assert!(bench.object("s/x/old/a").is_some());
    // The item is as good as gone for everybody else.
    let a = bench.dir("s/x/old/a");
    assert_eq!(bench.rmdir("s/x/old/a"), Err(Refusal::Gone));
    assert_eq!(bench.store("s/x/old/a/first", b"1"), Outcome::Ready(Err(Refusal::Gone)));
    assert_eq!(bench.link("s/x/old/a", "s/x/new/c/l"), Err(Refusal::TargetMissing));
    assert_eq!(bench.tree.depend(a), Err(Refusal::Gone));
    assert_eq!(bench.finish(store), [(store, Ok(Answer::Stored(1))), (rmdir, Ok(Answer::Done))]);
    assert_eq!(bench.object("s/x/old/a"), None);
    assert_eq!(bench.tree.waiting().count(), 0);
    assert_eq!(bench.finish(store), []);
}

#[test]
fn rmdir_waits_for_the_last_of_several_stores() {
    let mut bench = Bench::new();
    let (one, two) = (bench.slow("s/x/old/a"), bench.slow("s/x/old/a"));
    let rmdir = bench.parked("s/x/old/a");
    assert_eq!(bench.finish(two), [(two, Ok(Answer::Stored(1)))]);
    assert_eq!(bench.finish(one)[1], (rmdir, Ok(Answer::Done)));
}

#[test]
fn what_stands_in_the_way_is_said_at_once_and_not_after_the_store() {
    let mut bench = Bench::new();
    let store = bench.slow("s/x/old/a");
    bench.link("s/x/old/a", "s/x/new/c/l").unwrap();
    assert_eq!(bench.rmdir("s/x/old/a"), Err(Refusal::LinkedTo));
    assert_eq!(bench.finish(store).len(), 1);
}

#[test]
fn a_waiting_rmdir_can_be_given_up() {
    let mut bench = Bench::new();
    let store = bench.slow("s/x/old/a");
    let rmdir = bench.parked("s/x/old/a");
    let a = bench.dir("s/x/old/a");
    assert_eq!(bench.tree.cancel_removal(store), None);
    assert_eq!(bench.tree.cancel_removal(rmdir), Some((a, Caller::default())));
    assert_eq!(bench.tree.cancel_removal(rmdir), None);
    assert_eq!(bench.store("s/x/old/a/first", b"1"), Outcome::Ready(Ok(Answer::Stored(1))));
    assert_eq!(bench.finish(store), [(store, Ok(Answer::Stored(1)))]);
    assert_eq!(bench.rmdir("s/x/old/a"), Ok(()));
}

#[test]
fn a_store_does_not_keep_its_neighbours() {
    let mut bench = Bench::new();
    bench.slow("s/x/old/a");
    assert_eq!(bench.rmdir("s/x/old/b"), Ok(()));
    assert_eq!(bench.rmdir("s/x"), Err(Refusal::NotEmpty));
}

#[test]
fn a_refused_slow_store_is_not_in_flight() {
    let mut bench = Bench::new();
    assert_eq!(bench.store("s/x/old/a/slow", b"no"), Outcome::Ready(Err(REFUSED)));
    assert_eq!(bench.rmdir("s/x/old/a"), Ok(()));
}

#[test]
fn ids_never_come_back() {
    let mut bench = Bench::new();
    let old = bench.dir("s/x/old/a");
    bench.rmdir("s/x/old/a").unwrap();
    bench.mkdir("s/x/old/a").unwrap();
    assert_ne!(bench.dir("s/x/old/a"), old);
    assert_eq!(bench.ready(&Op::Stat(Object::Dir(old))), Err(Refusal::Gone));
    assert_eq!(bench.ready(&Op::Mkdir { dir: old, name: b"x" }), Err(Refusal::Gone));
}

#[test]
fn names_are_bytes() {
    let mut bench = Bench::new();
    let dir = bench.dir("s/x/old");
    for name in [&b".hid"[..], b"...", b"a b", b"\n", b"\xff\xfe"] {
        bench.ready(&Op::Mkdir { dir, name }).unwrap();
        assert!(bench.ready(&Op::Lookup { dir, name }).is_ok(), "{name:?}");
    }
    for (name, refusal) in
        [(&b"a/b"[..], Refusal::BadName), (b"\0", Refusal::BadName), (b"", Refusal::NoSuchEntry)]
    {
        assert_eq!(bench.ready(&Op::Mkdir { dir, name }), Err(refusal));
    }
}

#[test]
fn a_directory_changes_with_its_entries() {
    let mut bench = Bench::new();
    let before = bench.stat("s/x/old").meta;
    bench.mkdir("s/x/old/z").unwrap();
    let after = bench.stat("s/x/old").meta;
    assert!(after.mtime > before.mtime && after.ctime > before.ctime && after.atime == before.atime);
}
