//! What only the ring does: a hung request is the kernel's, not a thread's.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{file_disk, run, run_all};
use uo2cb_blockio::{Device, DirectFile, Errno, Info, Kind, Queue, Refused, Room, Uring};

const ROOM: Room = Room { read: 4096, write: 512 };

/// A socket stands in for a disk that hangs until somebody writes into it.
#[derive(Debug)]
struct Hung {
    end: UnixStream,
    info: Info,
}

impl Hung {
    fn new() -> (Arc<Self>, UnixStream) {
        let (end, other) = UnixStream::pair().unwrap();
        let info =
            Info { kind: Kind::File, name: "socket".into(), sector_bytes: 512, bytes: 4096, direct: false };
        (Arc::new(Self { end, info }), other)
    }
}

impl Device for Hung {
    fn info(&self) -> &Info {
        &self.info
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<usize, Errno> {
        panic!("the ring reads the descriptor")
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<usize, Errno> {
        panic!("the ring writes the descriptor")
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.end.as_fd())
    }
}

/// A ring, if this system has it.
fn ring() -> Option<Uring> {
    Uring::new().inspect_err(|why| uo2cb_test_support::not_run(&format!("blockio: io_uring: {why}"))).ok()
}

/// Reads of so many hung disks, and what ends each.
fn hung_reads(queue: &mut Uring, count: u64) -> Vec<UnixStream> {
    let hung = |tag| {
        let (device, end) = Hung::new();
        let disk = queue.add(device, ROOM).unwrap();
        queue.read(disk, tag, 0, 512).unwrap();
        end
    };
    (0..count).map(hung).collect()
}

/// Waits for the queue until `done`; nothing may end meanwhile.
fn wait(queue: &mut Uring, done: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < limit);
        let until = Instant::now() + Duration::from_millis(5);
        queue.complete(Some(until), &mut |done| panic!("{done:?}")).unwrap();
    }
}

#[test]
fn hung_reads_delay_no_other_disk() {
    let Some(mut queue) = ring() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = file_disk(&folder, "good", 4096);
    let good = queue.add(Arc::new(DirectFile::open(&path, false).unwrap()), ROOM).unwrap();
    let mut ends = hung_reads(&mut queue, 100);
    for tag in 1000..1010 {
        assert_eq!(run(&mut queue, |queue| queue.read(good, tag, 0, 4096)).result, Ok(4096));
        assert_eq!(run(&mut queue, |queue| queue.write(good, tag, 512, &[1; 512])).tag, tag);
    }
    for end in &mut ends {
        end.write_all(&[5; 512]).unwrap();
    }
    let mut ended = run_all(&mut queue, 100);
    ended.sort_by_key(|ended| ended.tag);
    assert!(ended.iter().enumerate().all(|(tag, ended)| ended.tag == tag as u64 && ended.bytes == [5; 512]));
}

/// Hung disks must not keep a processor busy.
#[test]
fn a_wait_for_hung_disks_ends_when_somebody_rings() {
    let Some(mut queue) = ring() else { return };
    let mut ends = hung_reads(&mut queue, 3);
    let rung = AtomicBool::new(false);
    let waker = queue.waker();
    let mut waits = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            // Long enough for a wait that ends by itself to be seen to.
            thread::sleep(Duration::from_millis(200));
            rung.store(true, Ordering::Relaxed);
            waker.wake();
        });
        while !rung.load(Ordering::Relaxed) {
            assert_eq!(queue.complete(None, &mut |_| {}), Ok(0));
            waits += 1;
        }
    });
    assert!(waits < 10, "{waits} waits");
    for end in &mut ends {
        end.write_all(&[5; 512]).unwrap();
    }
    run_all(&mut queue, 3);
}

#[test]
fn a_removed_disk_stays_until_the_kernel_is_done() {
    let Some(mut queue) = ring() else { return };
    let (device, mut end) = Hung::new();
    let disk = queue.add(device.clone(), ROOM).unwrap();
    queue.read(disk, 1, 0, 4096).unwrap();
    queue.submit().unwrap();
    queue.remove(disk);
    queue.remove(disk);
    assert_eq!(queue.read(disk, 2, 0, 512), Err(Refused::NoDisk));
    assert_eq!(Arc::strong_count(&device), 2, "its buffer and descriptor are in use");

    // Its place is not given to another one.
    let (other, mut other_end) = Hung::new();
    let second = queue.add(other, ROOM).unwrap();
    other_end.write_all(&[2; 100]).unwrap();
    assert_eq!(run(&mut queue, |queue| queue.read(second, 3, 0, 512)).bytes, [2; 100]);

    end.write_all(&[1; 4096]).unwrap();
    wait(&mut queue, || Arc::strong_count(&device) == 1);

    // Now it is: with a key of its own.
    let third = queue.add(device, ROOM).unwrap();
    assert!(third != disk && third != second);
    end.write_all(&[3; 10]).unwrap();
    assert_eq!(run(&mut queue, |queue| queue.read(third, 4, 0, 512)).bytes, [3; 10]);
}

#[test]
fn a_ring_goes_with_requests_in_flight() {
    let Some(mut queue) = ring() else { return };
    let (device, mut end) = Hung::new();
    let disk = queue.add(device.clone(), ROOM).unwrap();
    queue.read(disk, 1, 0, 4096).unwrap();
    queue.submit().unwrap();
    drop(queue);
    assert_eq!(Arc::strong_count(&device), 1);
    // Whether the kernel still takes it or not: the memory it has been given is there.
    let _ = end.write_all(&[1; 512]);
}

#[test]
fn errors_of_the_kernel_come_back() {
    let Some(mut queue) = ring() else { return };
    let (device, end) = Hung::new();
    let disk = queue.add(device, ROOM).unwrap();
    drop(end);
    assert_eq!(run(&mut queue, |queue| queue.write(disk, 1, 0, &[1; 512])).result, Err(Errno::PIPE));
    assert_eq!(run(&mut queue, |queue| queue.read(disk, 2, 0, 512)).result, Ok(0));
}

#[test]
fn a_device_without_a_descriptor_is_refused() {
    let Some(mut queue) = ring() else { return };
    let memory = Arc::new(uo2cb_blockio::MemDisk::new("m", 512, 4096));
    assert_eq!(queue.add(memory, ROOM).unwrap_err(), Errno::OPNOTSUPP);
}

#[test]
fn only_so_many_disks() {
    let Some(mut queue) = ring() else { return };
    let (device, mut end) = Hung::new();
    let last = (0..1000).map(|_| queue.add(device.clone(), ROOM).unwrap()).last().unwrap();
    assert_eq!(queue.add(device.clone(), ROOM).unwrap_err(), Errno::NFILE);
    end.write_all(&[1; 20]).unwrap();
    assert_eq!(run(&mut queue, |queue| queue.read(last, 1, 0, 512)).result, Ok(20));
    queue.remove(last);
    assert!(queue.add(device, ROOM).is_ok());
    assert!(File::open("/dev/null").is_ok(), "descriptors are left");
}
