//! A shared disk: slots, and what they held earlier.

use uo2cb_core::heartbeat::disk::Block;

/// Bytes of a slot.
pub const SLOT: usize = 512;
/// Bytes of a slot that are not always zero: a write is torn among these.
const FIELDS: usize = 28;

/// One region on a disk of its own.
#[derive(Debug)]
pub struct Disk {
    slots: Vec<u8>,
    /// Copies from the beginnings of faults, by the number of the fault.
    old: Vec<(usize, Vec<u8>)>,
}

impl Disk {
    /// All zero.
    pub fn new(slots: usize) -> Self {
        Self { slots: vec![0; slots * SLOT], old: Vec::new() }
    }

    /// What is in some slots now.
    pub fn read(&self, first: usize, count: usize) -> &[u8] {
        let end = ((first + count) * SLOT).min(self.slots.len());
        &self.slots[(first * SLOT).min(end)..end]
    }

    /// What was in them when fault `fault` began.
    pub fn read_old(&self, fault: usize, first: usize, count: usize) -> &[u8] {
        let end = (first + count) * SLOT;
        match self.old.iter().find(|(number, _)| *number == fault) {
            Some((_, slots)) => &slots[first * SLOT..end.min(slots.len())],
            None => self.read(first, count),
        }
    }

    /// Keeps a copy for fault `fault`.
    pub fn keep(&mut self, fault: usize) {
        self.old.push((fault, self.slots.clone()));
    }

    /// Writes a slot, or only its first bytes.
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
