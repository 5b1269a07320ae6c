//! The bytes of an input as choices, and a second decoder of slots, from the specification alone.

use uo2cb_core::heartbeat::disk::{Block, Found};

/// Bytes of every slot.
pub const SLOT: usize = 512;

/// An input; zeros when it is used up.
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// The next operation; none at the end.
    pub fn op(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn byte(&mut self) -> u8 {
        self.op().unwrap_or(0)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }
}

/// The polynomial, reflected, by bytes.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let (mut rest, mut bit) = (at as u32, 0);
        while bit < 8 {
            rest = if rest & 1 == 1 { rest >> 1 ^ 0xEDB8_8320 } else { rest >> 1 };
            bit += 1;
        }
        table[at] = rest;
        at += 1;
    }
    table
};

fn crc32_le(slot: &[u8]) -> u32 {
    slot.iter().enumerate().fold(0, |rest: u32, (at, byte)| {
        let byte = if (12..16).contains(&at) { 0 } else { *byte };
        rest >> 8 ^ TABLE[usize::from(rest as u8 ^ byte)]
    })
}

fn little(slot: &[u8], from: usize, count: usize) -> u64 {
    (0..count).rev().fold(0, |number, at| number << 8 | u64::from(slot[from + at]))
}

/// Decodes a slot, and compares with core's decoder.
pub fn decode(slot: &[u8]) -> Found {
    let block = Block {
        seq: little(slot, 0, 8),
        node: slot[8],
        generation: little(slot, 16, 8),
        dead_ms: little(slot, 24, 4) as u32,
    };
    let cksum = little(slot, 12, 4) as u32;
    let expected = Found { block, cksum, good: cksum == crc32_le(slot) };
    let found = Block::decode(slot);
    assert_eq!(found, expected, "decoded");
    found
}

/// Changes a slot as a node, another node, or a broken disk would.
pub fn corrupt(slot: &mut [u8], num: u8, input: &mut Bytes<'_>) {
    let old = Block::decode(slot).block;
    let block = match input.below(12) {
        // More often than anything else, a beat.
        0..3 => Block { seq: old.seq.wrapping_add(1), node: num, ..old },
        3 => Block { seq: input.byte().into(), ..old },
        4 => Block {
            seq: input.number(),
            node: input.byte(),
            generation: input.number(),
            dead_ms: input.byte().into(),
        },
        5 => Block { generation: input.byte().into(), ..old },
        6 => Block { seq: old.seq.wrapping_add(1), generation: 0, ..old },
        7 => Block { node: input.byte(), ..old },
        8 => {
            let at = input.below(256) + 256 * input.below(2);
            slot[at] ^= 1 << input.below(8);
            return;
        }
        9 => {
            let (from, count) = (input.below(256), input.below(32));
            slot[from..from + count].iter_mut().for_each(|byte| *byte = input.byte());
            return;
        }
        10 => return slot.fill(input.byte()),
        // The right checksum for whatever is in the slot.
        _ => {
            let cksum = crc32_le(slot);
            slot[12..16].copy_from_slice(&cksum.to_le_bytes());
            return;
        }
    };
    block.encode(slot);
    assert_eq!(decode(slot), Found { block, cksum: crc32_le(slot), good: true }, "encoded");
    assert!(slot[28..].iter().chain(&slot[9..12]).all(|byte| *byte == 0), "not empty behind the fields");
}
