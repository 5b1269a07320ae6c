//! Disks: the monitor's side. Requests are noted here and carried out by one thread ([`io`]), to which all that
//! one entry of the monitor has noted goes down together. Nothing in here blocks.

mod io;
mod open;

use std::fmt;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use parking_lot::Mutex;
use uo2cb_blockio::{Device, Script, Waker};
use uo2cb_core::heartbeat::disk::{Block, DiskInfo};
use uo2cb_core::{Caller, Errno, ItemId, OpId, Refusal, RequestId};

use super::monitor::Monitor;

/// How long the end waits for the thread: it may be held in a system call by a disk that hangs.
const LEAVE: Duration = Duration::from_millis(500);

/// Which devices will do, and what is to become of their requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    /// Block devices only, as the kernel.
    pub(crate) strict: bool,
    /// Faults that every disk suffers.
    pub(crate) faults: Option<Script>,
}

/// A region's place on its device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) block_bytes: u32,
    pub(crate) start_block: u64,
    pub(crate) blocks: u32,
}

impl Place {
    /// Where a slot begins.
    fn offset(&self, slot: u32) -> Option<u64> {
        self.start_block.checked_add(slot.into())?.checked_mul(self.block_bytes.into())
    }
}

/// What `dev` names: a descriptor of the writer that waits for `request`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) disk: ItemId,
    pub(crate) request: RequestId,
    pub(crate) caller: Caller,
    pub(crate) descriptor: i32,
    pub(crate) place: Place,
}

/// A device that will do.
#[derive(Debug)]
pub(crate) struct Opened {
    device: Arc<dyn Device>,
    pub(crate) info: DiskInfo,
}

enum Job {
    Add(ItemId, Place, Arc<dyn Device>),
    Read { disk: ItemId, op: OpId, first: u32, count: u32 },
    Write { disk: ItemId, op: OpId, slot: u32, block: Block },
    Close(ItemId),
}

/// The disks of a node.
pub(crate) struct Disks {
    choice: Choice,
    queue: Arc<Mutex<Jobs>>,
    thread: Mutex<Option<Thread>>,
}

#[derive(Default)]
struct Jobs {
    noted: Vec<Job>,
    /// Nothing more is to be done.
    over: bool,
    /// Ends the thread's wait; it is not to be woken while it works off what is here.
    waker: Option<Waker>,
    awake: bool,
}

struct Thread {
    id: u32,
    handle: thread::JoinHandle<()>,
}

impl fmt::Debug for Disks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disks").field("choice", &self.choice).finish_non_exhaustive()
    }
}

impl Disks {
    pub(crate) fn new(choice: Choice) -> Self {
        Self { choice, queue: Arc::default(), thread: Mutex::new(None) }
    }

    /// Opens a device on a thread of its own: that may take any time. Ends with [`Monitor::disk_opened`].
    pub(crate) fn open(&self, wanted: Wanted, monitor: Weak<Monitor>) -> Result<(), Refusal> {
        let work = move || {
            let Some(monitor) = monitor.upgrade() else { return };
            monitor.realtime.own_thread();
            let result = monitor.disks.open_here(&wanted, &monitor);
            monitor.disk_opened(&wanted, result);
        };
        let started = thread::Builder::new().name("open".into()).spawn(work);
        started.map(drop).map_err(|error| Refusal::System(errno(&error)))
    }

    fn open_here(&self, wanted: &Wanted, monitor: &Arc<Monitor>) -> Result<Opened, Refusal> {
        let device = open::device(wanted, &self.choice, &monitor.notes)?;
        monitor.realtime.arm(&monitor.notes);
        let pid = self.thread(monitor).map_err(Refusal::System)?;
        Ok(Opened { info: open::info(device.info(), pid)?, device })
    }

    /// The thread that beats, started with the first disk. Gives its id.
    fn thread(&self, monitor: &Arc<Monitor>) -> Result<u32, Errno> {
        let mut thread = self.thread.lock();
        if let Some(thread) = &*thread {
            return Ok(thread.id);
        }
        let (ready, started) = bounded(1);
        let (jobs, whose) = (Arc::clone(&self.queue), Arc::downgrade(monitor));
        let notes = monitor.notes.clone();
        let handle = thread::Builder::new()
            .name("beats".into())
            .spawn(move || io::run(&jobs, &whose, &notes, &ready))
            .map_err(|error| errno(&error))?;
        let id = started.recv().unwrap_or(Err(Errno::EIO))?;
        *thread = Some(Thread { id, handle });
        Ok(id)
    }

    /// An opened device is the region's from now on.
    pub(crate) fn add(&self, wanted: &Wanted, opened: Opened) {
        self.note(Job::Add(wanted.disk, wanted.place, opened.device));
    }

    pub(crate) fn read(&self, disk: ItemId, op: OpId, first: u32, count: u32) {
        self.note(Job::Read { disk, op, first, count });
    }

    pub(crate) fn write(&self, disk: ItemId, op: OpId, slot: u32, block: Block) {
        self.note(Job::Write { disk, op, slot, block });
    }

    pub(crate) fn close(&self, disk: ItemId) {
        self.note(Job::Close(disk));
    }

    fn note(&self, job: Job) {
        self.queue.lock().noted.push(job);
    }

    /// Sends down what has been noted.
    pub(crate) fn go(&self) {
        let mut jobs = self.queue.lock();
        if !jobs.noted.is_empty() && !jobs.awake {
            jobs.awake = true;
            let waker = jobs.waker.clone();
            drop(jobs);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// From now on nothing more reaches a disk, except what is on its way.
    pub(crate) fn halt(&self) {
        let mut jobs = self.queue.lock();
        jobs.over = true;
        jobs.noted.clear();
        if let Some(waker) = &jobs.waker {
            waker.wake();
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.halt();
        let Some(thread) = self.thread.lock().take() else { return };
        let deadline = std::time::Instant::now() + LEAVE;
        while !thread.handle.is_finished() {
            if std::time::Instant::now() > deadline {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        let _ = thread.handle.join();
    }
}

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno)
}

fn system(errno: uo2cb_blockio::Errno) -> Errno {
    Errno(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_have_their_places() {
        let place = Place { block_bytes: 4096, start_block: 2, blocks: 255 };
        assert_eq!(place.offset(0), Some(8192));
        assert_eq!(place.offset(254), Some(256 * 4096));
        assert_eq!(Place { start_block: u64::MAX, ..place }.offset(1), None);
        assert_eq!(Place { start_block: u64::MAX / 4096 + 1, ..place }.offset(0), None);
    }
}
