//! What the line about each refusal says.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::heartbeat::disk::{DiskInfo, DiskResult};
use crate::ids::RequestId;
use crate::message::Input;
use crate::testing::{Bench, Registration};
use crate::tree::{Forbidden, NoTarget, Object, Op, SetAttr};
use crate::{Errno, Note, Refusal, View};

/// The lines that were refused or ignored, without their caller; forgets what was logged.
fn lines(bench: &mut Bench) -> Vec<String> {
    let is = |note: &&&Note| matches!(note, Note::Refused { .. } | Note::Ignored { .. });
    let lines = bench.notes().iter().filter(is).map(ToString::to_string).collect::<Vec<_>>();
    bench.log.clear();
    lines.iter().map(|line| line.strip_suffix(", for pid 7 uid 8").expect(line).to_string()).collect()
}

#[track_caller]
fn said(bench: &mut Bench, line: &str) {
    assert_eq!(lines(bench), [line]);
}

#[test]
fn ranges_and_syntax_are_given() {
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    bench.mkdir("cluster/c/node/n").unwrap();
    bench.mkdir("cluster/c/heartbeat/R").unwrap();
    for (file, value, rule) in [
        ("node/n/ipv4_port", "0", "ipv4_port is 1 to 65534 (EINVAL)"),
        ("node/n/ipv4_port", "65535", "ipv4_port is 1 to 65534 (ERANGE)"),
        (
            "node/n/ipv4_address",
            "1.2.3",
            "an address is four decimal numbers with dots between them (EINVAL)",
        ),
        ("node/n/ipv4_address", "1.2.3.256", "each number of an address is 0 to 255 (ERANGE)"),
        ("node/n/num", "255", "num is 0 to 254 (ERANGE)"),
        ("node/n/num", "1x", "not a number (decimal, octal after 0, hexadecimal after 0x) (EINVAL)"),
        ("idle_timeout_ms", "0", "a timeout is 1 to 4294967294 milliseconds (EINVAL)"),
        ("keepalive_delay_ms", "4294967295", "a timeout is 1 to 4294967294 milliseconds (ERANGE)"),
        (
            "idle_timeout_ms",
            "2000",
            "idle_timeout_ms must be greater than keepalive_delay_ms: they are 30000 and 2000 now (EINVAL)",
        ),
        ("fence_method", "reset", "fence_method is reset or panic, and a newline (EINVAL)"),
        ("heartbeat/mode", "x", "mode is local or global (EINVAL)"),
        ("heartbeat/R/block_bytes", "256", "block_bytes is 512 to 4096 (ERANGE)"),
        ("heartbeat/R/block_bytes", "768", "block_bytes is a power of two: 512, 1024, 2048 or 4096 (EINVAL)"),
        ("heartbeat/R/blocks", "256", "blocks is 1 to 255 (ERANGE)"),
        ("heartbeat/dead_threshold", "0x10", "not a decimal number (EINVAL)"),
        (
            "heartbeat/R/start_block",
            "18446744073709551616",
            "not a number below 2^64 (decimal, octal after 0, hexadecimal after 0x) (EINVAL)",
        ),
    ] {
        bench.write(&alloc::format!("cluster/c/{file}"), value).unwrap_err();
        said(&mut bench, &alloc::format!("store cluster/c/{file} \"{value}\": {rule}"));
    }
}

