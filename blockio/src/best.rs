//! The best queue that this system allows.

use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;

use crate::device::Device;
use crate::queue::{Completion, DiskKey, Queue, Refused, Room, Waker};
use crate::threads::Threads;
use crate::uring::Uring;

/// A queue, and why it is not a better one.
#[derive(Debug)]
pub struct Best {
    /// Runs any device.
    pub queue: Box<dyn Queue>,
    /// Why io_uring is not used, when it is not: ENOSYS (kernel without it), EPERM (forbidden, as in many
    /// containers), ENOMEM (limit on locked memory), EOPNOTSUPP (kernel before 5.11).
    pub without_uring: Option<Errno>,
}

/// io_uring if this system allows it (and threads for devices without a descriptor), else threads.
///
/// # Errors
/// No queue at all: no descriptor left (EMFILE, ENFILE) or no memory.
pub fn best() -> Result<Best, Errno> {
    match Uring::new() {
        Ok(ring) => {
            let threads = Threads::on(ring.bell().clone());
            Ok(Best { queue: Box::new(Mixed { ring, threads }), without_uring: None })
        }
        Err(why) => Ok(Best { queue: Box::new(Threads::new()?), without_uring: Some(why) }),
    }
}

/// Lane of keys whose disks the threads run; the ring's are as the ring made them.
const THREADS: u8 = 1;

/// A ring, and threads for what it cannot run, which end its wait with its own bell.
#[derive(Debug)]
struct Mixed {
    ring: Uring,
    threads: Threads,
}

impl Mixed {
    /// The queue that knows a disk, and its key there.
    fn home(&mut self, disk: DiskKey) -> (&mut dyn Queue, DiskKey) {
        match disk.lane {
            THREADS => (&mut self.threads, DiskKey { lane: 0, ..disk }),
            _ => (&mut self.ring, disk),
        }
    }
}

impl Queue for Mixed {
    fn name(&self) -> &'static str {
        self.ring.name()
    }

    fn add(&mut self, device: Arc<dyn Device>, room: Room) -> Result<DiskKey, Errno> {
        if device.descriptor().is_some() {
            return self.ring.add(device, room);
        }
        Ok(DiskKey { lane: THREADS, ..self.threads.add(device, room)? })
    }

    fn remove(&mut self, disk: DiskKey) {
        let (queue, disk) = self.home(disk);
        queue.remove(disk);
    }

    fn read(&mut self, disk: DiskKey, tag: u64, offset: u64, length: usize) -> Result<(), Refused> {
        let (queue, disk) = self.home(disk);
        queue.read(disk, tag, offset, length)
    }

    fn write(&mut self, disk: DiskKey, tag: u64, offset: u64, bytes: &[u8]) -> Result<(), Refused> {
        let (queue, disk) = self.home(disk);
        queue.write(disk, tag, offset, bytes)
    }

    fn submit(&mut self) -> Result<(), Errno> {
        self.threads.submit()?;
        self.ring.submit()
    }

    fn complete(
        &mut self,
        until: Option<Instant>,
        each: &mut dyn FnMut(Completion<'_>),
    ) -> Result<usize, Errno> {
        self.threads.submit()?;
        let wait = [until, self.threads.next_look()].into_iter().flatten().min();
        let in_ring = self.ring.complete(wait, each)?;
        // The bell has been answered by now, or is still ringing: nothing that has ended is missed.
        let in_threads = self.threads.collect(&mut |done| {
            each(Completion { disk: DiskKey { lane: THREADS, ..done.disk }, ..done });
        });
        self.threads.tend();
        Ok(in_ring + in_threads)
    }

    fn waker(&self) -> Waker {
        self.ring.waker()
    }
}
