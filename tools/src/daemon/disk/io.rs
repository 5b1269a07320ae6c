//! The thread that beats: takes what the monitor has noted, runs it, and hands results in.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Weak;
use std::time::Duration;

use crossbeam_channel::Sender;
use uo2cb_blockio::{Completion, DiskKey, Op, Queue, Room, best};
use uo2cb_core::heartbeat::disk::{Block, DiskResult};
use uo2cb_core::{Errno, ItemId, OpId};

use super::super::error::plain;
use super::super::fault_point;
use super::super::notes::Notes;
use super::{Extent, Job, Jobs, Owner, system};

/// The longest slot.
const LONGEST: usize = 4096;
/// Jobs for which there is room from the beginning.
const BATCH: usize = 64;
/// Between two looks at a queue that is broken.
const BROKEN: Duration = Duration::from_millis(100);

/// The disks as this thread knows them.
struct Open {
    queue: Box<dyn Queue>,
    disks: BTreeMap<ItemId, (Result<DiskKey, Errno>, Extent)>,
    /// Whose disk it is, and how long a slot is.
    regions: BTreeMap<DiskKey, (ItemId, usize)>,
    block: Box<[u8; LONGEST]>,
}

/// Body of the thread. It tells its id when it is `ready`, and ends with its owner at the latest.
pub(super) fn run(jobs: &Jobs, owner: &Weak<dyn Owner>, notes: &Notes, ready: &Sender<Result<u32, Errno>>) {
    let best = match best() {
        Ok(best) => best,
        Err(errno) => return ready.send(Err(system(errno))).unwrap_or_default(),
    };
    match best.without_uring {
        None => notes.info("disks are reached through io_uring"),
        Some(errno) => {
            notes.info(&format!("disks are reached by threads: no io_uring here ({})", plain(&errno.into())))
        }
    }
    let mut open = Open {
        queue: best.queue,
        disks: BTreeMap::new(),
        regions: BTreeMap::new(),
        block: Box::new([0; LONGEST]),
    };
    jobs.attach(open.queue.waker());
    let id = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    let _ = ready.send(Ok(id));
    let mut batch = Vec::with_capacity(BATCH);
    let mut said = false;
    while jobs.take(&mut batch) {
        if !batch.is_empty() {
            fault_point::reach("beats");
            for job in batch.drain(..) {
                // A fence has struck meanwhile.
                if jobs.is_halted() {
                    return;
                }
                if let Some((disk, done)) = open.start(job) {
                    hand_in(owner, disk, done);
                }
            }
            // What was noted meanwhile goes down with it.
            continue;
        }
        let Open { queue, regions, .. } = &mut open;
        let waited = queue.complete(None, &mut |completion| {
            if let Some((disk, slot)) = regions.get(&completion.disk) {
                jobs.awake();
                hand_in(owner, *disk, done(&completion, *slot));
            }
        });
        if let Err(errno) = waited {
            if !mem::replace(&mut said, true) {
                notes.warn(&format!("disks cannot be reached any more: {}", plain(&errno.into())));
            }
            std::thread::sleep(BROKEN);
        }
    }
}

fn hand_in(owner: &Weak<dyn Owner>, disk: ItemId, done: DiskResult<'_>) {
    if let Some(owner) = owner.upgrade() {
        owner.disk_done(disk, done);
    }
}

fn done<'a>(completion: &Completion<'a>, slot: usize) -> DiskResult<'a> {
    let op = OpId(completion.tag);
    let result = completion.result.map_err(system);
    match completion.op {
        Op::Read => DiskResult::Read(op, result.map(|_| completion.bytes)),
        // A part of a slot is as good as none.
        Op::Write => DiskResult::Written(
            op,
            result.and_then(|count| if count == slot { Ok(()) } else { Err(Errno::EIO) }),
        ),
    }
}

impl Open {
    /// Notes a request in the queue. A result at once means that it could not.
    fn start(&mut self, job: Job) -> Option<(ItemId, DiskResult<'static>)> {
        match job {
            Job::Add(disk, extent, device) => {
                self.close(disk);
                let slot = extent.block_bytes as usize;
                let room = Room { read: slot * extent.blocks as usize, write: slot };
                let key = self.queue.add(device, room).map_err(system);
                if let Ok(key) = key {
                    self.regions.insert(key, (disk, slot));
                }
                self.disks.insert(disk, (key, extent));
                None
            }
            Job::Read { disk, op, first, count } => {
                let errno = self.read(disk, op, first, count).err()?;
                Some((disk, DiskResult::Read(op, Err(errno))))
            }
            Job::Write { disk, op, slot, block } => {
                let errno = self.write(disk, op, slot, &block).err()?;
                Some((disk, DiskResult::Written(op, Err(errno))))
            }
            Job::Close(disk) => {
                self.close(disk);
                None
            }
        }
    }

    fn find(&self, disk: ItemId, slot: u32) -> Result<(DiskKey, Extent, u64), Errno> {
        let (key, extent) = self.disks.get(&disk).ok_or(Errno::EIO)?;
        Ok(((*key)?, *extent, extent.offset(slot).ok_or(Errno::EIO)?))
    }

    fn read(&mut self, disk: ItemId, op: OpId, first: u32, count: u32) -> Result<(), Errno> {
        let (key, extent, offset) = self.find(disk, first)?;
        let length = count as usize * extent.block_bytes as usize;
        self.queue.read(key, op.0, offset, length).map_err(|_| Errno::EIO)
    }

    fn write(&mut self, disk: ItemId, op: OpId, slot: u32, block: &Block) -> Result<(), Errno> {
        let (key, extent, offset) = self.find(disk, slot)?;
        let bytes = self.block.get_mut(..extent.block_bytes as usize).ok_or(Errno::EIO)?;
        block.encode(bytes);
        self.queue.write(key, op.0, offset, bytes).map_err(|_| Errno::EIO)
    }

    fn close(&mut self, disk: ItemId) {
        if let Some((Ok(key), _)) = self.disks.remove(&disk) {
            self.regions.remove(&key);
            self.queue.remove(key);
        }
    }
}
