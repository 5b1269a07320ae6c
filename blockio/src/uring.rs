//! The queue on io_uring: all requests of a batch in one system call.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Resource, geteuid, getrlimit};

use crate::align::AlignedBuf;
use crate::bell::Bell;
use crate::device::Device;
use crate::queue::{Completion, DiskKey, Op, Queue, Refused, Room, Waker};

/// Disks in one queue. Two requests of each and the bell fit into the ring, so it is never full.
const MAX_DISKS: usize = 1000;
/// Entries of the ring; twice as many for completions.
const ENTRIES: u32 = 2048;
/// Threads of the kernel for requests that it can only run by blocking: enough for every disk to hang.
const WORKERS: u32 = 1024;
/// While several requests are in flight, a wait takes at least so many microseconds for each of them, up to a most,
/// to end with more than one. To wake up for each costs more than the requests; beats are seconds apart.
const GATHER_EACH: u32 = 15;
const GATHER_MOST: u32 = 3000;
/// Between two tries where the kernel has no memory for requests at the moment.
const PAUSE: Duration = Duration::from_millis(10);
/// Marks the completion that the bell causes.
const BELL: u64 = u64::MAX;

/// Runs requests on io_uring, with registered descriptors and buffers where limits allow. For devices that
/// have a descriptor.
///
/// The kernel ties requests to the thread that submits them, and cancels some when it ends: let the thread
/// that uses the queue live as long as the queue. Only the first thread that submits can submit.
///
/// A wait ends up to three milliseconds after the first request has ended or somebody has rung, sooner with few in
/// flight and at once with one: however many of them hang.
#[derive(Debug)]
pub struct Uring {
    ring: Ring,
    bell: Arc<Bell>,
    /// Will the ring tell when the bell rings?
    listening: bool,
    /// Tables for descriptors and buffers are registered.
    fixed_files: bool,
    fixed_buffers: bool,
    /// Bytes of buffers that may still be registered.
    lockable: u64,
    disks: Vec<Slot>,
    /// Requests in flight.
    flying: usize,
    /// Can waits [gather](GATHER_EACH)? Then the ring works for one thread only.
    gathers: bool,
    /// Has it got that thread?
    enabled: bool,
}

/// The ring itself, which has no Debug.
struct Ring(IoUring);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ring").field(&self.0.as_raw_fd()).finish()
    }
}

/// A place in the table of disks, which is its place in the registered tables, too. Not used again before the
/// last request of its disk has ended.
#[derive(Debug)]
struct Slot {
    generation: u32,
    disk: Option<Disk>,
}

#[derive(Debug)]
struct Disk {
    /// Keeps the descriptor open.
    _device: Arc<dyn Device>,
    descriptor: RawFd,
    fixed_file: bool,
    removed: bool,
    read: Half,
    write: Half,
}

/// One direction of a disk.
#[derive(Debug)]
struct Half {
    /// The kernel's alone while `flying`: then nothing here refers to its bytes, or frees it.
    buffer: ManuallyDrop<AlignedBuf>,
    flying: bool,
    /// Is it in the table of buffers?
    fixed: bool,
    room: usize,
    tag: u64,
}

impl Half {
    fn new(room: usize) -> Result<Self, Errno> {
        let buffer = ManuallyDrop::new(AlignedBuf::new(room)?);
        Ok(Self { buffer, flying: false, fixed: false, room, tag: 0 })
    }

    fn check(&self, length: usize) -> Result<(), Refused> {
        match () {
            () if self.flying => Err(Refused::Busy),
            () if length > self.room => Err(Refused::TooLong),
            () => Ok(()),
        }
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        // With a request in flight the kernel may still write it: then it is never freed.
        if !self.flying {
            // SAFETY: dropped once, here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.buffer) }
        }
    }
}

