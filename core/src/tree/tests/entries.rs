//! What is shown, made and stored.

use super::*;
use crate::time::Stamp;

const NINE: Stamp = Stamp { secs: 9, nanos: 0 };

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
    let times = SetAttr { uid: Some(1), mtime: Some(SetTime::To(NINE)), ..SetAttr::default() };
    bench.ready(&Op::SetAttr(object, times)).unwrap();
    let meta = bench.stat("s/x/old/a").meta;
    assert_eq!((meta.owner.uid, meta.owner.gid, meta.mtime), (1, 6, NINE));
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
fn truncate_and_chmod_each_leave_their_time() {
    let mut bench = Bench::new();
    let (path, born) = ("s/x/old/a/first", bench.stat("s/x/old/a/first").meta);
    bench.chmod(path, 0o600);
    // The kernel keeps an attribute's inode data only from its first change on.
    let first = bench.stat(path).meta;
    assert!(first.mtime > born.mtime && first.mtime == first.ctime && first.mtime == first.atime);
    bench.chmod(path, 0o644);
    let chmod = bench.stat(path).meta;
    assert!(chmod.mtime == first.mtime && chmod.ctime > first.ctime);
    let object = bench.object(path).unwrap();
    bench.ready(&Op::SetAttr(object, SetAttr { size: Some(0), ..SetAttr::default() })).unwrap();
    let truncated = bench.stat(path).meta;
    assert!(truncated.mtime == truncated.ctime && truncated.mtime > chmod.ctime);
    assert_eq!(truncated.atime, first.atime);
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

/// A subsystem that only shows: its kinds allow everything, and callers can change nothing.
struct Shown;

impl Subsystem for Shown {
    fn show(&mut self, _: &Context<'_>, _: ItemId, _: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
        out.push(b'1');
        Ok(())
    }
}

#[test]
fn without_operations_all_changes_are_refused() {
    static KIND: Kind =
        Kind { name: "any", makes: true, links: true, attributes: &[Attribute::read_write("a")] };
    let now = Now::default();
    let mut tree = Tree::new(Owner::default(), 4096, now);
    let dir = tree.add(ItemId::ROOT, "d", &Made::plain(&KIND), now).unwrap();
    let call = Call { now, caller: Caller::default(), request: RequestId(1) };
    let name = &b"x"[..];
    for (op, result) in [
        (Op::Mkdir { dir, name }, Err(Refusal::NothingMadeHere)),
        (Op::Symlink { dir, name, target: Ok(Object::Dir(dir)) }, Err(Refusal::NoLinksHere)),
        (Op::Store { item: dir, attribute: 0, data: b"2" }, Err(Refusal::ReadOnly)),
        (Op::Show { item: dir, attribute: 0 }, Ok(Answer::Text(b"1".to_vec()))),
    ] {
        assert_eq!(tree.apply(&mut Shown, call, &op), Outcome::Ready(result), "{op:?}");
    }
    assert!(tree.items().child(dir, name).is_none());
}
