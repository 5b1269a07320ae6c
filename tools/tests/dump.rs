//! `uo2cb dump` on files.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, SystemTime};

use common::World;
use serde_json::Value;
use uo2cb::core::heartbeat::disk::Block;

/// Alive is who writes, and not whose seq is near to the clock of this machine.
#[test]
fn dump_looks_twice_and_trusts_no_clock() {
    let world = World::new();
    world.ok(&["format", "disk", "--slots", "3"]);
    let disk = fs::File::options().write(true).open(world.folder.path().join("disk")).unwrap();
    let put = move |seq, node: u8, generation| {
        let mut slot = [0; 512];
        Block { seq, node, generation, dead_ms: 62_000 }.encode(&mut slot);
        disk.write_all_at(&slot, 512 + u64::from(node) * 512).unwrap();
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    put(now, 1, 7);
    put(now, 2, 0);
    put(100, 0, 9);
    // A node whose clock stood still in 1970 and is counted on from.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut seq = 100;
        while stopped.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Timeout) {
            seq += 1;
            put(seq, 0, 9);
        }
    });
    let told = |options: &[&str]| {
        let json: Value = serde_json::from_str(&world.ok(options)).unwrap();
        let slots = json["slots"].as_array().unwrap();
        let state = |slot: &Value| slot["state"].as_str().unwrap().to_owned();
        (slots.iter().map(state).collect::<Vec<_>>(), json["looks"].clone(), slots[0]["clock"].as_i64())
    };
    let (states, looks, clock) = told(&["dump", "disk", "--json"]);
    assert_eq!((states, looks), (["alive", "silent", "left"].map(str::to_owned).to_vec(), 2.into()));
    assert!(clock.is_some_and(|clock| clock < -1_000_000_000), "{clock:?}");
    for once in ["--once", "--no-wait"] {
        let (states, looks, clock) = told(&["dump", "disk", "--json", once]);
        assert_eq!((states, looks), (["written", "written", "left"].map(str::to_owned).to_vec(), 1.into()));
        assert_eq!(clock, None);
    }
    let text = world.ok(&["dump", "disk"]);
    assert!(text.starts_with("looked twice, 2.5 s apart"), "{text}");
    assert!(text.contains(" s behind"), "{text}");
    drop(stop);
    writer.join().unwrap();
    assert!(world.ok(&["dump", "disk"]).contains("0     silent"));
}

/// Neither made by `format` nor by mkfs.ocfs2, or that in pieces: one line each, and nothing that looks like slots.
#[test]
fn dump_says_what_is_no_disk_of_ours() {
    let world = World::new();
    let file = |name: &str, bytes: &[u8]| fs::write(world.folder.path().join(name), bytes).unwrap();
    world.ok(&["format", "made", "--slots", "3"]);
    assert_eq!(world.ok(&["dump", "made"]), "no slot was ever written\n");
    world.fails(&["dump", "made", "--start-block", "4"], 1, "made: ends before the first slot");
    // The size of slots shows by what is written in them.
    for size in [512, 1024, 2048, 4096] {
        let block = Block { seq: 1, node: 3, generation: 7, dead_ms: 62_000 };
        let mut bytes = vec![0; size * 9];
        block.encode(&mut bytes[size * 4..size * 5]);
        file("sized", &bytes);
        let told = world.ok(&["dump", "sized", "--json", "--once"]);
        assert!(told.contains(&format!("\"block_bytes\":{size}")), "{told}");
        assert!(told.contains("\"slot\":3") && told.contains("\"node\":3"), "{told}");
    }
    world.fails(&["dump", "made", "--start-block", "18446744073709551615"], 2, "beyond every device");
    world.fails(&["dump", "."], 1, "Is a directory");
    file("short", &[0; 511]);
    let noise: Vec<u8> =
        (0..1u32 << 20).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    file("noise", &noise);
    for name in ["short", "noise", "/dev/null"] {
        world.fails(&["dump", name], 1, "no volume of ocfs2, nor made by `uo2cb format`");
    }
    let mut volume = noise;
    volume[8192..8200].copy_from_slice(b"OCFSV2\0\0");
    volume[8192 + 0xf8..][..8].copy_from_slice(&[12, 0, 0, 0, 12, 0, 0, 0]);
    file("volume", &volume);
    world.fails(&["dump", "volume"], 1, "volume: broken ocfs2 volume: system directory, block ");
    // Whoever says where it is need not have a whole volume.
    assert!(world.ok(&["dump", "volume", "--start-block", "3", "--blocks", "2"]).contains("bad checksum"));
}