impl Uring {
    /// A queue without disks.
    ///
    /// # Errors
    /// Why io_uring cannot be had: ENOSYS (kernel without it), EPERM (forbidden, as in many containers), ENOMEM
    /// (limit on locked memory), EOPNOTSUPP (kernel before 5.11).
    pub fn new() -> Result<Self, Errno> {
        let bell = Arc::new(Bell::new()?);
        let gathering = gathering();
        let gathers = gathering.is_some();
        let ring = match gathering {
            Some(ring) => ring,
            None => IoUring::builder()
                .setup_cqsize(2 * ENTRIES)
                .setup_submit_all()
                .setup_coop_taskrun()
                .setup_taskrun_flag()
                .build(ENTRIES)
                // A kernel before 5.19.
                .or_else(|_| IoUring::builder().setup_cqsize(2 * ENTRIES).build(ENTRIES))
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?,
        };
        if !ring.params().is_feature_ext_arg() {
            return Err(Errno::OPNOTSUPP);
        }
        let submitter = ring.submitter();
        // Some of these are newer than the ring; a limit may forbid them. They only make it faster, or keep
        // very many hung disks apart.
        let fixed_files = submitter.register_files_sparse(MAX_DISKS as u32).is_ok();
        let fixed_buffers = submitter.register_buffers_sparse(2 * MAX_DISKS as u32).is_ok();
        let _ = submitter.register_iowq_max_workers(&mut [WORKERS, 0]);
        Ok(Self {
            ring: Ring(ring),
            bell,
            listening: false,
            fixed_files,
            fixed_buffers,
            lockable: lockable(),
            disks: Vec::with_capacity(MAX_DISKS),
            flying: 0,
            gathers,
            enabled: !gathers,
        })
    }