#[test]
fn who_has_what_was_asked_for_is_named() {
    let mut bench = Bench::user();
    let mut refused = |call: &mut dyn FnMut(&mut Bench), line: &str| {
        call(&mut bench);
        said(&mut bench, line);
    };
    let mut write = |file: &'static str, value: &'static str, rule: &str| {
        let path = alloc::format!("cluster/c/node/{file}");
        let line = alloc::format!("store {path} \"{value}\": {rule}");
        refused(&mut |bench| assert!(bench.write(&path, value).is_err()), &line);
    };
    write("n1/num", "2", "a node of this cluster has that number: n2 (EEXIST)");
    write("n1/num", "9", "the node has a number already: 1 (EBUSY)");
    write("n1/ipv4_address", "10.0.0.3", "a node of this cluster has that address: n3 (EEXIST)");
    write("n1/ipv4_address", "10.0.0.9", "the node has an address already: 10.0.0.1 (EBUSY)");
    write("n1/ipv4_port", "9", "the node has a port already: 7777 (EBUSY)");
    write("n1/local", "1", "another node of this cluster is the local one: n0 (EBUSY)");
    refused(
        &mut |bench| assert!(bench.mkdir("cluster/d").is_err()),
        "mkdir cluster/d: there can be only one cluster: c exists (ENOSPC)",
    );
    refused(
        &mut |bench| assert!(bench.write("cluster/heartbeat_mode", "disk").is_err()),
        "store cluster/heartbeat_mode \"disk\": \
         the heartbeat method can change only while there is no cluster: c exists (EBUSY)",
    );
    refused(
        &mut |bench| assert!(bench.mkdir("cluster/c/node/n1").is_err()),
        "mkdir cluster/c/node/n1: the name is taken: of a directory (EEXIST)",
    );
    refused(
        &mut |bench| assert!(bench.mkdir("cluster/c/fence_method").is_err()),
        "mkdir cluster/c/fence_method: the name is taken: of an attribute (EEXIST)",
    );
    refused(
        &mut |bench| assert!(bench.mkdir("cluster/c/node/n1/x").is_err()),
        "mkdir cluster/c/node/n1/x: no directories can be made in this directory: a node (EPERM)",
    );
    let long = "x".repeat(65);
    refused(
        &mut |bench| assert!(bench.mkdir(&alloc::format!("cluster/c/node/{long}")).is_err()),
        &alloc::format!(
            "mkdir cluster/c/node/{long}: a node's name has at most 64 bytes: this one has 65 (ENAMETOOLONG)"
        ),
    );
}

#[test]
fn what_is_in_the_way_of_a_removal_is_named() {
    let mut bench = Bench::user();
    bench.rmdir("cluster/c").unwrap_err();
    said(&mut bench, "rmdir cluster/c: the directory holds items or links: node/n3 and 4 more (ENOTEMPTY)");
    bench.link("cluster/c/node/n2", "cluster/c/heartbeat/R/a").unwrap();
    bench.rmdir("cluster/c/heartbeat/R").unwrap_err();
    said(&mut bench, "rmdir cluster/c/heartbeat/R: the directory holds items or links: a (ENOTEMPTY)");
    bench.rmdir("cluster/c/node/n2").unwrap_err();
    said(&mut bench, "rmdir cluster/c/node/n2: a link points at the item: cluster/c/heartbeat/R/a (EBUSY)");
    bench.link("cluster/c/node/n2", "cluster/c/heartbeat/R/b").unwrap_err();
    said(
        &mut bench,
        "symlink cluster/c/heartbeat/R/b \"cluster/c/node/n2\": \
         the node is linked in this region already: as a (EEXIST)",
    );
    bench.subscribe(Registration::of(1, "R")).unwrap();
    bench.subscribe(Registration::of(2, "R")).unwrap();
    bench.rmdir("cluster/c/heartbeat/R").unwrap_err();
    said(&mut bench, "rmdir cluster/c/heartbeat/R: somebody depends on the item: 2 consumers hold (EBUSY)");
    bench.unsubscribe(1);
    bench.rmdir("cluster/c/node/n0").unwrap_err();
    said(&mut bench, "rmdir cluster/c/node/n0: somebody depends on the item: 1 consumer holds (EBUSY)");
}

