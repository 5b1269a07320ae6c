//! The block that a node writes into its slot (`spec/heartbeat.md`, disk format).

use core::time::Duration;

use crc32fast::Hasher;

/// Bytes at the start of a slot that carry fields; the rest of the slot is zero.
const FIELDS: usize = 28;

/// A clock beyond this (year 3058) is not followed.
const CLOCK_LIMIT: u64 = 1 << 35;
/// A seq from here on comes from no clock, nor from counting on from one (which would take 2000 years): junk, whatever
/// its checksum says.
pub const SEQ_LIMIT: u64 = 1 << 36;

/// The seq behind `last`: the wall clock, but always at least one more. A clock that stands still or goes back must not
/// make a node look dead. `last` is 0 where nothing was written yet.
pub(super) fn next_seq(last: u64, clock: Duration) -> u64 {
    clock.as_secs().min(CLOCK_LIMIT).max(last.saturating_add(1))
}

/// The fields of a block, without its checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Block {
    /// Wall-clock seconds at the time of the write, or one more than the last one where the clock was not beyond it.
    pub seq: u64,
    /// Node number.
    pub node: u8,
    /// Random for each start of the region; 0: a clean stop.
    pub generation: u64,
    /// The writer's dead threshold, in milliseconds.
    pub dead_ms: u32,
}

/// A block as found on a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Its fields; junk where the checksum is wrong.
    pub block: Block,
    /// The checksum that it carries.
    pub cksum: u32,
    /// Whether that is its checksum.
    pub good: bool,
}

impl Block {
    /// Fills a whole slot. Slots shorter than the fields are left alone: no device has any.
    pub fn encode(&self, slot: &mut [u8]) {
        if slot.len() < FIELDS {
            return;
        }
        slot.fill(0);
        slot[0..8].copy_from_slice(&self.seq.to_le_bytes());
        slot[8] = self.node;
        slot[16..24].copy_from_slice(&self.generation.to_le_bytes());
        slot[24..28].copy_from_slice(&self.dead_ms.to_le_bytes());
        let cksum = checksum(slot);
        slot[12..16].copy_from_slice(&cksum.to_le_bytes());
    }

    /// Reads a slot. What is too short to be one has a wrong checksum.
    pub fn decode(slot: &[u8]) -> Found {
        let Some((block, cksum)) = Self::fields(slot) else { return Found::default() };
        Found { block, cksum, good: cksum == checksum(slot) }
    }

    /// What a slot says, and its checksum, which is not looked at. None: too short to be one.
    pub(super) fn fields(slot: &[u8]) -> Option<(Self, u32)> {
        let (seq, cksum) = (field(slot, 0)?, field(slot, 12)?);
        let block = Self {
            seq: u64::from_le_bytes(seq),
            node: slot[8],
            generation: u64::from_le_bytes(field(slot, 16)?),
            dead_ms: u32::from_le_bytes(field(slot, 24)?),
        };
        Some((block, u32::from_le_bytes(cksum)))
    }
}

fn field<const N: usize>(slot: &[u8], at: usize) -> Option<[u8; N]> {
    slot.get(at..at + N)?.try_into().ok()
}

/// The kernel's `crc32_le` with seed 0 over the slot with the checksum's own field as zero.
fn checksum(slot: &[u8]) -> u32 {
    // zlib's crc32 begins and ends with an inversion: this seed and the last one undo them.
    let mut hasher = Hasher::new_with_initial(u32::MAX);
    let mut start = [0; 16];
    start[..12].copy_from_slice(&slot[..12]);
    hasher.update(&start);
    hasher.update(&slot[16..]);
    !hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(fields: [u8; FIELDS]) -> [u8; 512] {
        let mut slot = [0; 512];
        slot[..FIELDS].copy_from_slice(&fields);
        slot
    }

    /// Written by a kernel: a clean stop of node 0.
    const LEFT: [u8; FIELDS] = [
        0x27, 0x86, 0x02, 0x6b, 0, 0, 0, 0, 0, 0, 0, 0, 0x31, 0xd8, 0xcf, 0x66, 0, 0, 0, 0, 0, 0, 0, 0, 0x30,
        0xf2, 0, 0,
    ];
    /// Written by a kernel: node 0 alive.
    const ALIVE: [u8; FIELDS] = [
        0x92, 0x8b, 0x02, 0x6b, 0, 0, 0, 0, 0, 0, 0, 0, 0xec, 0xdc, 0xf3, 0x0f, 0x00, 0xdb, 0x96, 0x08, 0xc5,
        0xd6, 0xa9, 0x73, 0x30, 0xf2, 0, 0,
    ];

    #[test]
    fn slots_that_a_kernel_wrote() {
        let left = Block { seq: 0x6b02_8627, node: 0, generation: 0, dead_ms: 62_000 };
        let alive = Block { seq: 0x6b02_8b92, node: 0, generation: 0x73a9_d6c5_0896_db00, dead_ms: 62_000 };
        for (fields, block, cksum) in [(LEFT, left, 0x66cf_d831), (ALIVE, alive, 0x0ff3_dcec)] {
            assert_eq!(Block::decode(&slot(fields)), Found { block, cksum, good: true });
            let mut written = [0xff; 512];
            block.encode(&mut written);
            assert_eq!(written, slot(fields));
        }
    }

    #[test]
    fn an_empty_slot_has_a_good_checksum() {
        assert_eq!(Block::decode(&[0; 512]), Found { good: true, ..Found::default() });
    }

    #[test]
    fn any_changed_bit_is_found() {
        let good = slot(ALIVE);
        for at in (0..28).chain([28, 300, 511]) {
            let mut bad = good;
            bad[at] ^= 0x10;
            assert!(!Block::decode(&bad).good, "byte {at}");
        }
    }

    #[test]
    fn what_is_too_short_is_no_block() {
        for length in 0..FIELDS {
            assert!(!Block::decode(&[0; FIELDS][..length]).good);
            Block::default().encode(&mut [0; FIELDS][..length]);
        }
    }
}
