//! Queues to try, files as disks, and a disk that can be made to hang.
#![allow(clippy::unwrap_used, dead_code)]

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;
use uo2cb_blockio::{Completion, Device, DiskKey, Errno, Info, Op, Queue, Refused, Threads, best};
use uo2cb_test_support::not_run;

/// All queues that this system has and that take any device.
pub(crate) fn queues() -> Vec<Box<dyn Queue>> {
    let best = best().unwrap();
    match best.without_uring {
        Some(why) => {
            not_run(&format!("blockio: io_uring: {why}"));
            vec![best.queue]
        }
        None => vec![best.queue, Box::new(Threads::new().unwrap())],
    }
}

/// A new file of zeros.
pub(crate) fn file_disk(folder: &TempDir, name: &str, bytes: usize) -> (PathBuf, File) {
    let path = folder.path().join(name);
    std::fs::write(&path, vec![0; bytes]).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    (path, file)
}

/// A completion that outlives its buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) disk: DiskKey,
    pub(crate) tag: u64,
    pub(crate) op: Op,
    pub(crate) result: Result<usize, Errno>,
    pub(crate) bytes: Vec<u8>,
}

/// The next `count` completions.
pub(crate) fn run_all(queue: &mut dyn Queue, count: usize) -> Vec<Ended> {
    let mut ended = Vec::new();
    let limit = Instant::now() + Duration::from_secs(60);
    while ended.len() < count {
        assert!(Instant::now() < limit, "{} of {count} have ended: {ended:?}", ended.len());
        let each = &mut |Completion { disk, tag, op, result, bytes }: Completion<'_>| {
            ended.push(Ended { disk, tag, op, result, bytes: bytes.to_vec() });
        };
        queue.complete(Some(limit), each).unwrap();
    }
    assert_eq!(ended.len(), count);
    ended
}

/// One request, and what became of it.
pub(crate) fn run(queue: &mut dyn Queue, start: impl FnOnce(&mut dyn Queue) -> Result<(), Refused>) -> Ended {
    start(queue).unwrap();
    run_all(queue, 1).remove(0)
}

/// A device behind a gate: while it is shut, whoever comes waits.
#[derive(Debug)]
pub(crate) struct Gate<D> {
    inner: D,
    /// Is it shut, and how many wait?
    state: Mutex<(bool, usize)>,
    change: Condvar,
}

impl<D: Device> Gate<D> {
    pub(crate) fn new(inner: D) -> Self {
        Self { inner, state: Mutex::default(), change: Condvar::new() }
    }

    pub(crate) fn shut(&self) {
        self.state.lock().0 = true;
    }

    pub(crate) fn open(&self) {
        self.state.lock().0 = false;
        self.change.notify_all();
    }

    /// Waits until this many requests wait.
    pub(crate) fn await_blocked(&self, count: usize) {
        let mut state = self.state.lock();
        let limit = Instant::now() + Duration::from_secs(60);
        while state.1 < count {
            assert!(!self.change.wait_until(&mut state, limit).timed_out(), "{} of {count} wait", state.1);
        }
    }

    fn pass(&self) {
        let mut state = self.state.lock();
        state.1 += 1;
        self.change.notify_all();
        while state.0 {
            self.change.wait(&mut state);
        }
        state.1 -= 1;
    }
}

impl<D: Device> Device for Gate<D> {
    fn info(&self) -> &Info {
        self.inner.info()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        self.pass();
        self.inner.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize, Errno> {
        self.pass();
        self.inner.write_at(offset, from)
    }
}
