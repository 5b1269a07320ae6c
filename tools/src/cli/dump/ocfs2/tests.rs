//! Volumes that mkfs.ocfs2 and tunefs.ocfs2 made, whole and damaged. The fixtures hold the blocks that are not zero, as
//! rows of `offset bytes` in hexadecimal.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;

use uo2cb_test_support::rng::Rng;

use super::*;

/// `-b 4096 -C 4096 -N 4`, 64 MiB: the system directory's entries are in its inode.
const LARGE: &str = include_str!("volume-4096.txt");
/// `-b 512 -C 4096 -N 1 --fs-feature-level=max-compat`, 1200 MiB, and then more node slots again and again: the
/// directory has 10 extents.
const SMALL: &str = include_str!("volume-512.txt");

/// A sparse device.
#[derive(Clone)]
struct Image {
    length: u64,
    /// By number, of 512 bytes.
    sectors: BTreeMap<u64, [u8; 512]>,
}

impl Image {
    fn new(rows: &str, length: u64) -> Self {
        let mut image = Self { length, sectors: BTreeMap::new() };
        for row in rows.lines() {
            let (at, hex) = row.split_once(' ').unwrap();
            let digits: Vec<u8> =
                hex.chars().map(|digit| digit.to_digit(16).unwrap().try_into().unwrap()).collect();
            let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect();
            image.put(u64::from_str_radix(at, 16).unwrap(), &bytes);
        }
        image
    }

    fn large() -> Self {
        Self::new(LARGE, 64 << 20)
    }

