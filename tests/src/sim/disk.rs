//! A shared disk: its slots, and copies of them for stale reads.

use uo2cb_core::heartbeat::disk::Block;

/// Bytes of a slot.
pub const SLOT: usize = 512;
/// Bytes of a slot that hold fields, the rest being zero: a torn write ends within these.
const FIELDS: usize = 28;

/// A disk with one region.
#[derive(Debug)]
pub struct Disk {
    slots: Vec<u8>,
    /// Copies of the slots made when a fault began, by the fault's number.
    copies: Vec<(usize, Vec<u8>)>,
}

impl Disk {
    /// All zero.
    pub fn new(slots: usize) -> Self {
        Self { slots: vec![0; slots * SLOT], copies: Vec::new() }
    }

    /// The bytes of some slots.
    pub fn read(&self, first: usize, count: usize) -> &[u8] {
        let end = ((first + count) * SLOT).min(self.slots.len());
        &self.slots[(first * SLOT).min(end)..end]
    }

    /// Their bytes when fault number `fault` began.
    pub fn read_copy(&self, fault: usize, first: usize, count: usize) -> &[u8] {
        let end = (first + count) * SLOT;
        match self.copies.iter().find(|(number, _)| *number == fault) {
            Some((_, slots)) => &slots[first * SLOT..end.min(slots.len())],
            None => self.read(first, count),
        }
    }

    /// Copies all slots for fault number `fault`.
    pub fn copy(&mut self, fault: usize) {
        self.copies.push((fault, self.slots.clone()));
    }

    /// Writes a slot, or only its first `only` bytes.
    pub fn write(&mut self, slot: usize, block: &Block, only: Option<usize>) {
        let mut bytes = [0; SLOT];
        block.encode(&mut bytes);
        let length = only.map_or(SLOT, |only| only.min(FIELDS));
        self.slots[slot * SLOT..][..length].copy_from_slice(&bytes[..length]);
    }

    /// The seq in a slot.
    pub fn seq(&self, slot: usize) -> u64 {
        Block::decode(self.read(slot, 1)).block.seq
    }
}
