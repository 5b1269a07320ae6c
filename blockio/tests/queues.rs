//! Every queue with real files and disks in memory.

mod common;

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Gate, file_disk, queues, run, run_all};
use uo2cb_blockio::{Device, DirectFile, DiskKey, Errno, Info, MemDisk, Op, Refused, Room};

const ROOM: Room = Room { read: 255 * 512, write: 512 };

fn seconds(count: u64) -> Instant {
    Instant::now() + Duration::from_secs(count)
}

#[test]
fn equal_results_on_all() {
    let folder = tempfile::tempdir().unwrap();
    for mut queue in queues() {
        let (path, file) = file_disk(&folder, "equal", 64 * 512 + 100);
        file.write_all_at(&[9; 512], 512).unwrap();
        let device = Arc::new(DirectFile::open(&path, false).unwrap());
        let disk = queue.add(device, ROOM).unwrap();

        let read = run(&mut *queue, |queue| queue.read(disk, 1, 0, 2048));
        assert_eq!((read.disk, read.tag, read.op, read.result), (disk, 1, Op::Read, Ok(2048)));
        assert_eq!((read.bytes[511], read.bytes[512], read.bytes[1024]), (0, 9, 0));
        let write = run(&mut *queue, |queue| queue.write(disk, 2, 1024, &[7; 512]));
        assert_eq!((write.tag, write.op, write.result), (2, Op::Write, Ok(512)));
        assert!(write.bytes.is_empty());
        let mut found = [0; 512];
        file.read_exact_at(&mut found, 1024).unwrap();
        assert_eq!(found, [7; 512]);

        let short = run(&mut *queue, |queue| queue.read(disk, 3, 63 * 512, 2048));
        assert_eq!((short.result, short.bytes.len()), (Ok(612), 612), "short at the end");
        let beyond = run(&mut *queue, |queue| queue.read(disk, 4, 1 << 30, 512));
        assert_eq!((beyond.result, beyond.bytes.len()), (Ok(0), 0));
        let wrong = run(&mut *queue, |queue| queue.read(disk, 5, u64::MAX - 511, 512));
        assert_eq!(wrong.result, Err(Errno::INVAL), "negative offset");
    }
}

#[test]
fn refusals() {
    for mut queue in queues() {
        let device = Arc::new(Gate::new(MemDisk::new("m", 512, 1 << 20)));
        let disk = queue.add(device.clone(), ROOM).unwrap();
        assert_eq!(queue.read(disk, 1, 0, ROOM.read + 1), Err(Refused::TooLong));
        assert_eq!(queue.write(disk, 1, 0, &[0; 1024]), Err(Refused::TooLong));
        device.shut();
        queue.read(disk, 2, 0, 512).unwrap();
        assert_eq!(queue.read(disk, 3, 0, 512), Err(Refused::Busy), "before it has started");
        queue.submit().unwrap();
        device.await_blocked(1);
        assert_eq!(queue.read(disk, 4, 0, 512), Err(Refused::Busy));
        queue.write(disk, 5, 0, &[1; 512]).unwrap();
        assert_eq!(queue.write(disk, 6, 0, &[1; 512]), Err(Refused::Busy));
        device.open();
        let mut tags: Vec<u64> = run_all(&mut *queue, 2).iter().map(|done| done.tag).collect();
        tags.sort_unstable();
        assert_eq!(tags, [2, 5]);
        queue.read(disk, 7, 0, 512).unwrap();
        queue.remove(disk);
        assert_eq!(queue.read(disk, 8, 0, 512), Err(Refused::NoDisk));
        let other = queue.add(device, ROOM).unwrap();
        assert_ne!(other, disk);
        assert_eq!(run(&mut *queue, |queue| queue.read(other, 9, 0, 512)).tag, 9, "7 is not heard of");
        assert_eq!(queue.write(disk, 10, 0, &[0; 512]), Err(Refused::NoDisk));
    }
}

#[test]
fn two_hundred_disks_in_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    for mut queue in queues() {
        let disks: Vec<DiskKey> = (0..200)
            .map(|number: u8| {
                let (path, file) = file_disk(&folder, &format!("disk{number}"), 255 * 512);
                file.write_all_at(&[number; 512], 512 * u64::from(number)).unwrap();
                queue.add(Arc::new(DirectFile::open(&path, false).unwrap()), ROOM).unwrap()
            })
            .collect();
        for round in 0..3 {
            for (number, &disk) in disks.iter().enumerate() {
                queue.read(disk, number as u64, 0, 255 * 512).unwrap();
            }
            let mut done = run_all(&mut *queue, 200);
            done.sort_by_key(|done| done.tag);
            for (number, done) in done.iter().enumerate() {
                assert_eq!((done.disk, done.tag), (disks[number], number as u64));
                assert_eq!(done.result, Ok(255 * 512));
                assert_eq!(done.bytes[512 * number], number as u8 + round);
                assert_eq!(done.bytes.iter().filter(|&&byte| byte != 0).count() % 512, 0);
            }
            for (number, &disk) in disks.iter().enumerate() {
                queue.write(disk, 1000, 512 * number as u64, &[number as u8 + round + 1; 512]).unwrap();
            }
            assert!(run_all(&mut *queue, 200).iter().all(|done| done.result == Ok(512)));
        }
    }
}

