//! What a beat costs: CPU time of reading all slots of a disk, summing each, and writing one block, on many
//! disks at once. Prints a table of ratios; all numbers of a table are from one run, in alternating turns.
//!
//! `cargo bench -p uo2cb-blockio` measures on files in the folder for temporary files, or in `BEATS_DIR`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::File;
use std::hint::black_box;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use io_uring::{IoUring, opcode, types};
use uo2cb_blockio::{DirectFile, DiskKey, Op, Queue, Room, Threads, Uring};

const DISKS: usize = 200;
const SLOT: usize = 512;
const SLOTS: usize = 255;
const FEW: usize = 32;
const ROUNDS: usize = 20;
const TURNS: usize = 5;
/// From tick to tick, whichever way: a beat comes after a sleep, not hot on the heels of the last one.
const PERIOD: Duration = Duration::from_millis(50);

/// User and system time of this process.
fn cpu() -> Duration {
    // SAFETY: plain numbers, for which zero is a value; the call fills them.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Sleeps until tick `number` after `start`.
fn sleep_until(start: Instant, number: usize) {
    thread::sleep((start + PERIOD * number as u32).saturating_duration_since(Instant::now()));
}

/// What the stack does with what was read.
fn judge(slots: &[u8]) {
    for slot in slots.chunks_exact(SLOT) {
        let mut sum = crc32fast::Hasher::new_with_initial(0xFFFF_FFFF);
        sum.update(slot);
        black_box(!sum.finalize());
    }
}

/// Memory as direct I/O wants it.
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
}

impl Aligned {
    fn new(bytes: usize) -> Self {
        let bytes = vec![0u8; bytes + 4096];
        let start = bytes.as_ptr().align_offset(4096);
        Self { bytes, start }
    }

    fn of(&mut self, length: usize) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + length]
    }
}

/// The least that can be done on io_uring: no safety, no names, no timeouts.
struct Bare {
    ring: IoUring,
    files: Vec<File>,
    buffers: Vec<Aligned>,
}

impl Bare {
    fn new(paths: &[PathBuf]) -> Self {
        let files: Vec<File> = paths.iter().map(|path| direct(path)).collect();
        let mut buffers: Vec<Aligned> = files.iter().map(|_| Aligned::new(256 * SLOT)).collect();
        let ring = IoUring::builder().setup_coop_taskrun().build(512).unwrap();
        let table: Vec<libc::iovec> = buffers
            .iter_mut()
            .map(|buffer| buffer.of(256 * SLOT))
            .map(|part| libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() })
            .collect();
        // SAFETY: the buffers live as long as the ring.
        unsafe { ring.submitter().register_buffers(&table) }.unwrap();
        let numbers: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
        ring.submitter().register_files(&numbers).unwrap();
        Self { ring, files, buffers }
    }

    fn beat(&mut self, slots: usize) {
        let Self { ring, files, buffers } = self;
        for (index, buffer) in buffers.iter_mut().enumerate() {
            let part = buffer.of(slots * SLOT);
            let read = opcode::ReadFixed::new(
                types::Fixed(index as u32),
                part.as_mut_ptr(),
                part.len() as u32,
                index as u16,
            );
            // SAFETY: the buffer is left alone until the read has ended.
            unsafe { ring.submission().push(&read.build().user_data(index as u64)) }.unwrap();
        }
        let mut left = 2 * files.len();
        let mut ended = Vec::with_capacity(files.len());
        while left > 0 {
            ring.submit_and_wait(1).unwrap();
            ended.clear();
            ended.extend(ring.completion().map(|entry| (entry.user_data(), entry.result())));
            for &(data, result) in &ended {
                left -= 1;
                let index = data as usize % 1000;
                if data >= 1000 {
                    assert_eq!(result, SLOT as i32);
                    continue;
                }
                assert_eq!(result as usize, slots * SLOT);
                judge(buffers[index].of(slots * SLOT));
                let block = buffers[index].of(256 * SLOT)[255 * SLOT..].as_mut_ptr();
                let write =
                    opcode::WriteFixed::new(types::Fixed(index as u32), block, SLOT as u32, index as u16);
                let write = write.build().user_data(1000 + data);
                // SAFETY: as above.
                unsafe { ring.submission().push(&write) }.unwrap();
            }
        }
    }
}

/// A queue as the stack drives it.
struct Driven {
    queue: Box<dyn Queue>,
    disks: Vec<DiskKey>,
}

impl Driven {
    fn new(mut queue: Box<dyn Queue>, paths: &[PathBuf]) -> Self {
        let room = Room { read: SLOTS * SLOT, write: SLOT };
        let mut add = |path: &PathBuf| {
            let device = DirectFile::open(path, false).unwrap();
            queue.add(Arc::new(device), room).unwrap()
        };
        let disks = paths.iter().map(&mut add).collect();
        Self { queue, disks }
    }

