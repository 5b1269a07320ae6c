//! Disks: the monitor's side. Requests are noted here and carried out by one thread ([`io`]), to which all that
//! one entry of the monitor has noted goes down together. Nothing in here blocks.

mod close;
mod io;
mod open;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use parking_lot::Mutex;
use uo2cb_blockio::{Device, Script, Waker};
use uo2cb_core::heartbeat::disk::{Block, DiskInfo, DiskResult};
use uo2cb_core::{Caller, Errno, ItemId, OpId, Refusal, RequestId};

use super::fault_point;
use super::fence;
use super::mailbox::{Mailbox, Wake};
use super::notes::Notes;
use super::realtime::Realtime;
use super::threads::{self, Standing};
use close::Closer;

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

/// Where a region's slots are on its device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) block_bytes: u32,
    pub(crate) start_block: u64,
    pub(crate) blocks: u32,
}

impl Extent {
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
    pub(crate) extent: Extent,
}

/// A device that will do.
#[derive(Debug)]
pub(crate) struct Opened {
    device: Arc<dyn Device>,
    pub(crate) info: DiskInfo,
}

enum Job {
    Add(ItemId, Extent, Arc<dyn Device>),
    Read { disk: ItemId, op: OpId, first: u32, count: u32 },
    Write { disk: ItemId, op: OpId, slot: u32, block: Block },
    Close(ItemId),
}

/// Jobs for the thread that beats.
type Jobs = Mailbox<Job, Waker>;

/// Whose disks these are: results are handed in there, by threads of the disks.
pub(crate) trait Owner: Send + Sync {
    /// A device has been opened for a region, or not.
    fn disk_opened(&self, wanted: &Wanted, result: Result<Opened, Refusal>);

    /// A request to a disk has ended.
    fn disk_done(&self, disk: ItemId, result: DiskResult<'_>);
}

/// The disks of a node.
pub(crate) struct Disks {
    choice: Choice,
    notes: Notes,
    realtime: Realtime,
    owner: Weak<dyn Owner>,
    jobs: Arc<Jobs>,
    /// The device of each region that has one. Nothing is waited for with this lock.
    devices: Mutex<BTreeMap<ItemId, Weak<dyn Device>>>,
    /// Taken by threads that open a device, never inside the monitor.
    running: Mutex<Option<Running>>,
}

/// What is there from the first disk on.
struct Running {
    /// Of the thread that beats.
    id: u32,
    thread: thread::JoinHandle<()>,
    closer: Closer,
}

impl fmt::Debug for Disks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disks").field("choice", &self.choice).finish_non_exhaustive()
    }
}

impl<T: Send, W: Wake> fence::Outward for Mailbox<T, W> {
    fn cut_off(&self) {
        self.halt();
    }
}

impl Disks {
    pub(crate) fn new(choice: Choice, notes: Notes, realtime: Realtime, owner: Weak<dyn Owner>) -> Self {
        let jobs = Arc::default();
        fence::register(&jobs);
        let (devices, running) = (Mutex::default(), Mutex::new(None));
        Self { choice, notes, realtime, owner, jobs, devices, running }
    }

    /// Opens a device on a thread of its own: that may take any time. Ends with [`Owner::disk_opened`].
    pub(crate) fn open(self: &Arc<Self>, wanted: Wanted) -> Result<(), Refusal> {
        let standing = Standing::Entering(self.realtime.clone());
        let disks = Arc::clone(self);
        let work = move || {
            fault_point::reach("open");
            let Some(owner) = disks.owner.upgrade() else { return };
            let result = disks.open_here(&wanted);
            owner.disk_opened(&wanted, result);
        };
        threads::spawn("open", standing, work).map(drop).map_err(|error| Refusal::System(errno(&error)))
    }

    fn open_here(&self, wanted: &Wanted) -> Result<Opened, Refusal> {
        let device = open::device(wanted, &self.choice, &self.notes)?;
        let (id, device) = self.with_running(|running| (running.id, running.closer.lend(device)))?;
        if let Some(line) = self.realtime.arm() {
            self.notes.info(&line);
        }
        Ok(Opened { info: open::info(device.info(), id)?, device })
    }

    /// Gets what beats need of threads, descriptors and memory, so that no disk is refused for want of them.
    pub(crate) fn prepare(&self) -> std::io::Result<()> {
        self.with_running(|_| ()).map_err(|refusal| match refusal {
            Refusal::System(errno) => std::io::Error::from_raw_os_error(errno.0),
            other => std::io::Error::other(other.to_string()),
        })
    }

    fn with_running<T>(&self, work: impl FnOnce(&Running) -> T) -> Result<T, Refusal> {
        let mut running = self.running.lock();
        if running.is_none() {
            *running = Some(self.start().map_err(Refusal::System)?);
        }
        running.as_ref().map(work).ok_or(Refusal::System(Errno::EIO))
    }

    fn start(&self) -> Result<Running, Errno> {
        let closer = Closer::start().map_err(|error| errno(&error))?;
        let (ready, started) = bounded(1);
        let (jobs, owner) = (Arc::clone(&self.jobs), Weak::clone(&self.owner));
        let (notes, standing) = (self.notes.clone(), Standing::Beating(self.realtime.clone()));
        let work = move || io::run(&jobs, &owner, &notes, &ready);
        let thread = threads::spawn("beats", standing, work).map_err(|error| errno(&error))?;
        let id = started.recv().unwrap_or(Err(Errno::EIO))?;
        Ok(Running { id, thread, closer })
    }

    /// An opened device is the region's from now on.
    pub(crate) fn add(&self, wanted: &Wanted, opened: Opened) {
        self.devices.lock().insert(wanted.disk, Arc::downgrade(&opened.device));
        self.jobs.note(Job::Add(wanted.disk, wanted.extent, opened.device));
    }

    pub(crate) fn read(&self, disk: ItemId, op: OpId, first: u32, count: u32) {
        self.jobs.note(Job::Read { disk, op, first, count });
    }

    pub(crate) fn write(&self, disk: ItemId, op: OpId, slot: u32, block: Block) {
        self.jobs.note(Job::Write { disk, op, slot, block });
    }

    pub(crate) fn close(&self, disk: ItemId) {
        self.devices.lock().remove(&disk);
        self.jobs.note(Job::Close(disk));
    }

    /// Where the device of a region is now; see [`Device::place`].
    pub(crate) fn place(&self, disk: ItemId) -> Option<PathBuf> {
        let device = self.devices.lock().get(&disk)?.upgrade();
        // As the last one to have it, this would still not wait for it to be closed.
        device?.place()
    }

    /// Sends down what has been noted.
    pub(crate) fn go(&self) {
        self.jobs.go();
    }

    /// Ends the thread: nothing more reaches a disk, except what is on its way.
    pub(crate) fn stop(&self) {
        drop(self.jobs.close());
        let Some(running) = self.running.lock().take() else { return };
        let deadline = Instant::now() + LEAVE;
        while !running.thread.is_finished() {
            if Instant::now() > deadline {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        let _ = running.thread.join();
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
    fn where_slots_begin() {
        let extent = Extent { block_bytes: 4096, start_block: 2, blocks: 255 };
        assert_eq!(extent.offset(0), Some(8192));
        assert_eq!(extent.offset(254), Some(256 * 4096));
        assert_eq!(Extent { start_block: u64::MAX, ..extent }.offset(1), None);
        assert_eq!(Extent { start_block: u64::MAX / 4096 + 1, ..extent }.offset(0), None);
    }
}
