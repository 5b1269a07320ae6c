//! What there is to know about a region's device.

use alloc::string::String;

/// The device of a region.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskStatus {
    /// Its name.
    pub device: String,
    /// Id of the thread that heartbeats.
    pub pid: u32,
    /// Size of a slot.
    pub block_bytes: u32,
    /// Where the region begins, in slots.
    pub start_block: u64,
    /// How many slots it has.
    pub blocks: u32,
    /// Steady? Until then the write to `dev` waits.
    pub steady: bool,
}