#[test]
fn what_is_missing_is_named() {
    let mut bench = Bench::user();
    bench.mkdir("cluster/c/node/n").unwrap();
    bench.log.clear();
    bench.write("cluster/c/node/n/num", "9").unwrap_err();
    said(
        &mut bench,
        "store cluster/c/node/n/num \"9\": ipv4_address and ipv4_port must be set before num: \
         ipv4_address and ipv4_port missing (EINVAL)",
    );
    bench.write("cluster/c/node/n/ipv4_port", "9").unwrap();
    bench.write("cluster/c/node/n/local", "1").unwrap_err();
    said(
        &mut bench,
        "store cluster/c/node/n/local \"1\": ipv4_address, ipv4_port and num must be set before local: \
         ipv4_address and num missing (EINVAL)",
    );
}

#[test]
fn an_address_that_cannot_be_bound_is_named_with_its_port() {
    for (errno, words) in [
        (Errno::EADDRNOTAVAIL, "the address 10.0.0.1 is not one of this machine's (EADDRNOTAVAIL)"),
        (Errno::EADDRINUSE, "port 7777 of 10.0.0.1 is in use by another process (EADDRINUSE)"),
        (Errno::EACCES, "port 7777 of 10.0.0.1 needs privileges (EACCES)"),
        (Errno::ENOMEM, "port 7777 of 10.0.0.1 cannot be listened on (ENOMEM)"),
    ] {
        let mut bench = Bench::new();
        bench.mkdir("cluster/c").unwrap();
        bench.node(1);
        let request = bench.ask_local("n1", "1\n");
        bench.listening(request, Err(errno));
        said(&mut bench, &alloc::format!("store cluster/c/node/n1/local \"1\\n\": {words}"));
    }
}

#[test]
fn calls_on_what_has_been_removed_name_it() {
    let mut bench = Bench::user();
    let Some(Object::Attribute(node, num)) = bench.find(View::Config, "cluster/c/node/n3/num") else {
        panic!()
    };
    let open = |bench: &mut Bench| {
        bench
            .tree(View::Config, Op::Open { item: node, attribute: num, read: true, write: true })
            .unwrap_err();
    };
    bench.rmdir("cluster/c/node/n3").unwrap();
    open(&mut bench);
    said(&mut bench, "open cluster/c/node/n3/num: the item has been removed (ENOENT)");
    bench.tree(View::Config, Op::Store { item: node, attribute: num, data: b"7" }).unwrap_err();
    said(&mut bench, "store cluster/c/node/n3/num \"7\": the item has been removed (ENOENT)");
    bench.tree(View::Config, Op::Mkdir { dir: node, name: b"x" }).unwrap_err();
    said(&mut bench, "mkdir cluster/c/node/n3/x: the item has been removed (ENOENT)");
    bench.tree(View::Config, Op::SetAttr(Object::Dir(node), SetAttr::default())).unwrap_err();
    said(&mut bench, "change of attributes cluster/c/node/n3: the item has been removed (ENOENT)");
    // Many removals later it is not known any more which one it was.
    for _ in 0..65 {
        bench.mkdir("cluster/c/heartbeat/S").unwrap();
        bench.rmdir("cluster/c/heartbeat/S").unwrap();
    }
    bench.log.clear();
    open(&mut bench);
    said(&mut bench, "open (removed)/(attribute): the item has been removed (ENOENT)");
    // A default group is known by its own path, which is removed with its parent.
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    let group = bench.dir("cluster/c/node");
    bench.rmdir("cluster/c").unwrap();
    bench.tree(View::Config, Op::Mkdir { dir: group, name: b"x" }).unwrap_err();
    said(&mut bench, "mkdir cluster/c/node/x: the item has been removed (ENOENT)");
}

