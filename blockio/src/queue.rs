//! Requests on many disks, run from one thread.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;

use crate::bell::Bell;
use crate::device::Device;

/// Runs requests on many disks; one thread owns it.
///
/// Each disk has one buffer to read into and one to write from, so at most one read and one write of a disk
/// are in flight; one more is refused as [`Refused::Busy`]. Between a read and a write of one disk that are
/// in flight together there is no order.
///
/// [`read`](Self::read) and [`write`](Self::write) only take requests down; [`submit`](Self::submit) and
/// [`complete`](Self::complete) start all of them at once. No disk waits for another one. Once a disk is
/// added its requests cost no allocation.
///
/// Dropping a queue waits for nothing: what is in flight may still reach the disk.
pub trait Queue: fmt::Debug + Send {
    /// What runs the requests, in a word for the log.
    fn name(&self) -> &'static str;

    /// Takes in a disk and makes its buffers.
    ///
    /// # Errors
    /// ENOMEM, ENFILE (too many disks), EOPNOTSUPP (this queue cannot run such a device).
    fn add(&mut self, device: Arc<dyn Device>, room: Room) -> Result<DiskKey, Errno>;

    /// Forgets a disk: nothing more will be heard of it, its key is never given out again. Requests in flight
    /// go on: the device is closed and its buffers are freed when the last of them has ended, however long
    /// that takes. Requests not started yet may be dropped. An unknown key does nothing.
    fn remove(&mut self, disk: DiskKey);

    /// Notes a read of `length` bytes at `offset`. `tag` comes back with the completion.
    ///
    /// # Errors
    /// Nothing has been noted, see [`Refused`].
    fn read(&mut self, disk: DiskKey, tag: u64, offset: u64, length: usize) -> Result<(), Refused>;

    /// Notes a write of `bytes`, which are copied, at `offset`. `tag` comes back with the completion.
    ///
    /// # Errors
    /// Nothing has been noted, see [`Refused`].
    fn write(&mut self, disk: DiskKey, tag: u64, offset: u64, bytes: &[u8]) -> Result<(), Refused>;

    /// Starts what has been noted and returns.
    ///
    /// # Errors
    /// The queue itself is broken: requests may be lost. What has been noted is kept.
    fn submit(&mut self) -> Result<(), Errno>;

    /// Starts what has been noted, waits until something has ended, somebody [wakes](Waker::wake) the queue or
    /// `until` has come (`None`: no limit), and calls `each` for every request that has ended. It may return
    /// early with nothing. Returns the number of calls.
    ///
    /// # Errors
    /// As for [`submit`](Self::submit).
    fn complete(
        &mut self,
        until: Option<Instant>,
        each: &mut dyn FnMut(Completion<'_>),
    ) -> Result<usize, Errno>;

    /// A handle with which other threads end a wait in [`complete`](Self::complete).
    fn waker(&self) -> Waker;
}

/// A disk of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiskKey {
    pub(crate) lane: u8,
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// The most that a request of a disk can carry, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// In a read.
    pub read: usize,
    /// In a write.
    pub write: usize,
}

/// Direction of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// From the disk.
    Read,
    /// To the disk.
    Write,
}

/// Why a queue did not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such disk, or no more.
    NoDisk,
    /// A request of this direction is in flight on this disk.
    Busy,
    /// It has more bytes than the disk was given [`Room`] for.
    TooLong,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDisk => "no such disk",
            Self::Busy => "the last request is still in flight",
            Self::TooLong => "request is longer than its buffer",
        })
    }
}

impl std::error::Error for Refused {}

/// A request that has ended.
#[derive(Debug)]
pub struct Completion<'a> {
    /// Its disk.
    pub disk: DiskKey,
    /// The tag it was given.
    pub tag: u64,
    /// Its direction.
    pub op: Op,
    /// Bytes moved: fewer than asked for at the end of the device. Else the error.
    pub result: Result<usize, Errno>,
    /// Of a read: what was read, as many bytes as `result` says; else empty.
    pub bytes: &'a [u8],
}

/// Ends a wait in [`Queue::complete`], from any thread and without blocking. A wake that comes between two
/// waits ends the next one; several may count as one.
#[derive(Clone, Debug)]
pub struct Waker(pub(crate) Arc<Bell>);

impl Waker {
    /// Wakes the queue. What this thread did before is visible to the queue's thread when it returns.
    pub fn wake(&self) {
        self.0.ring();
    }
}
