//! What the beats of the stack are compared with: the least that can be done on io_uring, and a thread
//! for every disk.

use std::fs::File;
use std::hint::black_box;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use io_uring::{IoUring, opcode, types};

pub(crate) const SLOT: usize = 512;

/// Files with room for 256 slots, on the disk.
pub(crate) fn files(folder: &Path, count: usize) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> = (0..count).map(|number| folder.join(number.to_string())).collect();
    for path in &paths {
        std::fs::write(path, vec![0; 256 * SLOT]).unwrap();
        File::open(path).unwrap().sync_all().unwrap();
    }
    paths
}

/// User and system time of this process.
pub(crate) fn cpu() -> Duration {
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
pub(crate) fn sleep_until(start: Instant, period: Duration, number: usize) {
    thread::sleep((start + period * number as u32).saturating_duration_since(Instant::now()));
}

/// What the stack does with what was read.
pub(crate) fn judge(slots: &[u8]) {
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
pub(crate) struct Bare {
    ring: IoUring,
    files: Vec<File>,
    buffers: Vec<Aligned>,
}

impl Bare {
    pub(crate) fn new(paths: &[PathBuf]) -> Self {
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

    pub(crate) fn beat(&mut self, slots: usize) {
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

/// How the threads of [`thread_per_disk`] beat.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phases {
    /// Each at a time of its own, as the kernel's, which count from when their region was started.
    Own,
    /// All at the same moment, so that each finds caches and disk awake: better than it can be.
    Common,
}

/// A thread for every disk. The CPU time of all.
pub(crate) fn thread_per_disk(
    paths: &[PathBuf],
    phases: Phases,
    period: Duration,
    rounds: usize,
    slots: usize,
) -> Duration {
    let apart = if phases == Phases::Own { period / paths.len() as u32 } else { Duration::ZERO };
    let start = Barrier::new(paths.len() + 1);
    let end = Barrier::new(paths.len() + 1);
    thread::scope(|scope| {
        for (number, path) in paths.iter().enumerate() {
            let (start, end) = (&start, &end);
            scope.spawn(move || {
                let file = direct(path);
                let mut buffer = Aligned::new(256 * SLOT);
                // Once without being counted, as the others.
                file.read_exact_at(buffer.of(slots * SLOT), 0).unwrap();
                judge(buffer.of(slots * SLOT));
                start.wait();
                let started = Instant::now() + apart * number as u32;
                for round in 0..rounds {
                    sleep_until(started, period, round);
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