#[test]
fn ignored_writes_leave_a_line() {
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    let group = "cluster/c/heartbeat";
    assert_eq!(bench.write("cluster/c/heartbeat/dead_threshold", "2\n"), Ok(2));
    let tail = "ignored, as by the kernel:";
    said(
        &mut bench,
        &alloc::format!("store {group}/dead_threshold \"2\\n\": {tail} dead_threshold is at least 3"),
    );
    assert_eq!(bench.write("cluster/c/heartbeat/dead_threshold", "7"), Ok(1));
    assert_eq!(bench.write("cluster/c/heartbeat/mode", "global"), Ok(6));
    assert!(lines(&mut bench).is_empty());
    bench.mkdir("cluster/c/heartbeat/R").unwrap();
    for (file, value) in [("dead_threshold", "9"), ("mode", "local")] {
        assert_eq!(bench.write(&alloc::format!("{group}/{file}"), value), Ok(value.len()));
        said(
            &mut bench,
            &alloc::format!(
                "store {group}/{file} \"{value}\": {tail} {file} can change only while there is no region"
            ),
        );
    }
    assert_eq!(bench.read("cluster/c/heartbeat/dead_threshold"), "7\n");
    assert_eq!(bench.read("cluster/c/heartbeat/mode"), "global\n");
}

const R: &str = "cluster/c/heartbeat/R";

/// Method `disk`, node n5 is local, region R has these numbers (none: not written).
fn disk(numbers: [Option<&str>; 3]) -> Bench {
    let mut bench = Bench::new();
    bench.mkdir("cluster/c").unwrap();
    bench.node(5);
    bench.local("n5");
    bench.mkdir(R).unwrap();
    for (file, number) in ["block_bytes", "start_block", "blocks"].into_iter().zip(numbers) {
        if let Some(number) = number {
            bench.write(&alloc::format!("{R}/{file}"), number).unwrap();
        }
    }
    bench.log.clear();
    bench
}

/// A write to `dev`, and what its device turned out to be.
fn opened(bench: &mut Bench, result: Result<DiskInfo, Refusal>) -> RequestId {
    let request = bench.ask_write(&alloc::format!("{R}/dev"), "3");
    let disk = bench.dir(R);
    bench.input(Input::Disk(disk, DiskResult::Opened(result)));
    request
}

fn info(sector_bytes: u32) -> DiskInfo {
    DiskInfo { name: "vda".to_string(), sector_bytes, regular_file: false, generation: 1, pid: 77 }
}

#[test]
fn numbers_that_a_region_lacks_are_named() {
    let rule = "block_bytes, start_block and blocks must be set, and not to 0, before dev";
    for (numbers, missing) in [
        ([None, None, None], "block_bytes, start_block and blocks"),
        ([Some("512"), None, None], "start_block and blocks"),
        ([None, Some("1"), None], "block_bytes and blocks"),
        ([None, None, Some("8")], "block_bytes and start_block"),
        ([Some("512"), Some("1"), None], "blocks"),
        ([Some("512"), None, Some("8")], "start_block"),
        ([Some("512"), Some("0"), Some("8")], "start_block"),
        ([None, Some("1"), Some("8")], "block_bytes"),
    ] {
        let mut bench = disk(numbers);
        bench.write(&alloc::format!("{R}/dev"), "3").unwrap_err();
        said(&mut bench, &alloc::format!("store {R}/dev \"3\": {rule}: {missing} still 0 (EINVAL)"));
    }
}

#[test]
fn devices_that_do_not_fit_say_why() {
    let complete = [Some("512"), Some("1"), Some("8")];
    for (numbers, result, rest) in [
        (complete, Err(Refusal::System(Errno::EACCES)), "opening the device failed (EACCES)"),
        (
            complete,
            Err(Refusal::BadDescriptor),
            &*alloc::format!("{} (EINVAL)", Refusal::BadDescriptor.rule()),
        ),
        (
            complete,
            Ok(info(4096)),
            "the device's sectors are of another size than block_bytes: 4096 instead of 512 (EINVAL)",
        ),
        (
            [Some("512"), Some("1"), Some("5")],
            Ok(info(512)),
            "the local node's number is beyond the slots of the region: it is 5, and the slots 0 to 4 (EINVAL)",
        ),
    ] {
        let mut bench = disk(numbers);
        opened(&mut bench, result);
        said(&mut bench, &alloc::format!("store {R}/dev \"3\": {rest}"));
    }
}

