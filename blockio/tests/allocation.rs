//! A beat costs no allocation, neither in the thread that drives the queue nor in another one.
#![allow(clippy::unwrap_used)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{file_disk, queues};
use uo2cb_blockio::{Device, DirectFile, MemDisk, Op, Queue, Room};

/// Allocations of the whole process.
static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the system's allocator, and a number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn beats_do_not_allocate() {
    let folder = tempfile::tempdir().unwrap();
    for mut queue in queues() {
        let mut disks = Vec::with_capacity(40);
        for number in 0..20 {
            let (path, _) = file_disk(&folder, &number.to_string(), 4096);
            let file: Arc<dyn Device> = Arc::new(DirectFile::open(&path, false).unwrap());
            let memory = Arc::new(MemDisk::new("m", 512, 4096));
            for device in [file, memory] {
                disks.push(queue.add(device, Room { read: 4096, write: 512 }).unwrap());
            }
        }
        let mut judged = Vec::with_capacity(disks.len());
        let mut beat = |queue: &mut dyn Queue| {
            for &disk in &disks {
                queue.read(disk, 0, 0, 4096).unwrap();
            }
            let mut left = 2 * disks.len();
            while left > 0 {
                left -= queue
                    .complete(None, &mut |done| {
                        if done.op == Op::Read {
                            judged.push(done.disk);
                        }
                    })
                    .unwrap();
                for disk in judged.drain(..) {
                    queue.write(disk, 1, 512, &[1; 512]).unwrap();
                }
            }
        };
        // Threads are started by the first ones, and some of what they need is made on first use.
        for _ in 0..50 {
            beat(&mut *queue);
        }
        let before = COUNT.load(Ordering::Relaxed);
        for _ in 0..50 {
            beat(&mut *queue);
        }
        assert_eq!(COUNT.load(Ordering::Relaxed) - before, 0, "{}", queue.name());
    }
}
