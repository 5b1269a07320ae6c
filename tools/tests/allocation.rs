//! A beat costs no allocation: none in the thread that beats, none in the timer's, none in those of the disks.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use uo2cb::Node;
use uo2cb::core::heartbeat::disk::Block;

/// Allocations of the whole process while they are counted, and their sizes.
static COUNTING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static SIZES: [AtomicUsize; 32] = [const { AtomicUsize::new(0) }; 32];

struct Counting;

fn count(size: usize) {
    if COUNTING.load(Ordering::Relaxed) {
        let at = COUNT.fetch_add(1, Ordering::Relaxed);
        if let Some(place) = SIZES.get(at) {
            place.store(size, Ordering::Relaxed);
        }
    }
}

// SAFETY: the system's allocator, and numbers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as our caller promises.
        unsafe { System.realloc(start, layout, size) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REGIONS: usize = 3;
/// How many beats are counted, and until when they must have come.
const BEATS: u64 = 2;
const SOON: Duration = Duration::from_secs(30);

fn node(folder: &std::path::Path) -> Node {
    let node = Node::builder().start().unwrap();
    node.mkdir("cluster/c").unwrap();
    let port = uo2cb_test_support::port::reserve().to_string();
    for num in 0..3 {
        let dir = format!("cluster/c/node/n{num}");
        node.mkdir(&dir).unwrap();
        let address = format!("127.0.0.{}", num + 1);
        for (file, value) in [("ipv4_address", &address), ("ipv4_port", &port), ("num", &num.to_string())] {
            node.write(format!("{dir}/{file}"), value).unwrap();
        }
    }
    node.write("cluster/c/node/n0/local", "1").unwrap();
    thread::scope(|scope| {
        for region in 0..REGIONS {
            let disk = folder.join(format!("disk{region}"));
            let file = File::create(&disk).unwrap();
            file.set_len(16 * 512).unwrap();
            // What an earlier start has left: so this one takes a beat less.
            let mut slot = [0; 512];
            Block { seq: 1, node: 0, generation: 1, dead_ms: 62_000 }.encode(&mut slot);
            file.write_all_at(&slot, 512).unwrap();
            let dir = format!("cluster/c/heartbeat/a region with a long name {region}");
            node.mkdir(&dir).unwrap();
            for (file, value) in [("block_bytes", "512"), ("start_block", "1"), ("blocks", "8")] {
                node.write(format!("{dir}/{file}"), value).unwrap();
            }
            let node = &node;
            scope.spawn(move || node.start_region(dir, disk).unwrap());
        }
    });
    node
}

#[test]
fn beats_do_not_allocate() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path());
    let disks: Vec<File> = (0..REGIONS)
        .map(|region| {
            let path = folder.path().join(format!("disk{region}"));
            File::options().read(true).write(true).open(path).unwrap()
        })
        .collect();
    let seqs = || {
        let mut seqs = [0; REGIONS];
        for (seq, disk) in seqs.iter_mut().zip(&disks) {
            let mut slot = [0; 512];
            disk.read_exact_at(&mut slot, 512).unwrap();
            *seq = Block::decode(&slot).block.seq;
        }
        seqs
    };
    // Until each region has beaten once more. Node 1 is played here: it writes as often.
    let beat = |seq: u64| {
        let mut slot = [0; 512];
        Block { seq, node: 1, generation: 7, dead_ms: 62_000 }.encode(&mut slot);
        disks.iter().for_each(|disk| disk.write_all_at(&slot, 2 * 512).unwrap());
        let (before, deadline) = (seqs(), Instant::now() + SOON);
        while seqs().iter().zip(before).any(|(now, before)| *now == before) {
            assert!(Instant::now() < deadline, "no beat");
            thread::sleep(Duration::from_millis(5));
        }
    };
    (1..=2).for_each(beat);
    assert!(node.status().regions.iter().all(|region| region.up.len() == 2));
    COUNTING.store(true, Ordering::Relaxed);
    (3..3 + BEATS).for_each(beat);
    let count = COUNT.load(Ordering::Relaxed);
    thread::spawn(|| Box::new(1)).join().unwrap();
    assert!(COUNT.load(Ordering::Relaxed) > count, "nothing is counted at all");
    COUNTING.store(false, Ordering::Relaxed);
    let sizes: Vec<_> =
        SIZES[..count.min(SIZES.len())].iter().map(|size| size.load(Ordering::Relaxed)).collect();
    assert_eq!(count, 0, "allocations in {BEATS} beats of {REGIONS} regions; of these sizes: {sizes:?}");
    assert!(node.status().regions.iter().all(|region| region.up.len() == 2));
    drop(node);
}