    fn small() -> Self {
        Self::new(SMALL, 1200 << 20)
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        for (at, byte) in (at..).zip(bytes) {
            self.sectors.entry(at / 512).or_insert([0; 512])[at as usize % 512] = *byte;
        }
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<usize, Infallible> {
        assert_eq!(at % 512, 0);
        let count = self.length.saturating_sub(at).min(into.len() as u64) as usize;
        for (sector, bytes) in (at / 512..).zip(into[..count].chunks_mut(512)) {
            let found = self.sectors.get(&sector).unwrap_or(&[0; 512]);
            bytes.copy_from_slice(&found[..bytes.len()]);
        }
        Ok(count)
    }

    /// The result, and the number of reads.
    fn find(&self) -> (Result<Area, AreaError<Infallible>>, u32) {
        let mut reads = 0;
        let found = heartbeat_area(|at, into| {
            reads += 1;
            self.read(at, into)
        });
        (found, reads)
    }

    #[track_caller]
    fn fails(&self, with: &str) {
        let fault = self.find().0.unwrap_err().to_string();
        assert!(fault.contains(with), "{fault}");
        assert_eq!(fault.lines().count(), 1);
    }
}

#[test]
fn volumes_as_their_tools_made_them() {
    let (area, reads) = Image::large().find();
    let area = area.unwrap();
    assert_eq!((area.block_size, area.cluster_size), (4096, 4096));
    assert_eq!((area.offset, area.bytes), (273 * 4096, 1 << 20));
    assert_eq!(area.uuid[..4], [0xf7, 0x9f, 0xcc, 0x26]);
    assert_eq!(area.slots(512), (2184, 255));
    assert_eq!(area.slots(4096), (273, 255));
    assert_eq!(reads, 6);

    let area = Image::small().find().0.unwrap();
    assert_eq!((area.block_size, area.cluster_size), (512, 4096));
    assert_eq!((area.offset, area.bytes), (304 * 512, 1 << 17));
    assert_eq!(area.slots(512), (304, 255));
    assert_eq!(area.slots(4096), (38, 32));
}

#[test]
fn entries_are_found_in_every_extent() {
    let (mut image, before) = (Image::small(), Image::small());
    let block = |at: u64| {
        let mut block = [0; 512];
        before.read(at * 512, &mut block).unwrap();
        block
    };
    // The last of ten extents has what the first one had, whose entries are now unused ones.
    let entries = block(296);
    let mut unused = [0; 512];
    unused[8..10].copy_from_slice(&512u16.to_le_bytes());
    for extent in 0..10 {
        let record = &block(18)[0xd0 + 16 * extent..][..16];
        let first = u64_at(record, 8).unwrap();
        for block in first..first + 8 {
            image.put(block * 512, if extent == 9 { &entries } else { &unused });
        }
    }
    assert_eq!(image.find().0, before.find().0);
    image.put(18 * 512 + 0x20, &(9 * 4096u64).to_le_bytes());
    image.fails("system directory, block 18: no entry heartbeat");
}

#[test]
fn superblocks_of_an_earlier_volume_are_ignored() {
    let mut image = Image::large();
    image.put(1024, b"OCFSV2\0\0");
    image.put(1024 + 0xf8, &10u32.to_le_bytes());
    assert_eq!(image.find().0, Image::large().find().0);
}

#[test]
fn damage_is_named() {
    let large = |at: u64, bytes: &[u8]| {
        let mut image = Image::large();
        image.put(at, bytes);
        image
    };
    let (directory, heartbeat) = (6 * 4096, 10 * 4096);
    large(8192, b"ocfsv2").fails("no superblock of ocfs2");
    large(8192 + 0xfc, &[21]).fails("superblock, block 2: cluster size out of range");
    large(8192 + 0xf0, &[0]).fails("system directory, block 0: outside the volume");
    large(8192 + 0xf0, &[0xff; 8]).fails("outside the volume");
    large(8192 + 0xf0, &[7]).fails("system directory, block 7: not its inode");
    large(directory + 0x28, &[0xa4, 0x81]).fails("system directory, block 6: not its inode");
    large(directory + 0xc0, &[0xff; 2]).fails("inline data longer");
    large(directory + 0xc8 + 8, &[0]).fails("an entry with an impossible length");
    large(directory + 0xc8 + 8, &[0xff; 2]).fails("an entry with an impossible length");
    large(directory + 0x140, b"hortbiet").fails("no entry heartbeat");
    large(heartbeat + 0x2c, &[0x11, 0]).fails("file heartbeat, block 10: not its inode");
    large(heartbeat + 0xc0, &[1]).fails("not a single list of extents");
    large(heartbeat + 0xc4, &[0]).fails("file heartbeat, block 10: empty");
    large(heartbeat + 0xc4, &[0xff; 2]).fails("more extents than fit");
    large(heartbeat + 0xd0, &[1]).fails("does not start with an extent");
    large(heartbeat + 0xd8, &[0xff; 8]).fails("file heartbeat, block 10: outside the volume");
    large(heartbeat + 0x20, &[0; 8]).fails("not aligned to clusters, or empty");
    let mut short = Image::large();
    short.length = 7 * 4096;
    short.fails("file heartbeat, block 10: beyond the end of the device");
    short.length = 0;
    short.fails("no superblock");
}

#[test]
fn random_damage_neither_panics_nor_loops() {
    let mut rng = Rng::new(1);
    let mut found = [0u32; 2];
    for image in [Image::large(), Image::small()] {
        let area = image.find().0.unwrap();
        let sectors: Vec<u64> = image.sectors.keys().copied().collect();
        for _ in 0..4000 {
            let mut image = image.clone();
            for _ in 0..=rng.below(6) {
                let sector = sectors[rng.below(sectors.len() as u64) as usize];
                let byte = rng.below(512);
                let bytes = rng.number().to_le_bytes();
                image.put(sector * 512 + byte, &bytes[..1 + rng.below(8) as usize]);
            }
            let (result, reads) = image.find();
            assert!(reads <= MAX_DIRECTORY_BLOCKS + 6);
            match result {
                Ok(other) => {
                    found[usize::from(other == area)] += 1;
                    assert!((512..=4096).contains(&other.block_size) && other.bytes > 0);
                    assert!(other.slots(512).1 <= 255);
                }
                Err(fault) => assert_eq!(fault.to_string().lines().count(), 1),
            }
        }
    }
    assert!(found[1] > 1000, "most damage is elsewhere: {found:?}");
}

#[test]
fn random_bytes_are_no_volume() {
    let mut rng = Rng::new(1);
    for _ in 0..500 {
        let mut image = Image { length: 1 << 20, sectors: BTreeMap::new() };
        for at in 0..24 {
            let random: [u64; 64] = std::array::from_fn(|_| rng.number());
            image.put(at * 512, &random.map(u64::to_le_bytes).concat());
        }
        image.fails("no superblock");
        image.put(1024, b"OCFSV2\0\0");
        image.put(1024 + 0xf8, &[9, 0, 0, 0, 12, 0, 0, 0]);
        assert!(image.find().0.is_err());
        image.put(1024 + 0xf0, &[5, 0, 0, 0, 0, 0, 0, 0]);
        image.put(5 * 512, b"INODE01\0");
        image.put(5 * 512 + 0x50, &[5, 0, 0, 0, 0, 0, 0, 0]);
        image.put(5 * 512 + 0x28, &[0, 0x40]);
        image.put(5 * 512 + 0x2c, &[0xff; 4]);
        assert!(image.find().0.is_err());
    }
}
