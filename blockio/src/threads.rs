//! The queue for systems without io_uring, and for devices that have no descriptor: calls that block, on a few
//! threads.

use std::mem;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::bell::Bell;
use crate::device::Device;
use crate::queue::{Completion, DiskKey, Op, Queue, Refused, Room, Waker};

mod pool;

use pool::{Buffers, Done, Job, Pool};

/// Disks in one queue. An end to what a caller can ask for, far beyond what one machine heartbeats on.
const MAX_DISKS: usize = 4096;

/// How long requests may wait while no thread takes one, before there are more threads.
const PATIENCE: Duration = Duration::from_millis(20);

/// Runs requests with calls that block, on a few threads: four while disks answer, more while some of them
/// hang, at most 512. Beyond that many hung requests the other disks wait, too.
#[derive(Debug)]
pub struct Threads {
    pool: Arc<Pool>,
    disks: Vec<Slot>,
    noted: Vec<Job>,
    done: Vec<Done>,
    /// Requests that the threads had taken when some were first seen waiting, and when that was.
    stuck: Option<(u64, Instant)>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    disk: Option<Disk>,
}

#[derive(Debug)]
struct Disk {
    buffers: Arc<Buffers>,
    room: Room,
    reading: bool,
    writing: bool,
}

impl Threads {
    /// A queue without disks and, until there are requests, without threads.
    ///
    /// # Errors
    /// No descriptor left (EMFILE, ENFILE) or no memory.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self::on(Arc::new(Bell::new()?)))
    }

    /// A queue whose waker is a bell of somebody else.
    pub(crate) fn on(bell: Arc<Bell>) -> Self {
        Self {
            pool: Arc::new(Pool::new(bell)),
            disks: Vec::new(),
            noted: Vec::new(),
            done: Vec::new(),
            stuck: None,
        }
    }

    fn disk(&mut self, key: DiskKey) -> Result<&mut Disk, Refused> {
        let slot = self.disks.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation);
        slot.and_then(|slot| slot.disk.as_mut()).ok_or(Refused::NoDisk)
    }

    /// When somebody must call [`tend`](Self::tend): some requests wait for a thread.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.stuck.map(|(_, since)| since + PATIENCE)
    }

    /// Adds threads if those there are have taken nothing for too long.
    pub(crate) fn tend(&mut self) {
        let (waiting, taken) = self.pool.progress();
        self.stuck = match self.stuck {
            _ if waiting == 0 => None,
            Some((before, since)) if before == taken => {
                let now = Instant::now();
                if now >= since + PATIENCE {
                    self.pool.grow();
                    Some((taken, now))
                } else {
                    Some((before, since))
                }
            }
            _ => Some((taken, Instant::now())),
        };
    }

    /// Calls `each` for what has ended, without waiting.
    pub(crate) fn collect(&mut self, each: &mut dyn FnMut(Completion<'_>)) -> usize {
        let mut done = mem::take(&mut self.done);
        self.pool.take_done(&mut done);
        let mut calls = 0;
        for Done { job, result } in done.drain(..) {
            let Ok(disk) = self.disk(job.disk) else { continue };
            match job.op {
                Op::Read => disk.reading = false,
                Op::Write => disk.writing = false,
            }
            calls += 1;
            // A fault of this program is one of the thread that asked, whoever ran into it.
            let result = result.unwrap_or_else(|panic| resume_unwind(panic));
            let (disk, tag, op) = (job.disk, job.tag, job.op);
            match op {
                Op::Read => {
                    let buffer = job.buffers.read.lock();
                    each(Completion { disk, tag, op, result, bytes: &buffer[..result.unwrap_or(0)] });
                }
                // A thread may hold the read buffer: leave that alone.
                Op::Write => each(Completion { disk, tag, op, result, bytes: &[] }),
            }
        }
        self.done = done;
        calls
    }
}

impl Queue for Threads {
    fn name(&self) -> &'static str {
        "threads"
    }

    fn add(&mut self, device: Arc<dyn Device>, room: Room) -> Result<DiskKey, Errno> {
        let index = match self.disks.iter().position(|slot| slot.disk.is_none()) {
            Some(index) => index,
            None if self.disks.len() == MAX_DISKS => return Err(Errno::NFILE),
            None => self.disks.len(),
        };
        let disk =
            Disk { buffers: Arc::new(Buffers::new(device, room)?), room, reading: false, writing: false };
        if index == self.disks.len() {
            self.disks.push(Slot { generation: 0, disk: None });
        }
        let slot = &mut self.disks[index];
        slot.disk = Some(disk);
        let generation = slot.generation;
        let requests = 2 * self.disks.len();
        self.noted.reserve(requests.saturating_sub(self.noted.len()));
        self.done.reserve(requests.saturating_sub(self.done.len()));
        self.pool.reserve(requests);
        Ok(DiskKey { lane: 0, index: index as u32, generation })
    }

    fn remove(&mut self, disk: DiskKey) {
        if self.disk(disk).is_ok() {
            let slot = &mut self.disks[disk.index as usize];
            slot.disk = None;
            slot.generation = slot.generation.wrapping_add(1);
            self.noted.retain(|job| job.disk != disk);
            self.pool.forget(disk);
        }
    }

    fn read(&mut self, key: DiskKey, tag: u64, offset: u64, length: usize) -> Result<(), Refused> {
        let disk = self.disk(key)?;
        if disk.reading {
            return Err(Refused::Busy);
        }
        if length > disk.room.read {
            return Err(Refused::TooLong);
        }
        disk.reading = true;
        let job = Job { disk: key, buffers: disk.buffers.clone(), op: Op::Read, tag, offset, length };
        self.noted.push(job);
        Ok(())
    }

    fn write(&mut self, key: DiskKey, tag: u64, offset: u64, bytes: &[u8]) -> Result<(), Refused> {
        let disk = self.disk(key)?;
        if disk.writing {
            return Err(Refused::Busy);
        }
        let length = bytes.len();
        if length > disk.room.write {
            return Err(Refused::TooLong);
        }
        disk.writing = true;
        // Nobody else holds it: no write of this disk is in flight.
        disk.buffers.write.lock()[..length].copy_from_slice(bytes);
        let job = Job { disk: key, buffers: disk.buffers.clone(), op: Op::Write, tag, offset, length };
        self.noted.push(job);
        Ok(())
    }

    fn submit(&mut self) -> Result<(), Errno> {
        if !self.noted.is_empty() {
            self.pool.start(&mut self.noted);
        }
        self.tend();
        Ok(())
    }

    fn complete(
        &mut self,
        until: Option<Instant>,
        each: &mut dyn FnMut(Completion<'_>),
    ) -> Result<usize, Errno> {
        self.submit()?;
        loop {
            let wait = [until, self.next_look()].into_iter().flatten().min();
            let woken = self.pool.bell().wait(wait)?;
            let calls = self.collect(each);
            self.tend();
            if calls > 0 || woken || until.is_some_and(|until| Instant::now() >= until) {
                return Ok(calls);
            }
        }
    }

    fn waker(&self) -> Waker {
        Waker(self.pool.bell().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.pool.close();
    }
}
