//! The heartbeat area of ocfs2's volumes: what `uo2cb dump` finds there, and what ocfs2's own reader says.

use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;
use uo2cb_tests::poll::until;

use crate::daemon::Daemon;
use crate::device::{Device, Place, dump, output};

/// Fields as `debugfs.ocfs2 -R hb` has them: slot, node, seq, generation, checksum, dead_ms.
type Row = (u64, u64, u64, u64, u64, u64);

fn debugfs(device: &Device, request: &str) -> String {
    let mut debugfs = Command::new("debugfs.ocfs2");
    output(debugfs.args(["-n", "-R", request]).arg(device.path()).env("PAGER", "cat").stdin(Stdio::null()))
}

fn mkfs(device: &Device, options: &[&str]) {
    let mut mkfs = Command::new("mkfs.ocfs2");
    // Do not ask for the cluster's state, as none is online, and do not prompt.
    mkfs.args(["-q", "-x", "-F", "-J", "size=4M"]).args(options).arg(device.path());
    output(mkfs.stdin(Stdio::null()));
}

fn json(device: &Device, options: &[&str]) -> Value {
    let options: Vec<_> = options.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&output(&mut dump(device.path(), &options))).unwrap()
}

fn place(dump: &Value) -> Place {
    let number = |name: &str| dump[name].as_u64().unwrap();
    Place {
        start_block: number("start_block"),
        block_bytes: number("block_bytes").try_into().unwrap(),
        blocks: number("blocks").try_into().unwrap(),
    }
}

/// The rows of both readers, when nothing was written between them.
fn rows(device: &Device) -> (Vec<Row>, Vec<Row>) {
    let mut found = None;
    until("a moment without a beat", || {
        let (before, theirs, after) =
            (json(device, &["--once"]), debugfs(device, "hb"), json(device, &["--once"]));
        let same = |dump: &Value| dump["slots"].as_array().unwrap().iter().map(ours).collect::<Vec<_>>();
        found = (same(&before) == same(&after))
            .then(|| (same(&before), theirs.lines().filter_map(row).collect()));
        found.is_some()
    });
    found.unwrap()
}

fn ours(slot: &Value) -> Row {
    assert_eq!(slot["good"], true, "{slot}");
    let number = |name: &str| slot[name].as_u64().unwrap();
    let hex =
        |name: &str| u64::from_str_radix(slot[name].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    (number("slot"), number("node"), number("seq"), hex("generation"), hex("cksum"), number("dead_ms"))
}

/// `   0:    0 000000006b02c265 7f67a88fc80e844d 7fa4872f   6000`
fn row(line: &str) -> Option<Row> {
    let (slot, rest) = line.split_once(':')?;
    let slot = slot.trim().parse().ok()?;
    let mut fields = rest.split_whitespace();
    let node = fields.next()?.parse().ok()?;
    let mut hex = || u64::from_str_radix(fields.next()?, 16).ok();
    let (seq, generation, cksum) = (hex()?, hex()?, hex()?);
    Some((slot, node, seq, generation, cksum, fields.next()?.parse().ok()?))
}

/// Two daemons on one volume, in the slots that ocfs2's own tools would use.
pub(crate) fn two_nodes() {
    let device = Device::new(64 << 20, 512);
    mkfs(&device, &["-M", "local", "-b", "4096", "-C", "4096", "-N", "2"]);
    let around = place(&json(&device, &[]));
    let daemons = [Daemon::new(0, 7), Daemon::new(3, 7)];
    thread::scope(|scope| {
        for daemon in &daemons {
            scope.spawn(|| assert_eq!(daemon.start(around, &device.open()).0, Ok(())));
        }
    });
    daemons.iter().for_each(|daemon| daemon.until_up(&[0, 3]));
    let (ours, theirs) = rows(&device);
    assert_eq!(ours, theirs);
    assert_eq!(
        ours.iter().map(|row| (row.0, row.1, row.5)).collect::<Vec<_>>(),
        [(0, 0, 14_000), (3, 3, 14_000)]
    );
    assert!(ours.iter().all(|row| row.3 != 0));
    // On a busy machine a beat may be later than the second look.
    until("both are told to be alive", || {
        let text = output(&mut dump(device.path(), &[]));
        let alive = |(slot, _, _, generation, ..): &Row| {
            let (start, rest) = (format!("{slot}     alive"), format!("{generation:#018x}  14 s"));
            text.lines().any(|line| line.starts_with(&start) && line.contains(&rest))
        };
        ours.iter().all(alive)
    });
    drop(daemons);
    let (ours, theirs) = rows(&device);
    assert_eq!(ours, theirs);
    assert!(ours.len() == 2 && ours.iter().all(|row| row.3 == 0), "both have left: {ours:?}");
    // The volume itself is as it was.
    output(Command::new("fsck.ocfs2").args(["-n", "-f"]).arg(device.path()).stdin(Stdio::null()));
}

/// What is found is where ocfs2's own tools say that it is.
pub(crate) fn all_kinds() {
    let check = |sector: u32, megabytes: u64, options: &[&str]| {
        let device = Device::new(megabytes << 20, sector);
        mkfs(&device, options);
        let found = json(&device, &[]);
        let (place, volume) = (place(&found), &found["ocfs2"]);
        let stat = debugfs(&device, "stat //heartbeat");
        let mut last = stat.lines().rev().find(|line| !line.trim().is_empty()).unwrap().split_whitespace();
        let block: u64 = last.nth(3).unwrap().parse().unwrap();
        let block_size = volume["block_size"].as_u64().unwrap();
        assert_eq!(
            place.start_block * u64::from(place.block_bytes),
            block * block_size,
            "{options:?}: {stat}"
        );
        assert_eq!((place.block_bytes, place.blocks), (sector, 255), "{options:?}");
        let stats = debugfs(&device, "stats");
        let bits = |size: &Value| size.as_u64().unwrap().ilog2();
        let sizes = format!(
            "Block Size Bits: {}   Cluster Size Bits: {}",
            bits(&volume["block_size"]),
            bits(&volume["cluster_size"])
        );
        assert!(stats.contains(&sizes), "{options:?}: {stats}");
        assert!(stats.contains(&format!("UUID: {}", volume["uuid"].as_str().unwrap())), "{options:?}");
        let line = format!(
            "block_bytes {}, start_block {}, blocks {}\nno slot was ever written\n",
            place.block_bytes, place.start_block, place.blocks
        );
        assert!(output(&mut dump(device.path(), &[])).ends_with(&line));
    };
    for block in ["512", "1024", "2048", "4096"] {
        check(512, 64, &["-M", "local", "-b", block, "-C", "4096", "-N", "2"]);
        check(512, 64, &["-M", "local", "-b", block, "-C", "32768", "-N", "4"]);
    }
    check(512, 400, &["-M", "local", "-b", "4096", "-C", "1048576", "-N", "2", "-J", "size=64M"]);
    check(4096, 64, &["-M", "local", "-b", "4096", "-C", "4096", "-N", "2"]);
    check(512, 300, &["-M", "local", "-N", "60", "-b", "1024"]);
    for level in ["max-compat", "max-features"] {
        check(512, 64, &["-M", "local", "-N", "4", "--fs-feature-level", level]);
    }
    // Cluster volumes: classic, with global heartbeat, of another stack.
    check(512, 64, &["-N", "4"]);
    check(512, 64, &["-N", "4", "--cluster-stack=o2cb", "--cluster-name=web", "--global-heartbeat"]);
    check(512, 64, &["-N", "4", "--cluster-stack=pcmk", "--cluster-name=web"]);
}