    /// Bell of its waker.
    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    fn disk(&mut self, key: DiskKey) -> Result<&mut Disk, Refused> {
        let slot = self.disks.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation);
        slot.and_then(|slot| slot.disk.as_mut()).filter(|disk| !disk.removed).ok_or(Refused::NoDisk)
    }

    /// Notes a request that has been checked.
    fn start(&mut self, key: DiskKey, op: Op, tag: u64, offset: u64, length: usize) -> Result<(), Refused> {
        let disk = self.disk(key)?;
        let (index, file) = (key.index, types::Fd(disk.descriptor));
        // Not more than the room, which is below 2^32: a buffer of that size could not be registered.
        let length = length as u32;
        let (half, place) = match op {
            Op::Read => (&mut disk.read, 2 * index),
            Op::Write => (&mut disk.write, 2 * index + 1),
        };
        let (memory, place) = (half.buffer.start(), place as u16);
        macro_rules! entry {
            ($file:expr) => {
                match (op, half.fixed) {
                    (Op::Read, true) => {
                        opcode::ReadFixed::new($file, memory, length, place).offset(offset).build()
                    }
                    (Op::Read, false) => opcode::Read::new($file, memory, length).offset(offset).build(),
                    (Op::Write, true) => {
                        opcode::WriteFixed::new($file, memory, length, place).offset(offset).build()
                    }
                    (Op::Write, false) => opcode::Write::new($file, memory, length).offset(offset).build(),
                }
            };
        }
        let entry = if disk.fixed_file { entry!(types::Fixed(index)) } else { entry!(file) };
        (half.flying, half.tag) = (true, tag);
        let entry = entry.user_data(u64::from(index) << 1 | u64::from(op == Op::Write));
        // SAFETY: the descriptor stays open and the buffer, which has `length` bytes, stays allocated and alone
        // the kernel's until its completion has been seen: `flying` sees to that.
        if unsafe { self.push(&entry) } {
            self.flying += 1;
            return Ok(());
        }
        // Not reached: there is an entry for every request.
        let disk = self.disk(key)?;
        match op {
            Op::Read => disk.read.flying = false,
            Op::Write => disk.write.flying = false,
        }
        Err(Refused::Busy)
    }

    /// Notes an entry; `false` if the ring is full.
    ///
    /// # Safety
    /// What the entry names must be valid until its completion.
    unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: as the caller promises.
        unsafe { self.ring.0.submission().push(entry) }.is_ok()
    }

    /// Has the ring tell when the bell rings.
    fn listen(&mut self) {
        if !self.listening {
            let bell = types::Fd(self.bell.as_fd().as_raw_fd());
            let entry = opcode::PollAdd::new(bell, libc::POLLIN as u32).build().user_data(BELL);
            // SAFETY: the entry names no memory; the bell lives as long as the ring.
            self.listening = unsafe { self.push(&entry) };
        }
    }

    /// How many microseconds a wait takes at least. The kernel looks at the end of a wait only behind them.
    fn gathering(&self, left: Option<Duration>) -> u32 {
        let left = left.and_then(|left| u32::try_from(left.as_micros()).ok()).unwrap_or(GATHER_MOST);
        (self.flying as u32).saturating_mul(GATHER_EACH).min(GATHER_MOST).min(left)
    }

    /// Submits what has been noted, and if it is to `wait`, waits for a completion but not beyond `until`.
    fn enter(&mut self, wait: bool, until: Option<Instant>) -> Result<(), Errno> {
        if !self.enabled {
            let result = self.ring.0.submitter().register_enable_rings();
            result.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            self.enabled = true;
        }
        let mut gather = wait && self.gathers && self.flying > 1;
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let (want, time) =
                if gather { (self.flying, self.gathering(left)) } else { (usize::from(wait), 0) };
            let left = left.map(Timespec::from);
            let ring = &mut self.ring.0;
            let args = SubmitArgs::new().min_wait_usec(time);
            let result = match &left {
                Some(left) if wait => ring.submitter().submit_with_args(want, &args.timespec(left)),
                None if gather => ring.submitter().submit_with_args(want, &args),
                _ => ring.submitter().submit_and_wait(want),
            };
            match result {
                // An entry that the kernel refused ends a batch early, before the wait.
                Ok(count) if count > 0 && !ring.submission().is_empty() => {}
                Ok(_) => return Ok(()),
                // Nothing ended in that time, and without `until` the kernel does not wait any longer.
                Err(error)
                    if gather
                        && until.is_none()
                        && error.raw_os_error() == Some(libc::ETIME)
                        && ring.completion().is_empty() =>
                {
                    gather = false;
                }
                Err(error) => match Errno::from_io_error(&error).unwrap_or(Errno::IO) {
                    // Time is up, a signal.
                    Errno::TIME | Errno::INTR => return Ok(()),
                    // No memory for requests, or too many completions: again, but not at once.
                    Errno::AGAIN | Errno::BUSY if wait => return self.pause(until),
                    Errno::AGAIN | Errno::BUSY => return Ok(()),
                    errno => return Err(errno),
                },
            }
        }
    }

    /// Waits where the ring cannot, for a moment: until something has ended, the bell rings or [`PAUSE`] is over.
    fn pause(&self, until: Option<Instant>) -> Result<(), Errno> {
        let left = until.map_or(PAUSE, |until| until.saturating_duration_since(Instant::now()).min(PAUSE));
        let left = rustix::event::Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        // SAFETY: the ring keeps its descriptor open for longer than this.
        let ring = unsafe { BorrowedFd::borrow_raw(self.ring.0.as_raw_fd()) };
        let mut ready = [PollFd::new(&ring, PollFlags::IN), PollFd::new(&self.bell, PollFlags::IN)];
        match poll(&mut ready, Some(&left)) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno),
        }
        if ready[1].revents().contains(PollFlags::IN) {
            self.bell.answer();
        }
        Ok(())
    }

    /// Calls `each` for what has ended.
    fn collect(&mut self, each: &mut dyn FnMut(Completion<'_>)) -> usize {
        let Self { ring, bell, listening, disks, flying, .. } = self;
        let (mut calls, mut leaving) = (0, false);
        for entry in ring.0.completion() {
            if entry.user_data() == BELL {
                bell.answer();
                *listening = false;
                continue;
            }
            let (index, op) = disk_and_op(&entry);
            let Some(slot) = disks.get_mut(index as usize) else { continue };
            let Some(disk) = slot.disk.as_mut() else { continue };
            let half = match op {
                Op::Read => &mut disk.read,
                Op::Write => &mut disk.write,
            };
            half.flying = false;
            *flying -= 1;
            if disk.removed {
                leaving = true;
                continue;
            }
            let result = match entry.result() {
                count @ 0.. => Ok((count as usize).min(half.room)),
                error => Err(Errno::from_raw_os_error(-error)),
            };
            calls += 1;
            let key = DiskKey { lane: 0, index, generation: slot.generation };
            let count = if op == Op::Read { result.unwrap_or(0) } else { 0 };
            let bytes = &half.buffer[..count];
            each(Completion { disk: key, tag: half.tag, op, result, bytes });
        }
        if leaving {
            for index in 0..self.disks.len() {
                self.free(index);
            }
        }
        calls
    }

    /// Registers a buffer at a place of the table, if limits allow: else the kernel pins it for each request.
    fn register(&mut self, half: &mut Half, place: usize) {
        let bytes = half.buffer.len() as u64;
        if self.fixed_buffers && bytes <= self.lockable {
            let entry = libc::iovec { iov_base: half.buffer.start().cast(), iov_len: half.buffer.len() };
            // SAFETY: it stays allocated while its place is used: requests that name it end before it is freed.
            let result =
                unsafe { self.ring.0.submitter().register_buffers_update(place as u32, &[entry], None) };
            half.fixed = result.is_ok();
            if half.fixed {
                self.lockable -= bytes;
            }
        }
    }

    /// Frees a removed disk if none of its requests is in flight.
    fn free(&mut self, index: usize) {
        let slot = &mut self.disks[index];
        let idle = |disk: &Disk| disk.removed && !disk.read.flying && !disk.write.flying;
        if slot.disk.as_ref().is_some_and(idle) {
            if let Some(disk) = slot.disk.take() {
                let submitter = self.ring.0.submitter();
                if disk.fixed_file {
                    // If it fails, the descriptor stays until the next one takes its place.
                    let _ = submitter.register_files_update(index as u32, &[-1]);
                }
                for (half, place) in [(&disk.read, 2 * index), (&disk.write, 2 * index + 1)] {
                    if half.fixed {
                        // SAFETY: clears a place of the table.
                        let _ = unsafe { submitter.register_buffers_update(place as u32, &[NONE], None) };
                        self.lockable = self.lockable.saturating_add(half.buffer.len() as u64);
                    }
                }
            }
            slot.generation = slot.generation.wrapping_add(1);
        }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        // What has ended need not be leaked.
        self.collect(&mut |_| {});
    }
}

