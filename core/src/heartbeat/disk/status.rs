//! What there is to know about a region's device.

use alloc::string::String;
use core::time::Duration;

use crate::time::Instant;

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
    /// Until it is steady: how many good beats without a node coming or going that still takes.
    pub beats_left: u32,
    /// And after how many beats in all the start is given up.
    pub beats_limit: u32,
    /// When the write of the last good beat began; none before the first one. The write timeout counts from there.
    pub last_good: Option<Instant>,
    /// How long after that this node must stop.
    pub write_timeout: Duration,
}
