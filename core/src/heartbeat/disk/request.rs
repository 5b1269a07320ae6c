//! What a region wants of its disk, and how that ended: the driver's part of a beat.

use alloc::string::String;

use super::block::Block;
use crate::error::{Errno, Refusal};
use crate::ids::{Caller, OpId, RequestId};

/// What a region wants of its disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskRequest {
    /// Open descriptor `descriptor` of the caller as the region's device. Ends with [`DiskResult::Opened`]; the
    /// caller waits meanwhile.
    Open {
        /// The write to `dev` that waits: to be given up by [`Input::Cancel`](crate::Input::Cancel) when its caller
        /// is killed.
        request: RequestId,
        /// Whose descriptor.
        caller: Caller,
        /// Its number there.
        descriptor: i32,
        /// Size of a slot.
        block_bytes: u32,
        /// Where the region begins, in slots.
        start_block: u64,
        /// How many slots it has.
        blocks: u32,
    },
    /// Read slots. Ends with [`DiskResult::Read`].
    Read {
        /// Name of the request.
        op: OpId,
        /// First slot.
        first: u32,
        /// How many.
        count: u32,
    },
    /// Write a slot. Ends with [`DiskResult::Written`].
    Write {
        /// Name of the request.
        op: OpId,
        /// Which slot.
        slot: u32,
        /// What; [`Block::encode`] fills the slot.
        block: Block,
    },
    /// Nothing more is wanted of it, not even the end of a request on its way.
    Close,
}

/// How a request to a disk ended.
#[derive(Clone, Debug)]
pub enum DiskResult<'a> {
    /// It is open, or why it will not do: one for each request to open, also when that was cancelled meanwhile.
    Opened(Result<DiskInfo, Refusal>),
    /// The slots that were asked for, or fewer when the device ends before.
    Read(OpId, Result<&'a [u8], Errno>),
    /// Whether the slot is on the device.
    Written(OpId, Result<(), Errno>),
}

/// A device that has been opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskInfo {
    /// Its name as in /sys/block; of a regular file, its file name.
    pub name: String,
    /// Size of its sectors: what it reads and writes at least.
    pub sector_bytes: u32,
    /// A regular file: any multiple of its sector size will do as size of a slot.
    pub regular_file: bool,
    /// Random and not 0: the generation of this start.
    pub generation: u64,
    /// Id of the thread that beats.
    pub pid: u32,
}

impl DiskInfo {
    /// Can it have slots of this size? A block device's slots are its sectors, as in the kernel.
    pub fn takes(&self, block_bytes: u32) -> bool {
        let multiple = self.regular_file && self.sector_bytes > 0 && block_bytes % self.sector_bytes == 0;
        block_bytes == self.sector_bytes || multiple
    }
}