/// A ring whose waits can gather, not enabled yet: since 6.12. It runs what completions need only in its thread's
/// waits, or each completion would interrupt them.
fn gathering() -> Option<IoUring> {
    let ring = IoUring::builder()
        .setup_cqsize(2 * ENTRIES)
        .setup_submit_all()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_r_disabled()
        .build(ENTRIES);
    ring.ok().filter(|ring| ring.params().is_feature_min_timeout())
}

/// Bytes of buffers that a ring may register. All processes of a user share one limit: a quarter of it leaves
/// the others their rings. Root has none.
fn lockable() -> u64 {
    match getrlimit(Resource::Memlock).current {
        Some(limit) if !geteuid().is_root() => limit / 4,
        _ => u64::MAX,
    }
}

/// An empty place in the table of buffers.
const NONE: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

fn disk_and_op(entry: &cqueue::Entry) -> (u32, Op) {
    let data = entry.user_data();
    ((data >> 1) as u32, if data & 1 == 0 { Op::Read } else { Op::Write })
}

impl Queue for Uring {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn add(&mut self, device: Arc<dyn Device>, room: Room) -> Result<DiskKey, Errno> {
        let descriptor = device.descriptor().ok_or(Errno::OPNOTSUPP)?.as_raw_fd();
        if room.read.max(room.write) > u32::MAX as usize / 2 {
            return Err(Errno::NOMEM);
        }
        let index = match self.disks.iter().position(|slot| slot.disk.is_none()) {
            Some(index) => index,
            None if self.disks.len() == MAX_DISKS => return Err(Errno::NFILE),
            None => self.disks.len(),
        };
        let (mut read, mut write) = (Half::new(room.read)?, Half::new(room.write)?);
        let submitter = self.ring.0.submitter();
        let fixed_file =
            self.fixed_files && submitter.register_files_update(index as u32, &[descriptor]).is_ok();
        self.register(&mut write, 2 * index + 1);
        self.register(&mut read, 2 * index);
        if index == self.disks.len() {
            self.disks.push(Slot { generation: 0, disk: None });
        }
        let slot = &mut self.disks[index];
        let disk = Disk { _device: device, descriptor, fixed_file, removed: false, read, write };
        slot.disk = Some(disk);
        Ok(DiskKey { lane: 0, index: index as u32, generation: slot.generation })
    }

    fn remove(&mut self, disk: DiskKey) {
        if let Ok(found) = self.disk(disk) {
            found.removed = true;
            self.free(disk.index as usize);
        }
    }

    fn read(&mut self, disk: DiskKey, tag: u64, offset: u64, length: usize) -> Result<(), Refused> {
        self.disk(disk)?.read.check(length)?;
        self.start(disk, Op::Read, tag, offset, length)
    }

    fn write(&mut self, disk: DiskKey, tag: u64, offset: u64, bytes: &[u8]) -> Result<(), Refused> {
        let half = &mut self.disk(disk)?.write;
        half.check(bytes.len())?;
        half.buffer[..bytes.len()].copy_from_slice(bytes);
        self.start(disk, Op::Write, tag, offset, bytes.len())
    }

    fn submit(&mut self) -> Result<(), Errno> {
        if self.ring.0.submission().is_empty() { Ok(()) } else { self.enter(false, None) }
    }

    fn complete(
        &mut self,
        until: Option<Instant>,
        each: &mut dyn FnMut(Completion<'_>),
    ) -> Result<usize, Errno> {
        self.listen();
        if self.ring.0.completion().is_empty() {
            self.enter(true, until)?;
        } else {
            self.submit()?;
        }
        Ok(self.collect(each))
    }

    fn waker(&self) -> Waker {
        Waker(self.bell.clone())
    }
}

#[cfg(test)]
mod tests;
