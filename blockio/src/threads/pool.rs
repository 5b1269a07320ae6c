//! Threads that run one request after the other.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::io::Errno;

use crate::align::AlignedBuf;
use crate::bell::Bell;
use crate::device::Device;
use crate::queue::{DiskKey, Op, Room};

/// Threads that stay.
const BASE: usize = 4;
/// Threads in all.
const LIMIT: usize = 512;
/// How long a thread beyond [`BASE`] stays without work.
const LEISURE: Duration = Duration::from_secs(30);
/// What a thread needs of stack, with room to spare.
const STACK: usize = 128 * 1024;

/// A device with its two buffers. A thread holds the lock of one while it runs a request in that direction;
/// the queue takes it only when none is in flight.
#[derive(Debug)]
pub(super) struct Buffers {
    device: Arc<dyn Device>,
    pub(super) read: Mutex<AlignedBuf>,
    pub(super) write: Mutex<AlignedBuf>,
}

impl Buffers {
    pub(super) fn new(device: Arc<dyn Device>, room: Room) -> Result<Self, Errno> {
        let (read, write) = (AlignedBuf::new(room.read)?, AlignedBuf::new(room.write)?);
        Ok(Self { device, read: Mutex::new(read), write: Mutex::new(write) })
    }
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) disk: DiskKey,
    pub(super) buffers: Arc<Buffers>,
    pub(super) op: Op,
    pub(super) tag: u64,
    pub(super) offset: u64,
    /// Not more than the buffer has.
    pub(super) length: usize,
}

impl Job {
    fn run(&self) -> Result<usize, Errno> {
        let Buffers { device, read, write } = &*self.buffers;
        let count = match self.op {
            Op::Read => device.read_at(self.offset, &mut read.lock()[..self.length]),
            Op::Write => device.write_at(self.offset, &write.lock()[..self.length]),
        }?;
        Ok(count.min(self.length))
    }
}

#[derive(Debug)]
pub(super) struct Done {
    pub(super) job: Job,
    /// Else what the device panicked with: the thread that owns the queue goes on with that.
    pub(super) result: thread::Result<Result<usize, Errno>>,
}

#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State>,
    work: Condvar,
    bell: Arc<Bell>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    done: Vec<Done>,
    /// Jobs taken from `waiting` so far.
    taken: u64,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Pool {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        Self { state: Mutex::default(), work: Condvar::new(), bell }
    }

    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Makes room for this many requests.
    pub(super) fn reserve(&self, requests: usize) {
        let mut state = self.state.lock();
        let State { waiting, done, .. } = &mut *state;
        waiting.reserve(requests.saturating_sub(waiting.len()));
        done.reserve(requests.saturating_sub(done.len()));
    }

    /// Takes the jobs out of `jobs`.
    pub(super) fn start(self: &Arc<Self>, jobs: &mut Vec<Job>) {
        let mut state = self.state.lock();
        state.waiting.extend(jobs.drain(..));
        for _ in 0..state.waiting.len().min(state.idle) {
            self.work.notify_one();
        }
        let more = state.waiting.len().saturating_sub(state.idle).min(BASE.saturating_sub(state.threads));
        self.spawn(&mut state, more);
    }

    /// Jobs that wait for a thread, and how many have been taken by one so far.
    pub(super) fn progress(&self) -> (usize, u64) {
        let state = self.state.lock();
        (state.waiting.len(), state.taken)
    }

    /// Doubles the threads.
    pub(super) fn grow(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let more = state.threads.max(1).min(LIMIT.saturating_sub(state.threads)).min(state.waiting.len());
        self.spawn(&mut state, more);
    }

    fn spawn(self: &Arc<Self>, state: &mut MutexGuard<'_, State>, count: usize) {
        for _ in 0..count {
            let pool = self.clone();
            let thread = thread::Builder::new().name("disk".into()).stack_size(STACK);
            // Refused for want of memory or by a limit: those there are go on, and it is tried again.
            if thread.spawn(move || pool.work()).is_err() {
                return;
            }
            state.threads += 1;
        }
    }

    /// Body of a thread.
    fn work(&self) {
        let mut state = self.state.lock();
        while !state.closed {
            if let Some(job) = state.waiting.pop_front() {
                state.taken += 1;
                let result =
                    MutexGuard::unlocked(&mut state, || catch_unwind(AssertUnwindSafe(|| job.run())));
                if !state.closed {
                    state.done.push(Done { job, result });
                    self.bell.ring();
                }
                continue;
            }
            state.idle += 1;
            let bored = self.work.wait_for(&mut state, LEISURE).timed_out();
            state.idle -= 1;
            if bored && state.waiting.is_empty() && state.threads > BASE {
                break;
            }
        }
        state.threads -= 1;
    }

    /// Exchanges `done`, which is empty, for what has ended.
    pub(super) fn take_done(&self, done: &mut Vec<Done>) {
        mem::swap(&mut self.state.lock().done, done);
    }

    /// Drops jobs of a disk that no thread has taken.
    pub(super) fn forget(&self, disk: DiskKey) {
        self.state.lock().waiting.retain(|job| job.disk != disk);
    }

    /// Ends the threads: idle ones at once, others when their request has ended.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.waiting.clear();
        self.work.notify_all();
    }
}