#[test]
fn a_region_that_has_a_device_says_how_far_it_is() {
    let mut bench = disk([Some("512"), Some("1"), Some("8")]);
    let again = |bench: &mut Bench, how: &str| {
        bench.write(&alloc::format!("{R}/dev"), "4").unwrap_err();
        let rule = "the region has been started already";
        said(bench, &alloc::format!("store {R}/dev \"4\": {rule}: {how} (EINVAL)"));
    };
    let dev = bench.ask_write(&alloc::format!("{R}/dev"), "3");
    again(&mut bench, "its device is being opened");
    let region = bench.dir(R);
    bench.input(Input::Disk(region, DiskResult::Opened(Ok(info(512)))));
    again(&mut bench, "on vda");
    // Not the region's fault: there is no local node any more.
    bench.write("cluster/c/node/n5/local", "0").unwrap();
    let answer = bench.done(dev).unwrap().unwrap_err();
    assert_eq!(answer.errno(), Errno::EIO);
    said(&mut bench, &alloc::format!("store {R}/dev \"3\": stopped before the region was steady (EIO)"));
}

#[test]
fn what_the_system_refuses_is_said_of_what_was_asked_of_it() {
    let mut bench = Bench::user();
    let dir = bench.dir("cluster/c/heartbeat/R");
    for (detail, words) in [
        (Some("target \"/x\": too slow"), "target \"/x\": too slow (EIO)"),
        (None, "the system refused (EIO)"),
    ] {
        let target = Err(NoTarget { refusal: Refusal::System(Errno::EIO), detail });
        bench.tree(View::Config, Op::Symlink { dir, name: b"x", target }).unwrap_err();
        said(&mut bench, &alloc::format!("symlink cluster/c/heartbeat/R/x: {words}"));
    }
}

#[test]
fn what_is_being_removed_is_not_said_to_be_gone() {
    let mut bench = disk([Some("512"), Some("1"), Some("8")]);
    let dev = bench.ask_write(&alloc::format!("{R}/dev"), "3");
    let rmdir = bench.ask_rmdir(R);
    assert_eq!((bench.done(dev), bench.done(rmdir)), (None, None));
    let rule = "the item is being removed, which waits for a store in it (ENOENT)";
    bench.rmdir(R).unwrap_err();
    said(&mut bench, &alloc::format!("rmdir {R}: {rule}"));
    bench.write(&alloc::format!("{R}/blocks"), "9").unwrap_err();
    said(&mut bench, &alloc::format!("store {R}/blocks \"9\": {rule}"));
}

#[test]
fn a_name_that_is_taken_is_so_for_every_call() {
    let mut bench = Bench::user();
    for (call, name) in
        [(Forbidden::NewFile, "create"), (Forbidden::SpecialFile, "mknod"), (Forbidden::HardLink, "link")]
    {
        assert_eq!(bench.forbidden("cluster/c/node", call), Refusal::NameExists);
        said(
            &mut bench,
            &alloc::format!("{name} cluster/c/node: the name is taken: of a directory (EEXIST)"),
        );
    }
}

#[test]
fn who_uses_the_stack_is_counted() {
    let mut bench = Bench::user();
    bench.subscribe(Registration::of(1, "R")).unwrap();
    bench.log.clear();
    bench.write_in(View::Sysfs, "fs/ocfs2/cluster_stack", "pcmk").unwrap_err();
    let lines: Vec<_> = bench.notes().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "store fs/ocfs2/cluster_stack \"pcmk\": cluster_stack can change only while nobody holds a region: \
          1 consumer holds (EBUSY), for pid 7 uid 8, in sysfs"
        ]
    );
}