#[test]
fn hung_disks_stop_no_other() {
    for mut queue in queues() {
        let gate = Arc::new(Gate::new(MemDisk::new("hung", 512, 4096)));
        gate.shut();
        let hung: Vec<DiskKey> = (0..40).map(|_| queue.add(gate.clone(), ROOM).unwrap()).collect();
        let good = queue.add(Arc::new(MemDisk::new("good", 512, 4096)), ROOM).unwrap();
        for &disk in &hung {
            queue.read(disk, 1, 0, 512).unwrap();
        }
        assert_eq!(run(&mut *queue, |queue| queue.read(good, 2, 0, 512)).tag, 2);
        gate.await_blocked(40);
        assert_eq!(run(&mut *queue, |queue| queue.write(good, 3, 0, &[3; 512])).tag, 3);

        for &disk in &hung[..20] {
            queue.remove(disk);
        }
        assert_eq!(Arc::strong_count(&gate), 41, "in flight: they stay until they end");
        gate.open();
        let done = run_all(&mut *queue, 20);
        assert!(done.iter().all(|done| hung[20..].contains(&done.disk) && done.result == Ok(512)));
        let limit = seconds(10);
        while Arc::strong_count(&gate) > 21 {
            assert!(Instant::now() < limit, "removed disks are closed when they end");
            queue
                .complete(Some(Instant::now() + Duration::from_millis(5)), &mut |_| panic!("removed"))
                .unwrap();
        }
    }
}

#[test]
fn a_queue_goes_without_waiting_for_hung_disks() {
    for mut queue in queues() {
        let gate = Arc::new(Gate::new(MemDisk::new("hung", 512, 4096)));
        gate.shut();
        let disk = queue.add(gate.clone(), ROOM).unwrap();
        queue.read(disk, 1, 0, 512).unwrap();
        queue.submit().unwrap();
        gate.await_blocked(1);
        drop(queue);
        gate.open();
    }
}

#[test]
fn wakes_and_deadlines() {
    for mut queue in queues() {
        let mut nothing = |done: uo2cb_blockio::Completion<'_>| panic!("{done:?}");
        let waker = queue.waker();
        waker.wake();
        waker.wake();
        assert_eq!(queue.complete(Some(seconds(60)), &mut nothing), Ok(0), "a wake before the wait");

        let started = Instant::now();
        let until = started + Duration::from_millis(30);
        while Instant::now() < until {
            assert_eq!(queue.complete(Some(until), &mut nothing), Ok(0));
        }
        assert!(started.elapsed() < Duration::from_secs(10));

        let other = thread::spawn(move || waker.wake());
        let started = Instant::now();
        queue.complete(Some(seconds(60)), &mut nothing).unwrap();
        assert!(started.elapsed() < Duration::from_secs(30), "woken from another thread");
        other.join().unwrap();
    }
}

#[test]
fn wakes_are_never_lost() {
    for mut queue in queues() {
        let waker = queue.waker();
        let (sender, receiver) = std::sync::mpsc::channel();
        let other = thread::spawn(move || {
            for number in 0..20_000 {
                sender.send(number).unwrap();
                waker.wake();
            }
        });
        let limit = seconds(60);
        let mut next = 0;
        while next < 20_000 {
            queue.complete(Some(limit), &mut |_| ()).unwrap();
            assert!(Instant::now() < limit, "a wake was lost at {next}");
            while let Ok(number) = receiver.try_recv() {
                assert_eq!(number, next);
                next += 1;
            }
        }
        other.join().unwrap();
    }
}

#[test]
fn disks_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    for mut queue in queues() {
        let (path, _) = file_disk(&folder, "comes", 4096);
        let mut last = None;
        for round in 0..50 {
            let file = Arc::new(DirectFile::open(&path, false).unwrap());
            let memory = Arc::new(MemDisk::new("m", 512, 4096));
            for device in [file as Arc<dyn Device>, memory] {
                let Ok(disk) = queue.add(device, ROOM) else { continue };
                assert_ne!(last.replace(disk), Some(disk));
                assert_eq!(run(&mut *queue, |queue| queue.read(disk, round, 0, 4096)).result, Ok(4096));
                queue.remove(disk);
            }
        }
    }
}

/// A disk whose reads run into a fault of the program.
#[derive(Debug)]
struct Broken(MemDisk);

impl Device for Broken {
    fn info(&self) -> &Info {
        self.0.info()
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<usize, Errno> {
        panic!("as expected by this test")
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize, Errno> {
        self.0.write_at(offset, from)
    }
}

/// Else the disk would look like one that hangs, and nobody would end the program.
#[test]
fn a_panic_in_a_device_reaches_the_owner_of_the_queue() {
    for mut queue in queues() {
        let disk = queue.add(Arc::new(Broken(MemDisk::new("m", 512, 1 << 20))), ROOM).unwrap();
        queue.read(disk, 1, 0, 512).unwrap();
        let wait = AssertUnwindSafe(|| {
            let limit = seconds(60);
            while Instant::now() < limit && queue.complete(Some(limit), &mut |_| ()) == Ok(0) {}
        });
        let panic = catch_unwind(wait).expect_err("a read that panicked has a result");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"as expected by this test"));
    }
}