    fn beat(&mut self, slots: usize) {
        for &disk in &self.disks {
            self.queue.read(disk, 0, 0, slots * SLOT).unwrap();
        }
        let mut left = 2 * self.disks.len();
        let mut judged = Vec::with_capacity(self.disks.len());
        while left > 0 {
            judged.clear();
            left -= self
                .queue
                .complete(None, &mut |done| match done.op {
                    Op::Read => {
                        assert_eq!(done.result, Ok(slots * SLOT));
                        judge(done.bytes);
                        judged.push(done.disk);
                    }
                    Op::Write => assert_eq!(done.result, Ok(SLOT)),
                })
                .unwrap();
            for &disk in &judged {
                self.queue.write(disk, 1, 0, &[0; SLOT]).unwrap();
            }
        }
    }
}

/// A thread for every disk, all beating at once.
fn thread_per_disk(paths: &[PathBuf], rounds: usize, slots: usize) -> Duration {
    let start = Barrier::new(paths.len() + 1);
    let end = Barrier::new(paths.len() + 1);
    thread::scope(|scope| {
        for path in paths {
            let (start, end) = (&start, &end);
            scope.spawn(move || {
                let file = direct(path);
                let mut buffer = Aligned::new(256 * SLOT);
                start.wait();
                let started = Instant::now();
                for round in 0..rounds {
                    sleep_until(started, round);
                    file.read_exact_at(buffer.of(slots * SLOT), 0).unwrap();
                    judge(buffer.of(slots * SLOT));
                    file.write_all_at(&buffer.of(256 * SLOT)[255 * SLOT..], 0).unwrap();
                }
                end.wait();
            });
        }
        start.wait();
        let before = cpu();
        end.wait();
        cpu() - before
    })
}

fn direct(path: &Path) -> File {
    File::options().read(true).write(true).custom_flags(libc::O_DIRECT).open(path).unwrap()
}

fn main() {
    let folder = match std::env::var_os("BEATS_DIR") {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let paths: Vec<PathBuf> = (0..DISKS).map(|number| folder.path().join(number.to_string())).collect();
    for path in &paths {
        std::fs::write(path, vec![0; 256 * SLOT]).unwrap();
        File::open(path).unwrap().sync_all().unwrap();
    }
    let bare = Mutex::new(Bare::new(&paths));
    let ring = Mutex::new(Driven::new(Box::new(Uring::new().unwrap()), &paths));
    let threads = Mutex::new(Driven::new(Box::new(Threads::new().unwrap()), &paths));
    let rounds = |beat: &mut dyn FnMut()| {
        beat();
        let before = cpu();
        let started = Instant::now();
        for round in 0..ROUNDS {
            sleep_until(started, round);
            beat();
        }
        cpu() - before
    };
    type Way<'a> = (&'a str, usize, Box<dyn Fn() -> Duration + 'a>);
    let ways: [Way<'_>; 6] = [
        ("bare io_uring loop", SLOTS, Box::new(|| rounds(&mut || bare.lock().unwrap().beat(SLOTS)))),
        ("Uring", SLOTS, Box::new(|| rounds(&mut || ring.lock().unwrap().beat(SLOTS)))),
        ("Uring", FEW, Box::new(|| rounds(&mut || ring.lock().unwrap().beat(FEW)))),
        ("Threads", SLOTS, Box::new(|| rounds(&mut || threads.lock().unwrap().beat(SLOTS)))),
        ("Threads", FEW, Box::new(|| rounds(&mut || threads.lock().unwrap().beat(FEW)))),
        ("thread per disk", SLOTS, Box::new(|| thread_per_disk(&paths, ROUNDS, SLOTS))),
    ];
    let mut best = [Duration::MAX; 6];
    for _ in 0..TURNS {
        for (best, (_, _, run)) in best.iter_mut().zip(&ways) {
            *best = run().min(*best);
        }
    }
    println!(
        "CPU time for 1000 beats, {DISKS} files of {SLOTS} slots of {SLOT} bytes, best of {TURNS} turns"
    );
    println!("{:<20} {:>5} {:>9} {:>9} {:>12}", "", "slots", "seconds", "x bare", "x per disk");
    for (time, (name, slots, _)) in best.iter().zip(&ways) {
        let seconds = time.as_secs_f64() * 1000.0 / (ROUNDS * DISKS) as f64;
        let ratio = |to: Duration| time.as_secs_f64() / to.as_secs_f64();
        let (bare, per_disk) = (ratio(best[0]), ratio(best[5]));
        println!("{name:<20} {slots:>5} {seconds:>9.4} {bare:>9.2} {per_disk:>12.2}");
    }
    let few = best[2].as_secs_f64() / best[1].as_secs_f64();
    println!("Uring: {FEW} slots cost {few:.2} x {SLOTS} slots");
}
