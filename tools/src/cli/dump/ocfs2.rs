//! Where an ocfs2 volume keeps its heartbeat area: the file `heartbeat` in its system directory.
//!
//! Found out from volumes that mkfs.ocfs2 makes and from what `debugfs.ocfs2` prints of them (`stats`, `ls //`,
//! `stat //heartbeat`). All numbers are little-endian; blocks are those of the volume's own block size:
//!
//! - Block 2 is the superblock, laid out like an inode: `OCFSV2` at 0, volume's clusters at 0x14, own block at
//!   0x50, system directory's block at 0xf0, bits of the block size at 0xf8, of the cluster size at 0xfc, UUID at
//!   0x150.
//! - An inode is one block: `INODE01` at 0, bytes at 0x20, mode at 0x28, flags at 0x2c (1 valid, 0x200 heartbeat),
//!   own block at 0x50, features at 0x76 (1: inline data).
//! - Inline data: capacity at 0xc0 (16 bits), data from 0xc8 on. Else extents: depth of the tree at 0xc0,
//!   records in use at 0xc4, and from 0xd0 on 16 bytes each: first cluster in the file (32 bits), clusters
//!   (16 bits), block on the volume at 8.
//! - A directory entry: inode's block (64 bits, 0: unused), length of the entry (16 bits), length of the name
//!   (8 bits), type, name from 12 on. Entries fill each block.

use std::fmt;

#[cfg(test)]
mod tests;

/// The heartbeat area of a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Area {
    /// Offset on the device, in bytes; a multiple of the cluster size.
    pub(super) offset: u64,
    /// Length of its first extent, in bytes: ocfs2 heartbeats in no other.
    pub(super) bytes: u64,
    /// Block size of the volume. Not that of slots, which is the device's sector size.
    pub(super) block_size: u32,
    /// Cluster size of the volume.
    pub(super) cluster_size: u32,
    /// UUID of the volume; in hexadecimal capitals it is the name that ocfs2's tools give the region.
    pub(super) uuid: [u8; 16],
}

impl Area {
    /// What to write to a region's `start_block` and `blocks` when a slot has `block_bytes` (512 to 4096).
    pub(super) fn slots(&self, block_bytes: u32) -> (u64, u32) {
        let size = u64::from(block_bytes.max(1));
        (self.offset / size, (self.bytes / size).min(MAX_SLOTS) as u32)
    }
}

/// Why no heartbeat area was found. `E`: the error of a read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AreaError<E> {
    /// The device cannot be read.
    Read(E),
    /// No superblock of ocfs2 at any of its places.
    NotOcfs2,
    /// The volume is damaged, or has a layout that is not known here.
    Broken {
        /// The damaged part.
        part: Part,
        /// Its block.
        block: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A part of a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// The superblock.
    Superblock,
    /// The system directory.
    Directory,
    /// The inode of the file `heartbeat`.
    Heartbeat,
}

impl<E: fmt::Display> fmt::Display for AreaError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::NotOcfs2 => f.write_str("no superblock of ocfs2"),
            Self::Broken { part, block, what } => {
                let part = match part {
                    Part::Superblock => "superblock",
                    Part::Directory => "system directory",
                    Part::Heartbeat => "file heartbeat",
                };
                write!(f, "broken ocfs2 volume: {part}, block {block}: {what}")
            }
        }
    }
}

/// Slots that a region can have.
const MAX_SLOTS: u64 = 255;
/// Block sizes, in the order in which ocfs2 looks for a superblock.
const BLOCK_BITS: [u32; 4] = [9, 10, 11, 12];
/// Cluster sizes: 4 KiB to 1 MiB.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 12..=20;
/// The largest block.
const LARGEST: usize = 4096;
/// Blocks of the system directory that are looked at: with 255 node slots it needs 2 % of that.
const MAX_DIRECTORY_BLOCKS: u32 = 8192;

const SUPERBLOCK: u64 = 2;
const VALID: u32 = 1;
const HEARTBEAT: u32 = 0x200;
const INLINE: u16 = 1;
const FORMAT: u16 = 0o170_000;
const DIRECTORY: u16 = 0o040_000;
const REGULAR: u16 = 0o100_000;
/// Where extent records begin, and how long one is.
const RECORDS: (usize, usize) = (0xd0, 16);
/// Where data in the inode begins.
const DATA: usize = 0xc8;
/// A directory entry before its name.
const ENTRY: usize = 12;

/// Finds the heartbeat area of the volume on a device. `read` fills a buffer from an offset in bytes and says
/// how much there was before the device's end; it is asked for whole blocks only, a bounded number of times.
///
/// # Errors
/// See [`AreaError`].
pub(super) fn heartbeat_area<E>(
    mut read: impl FnMut(u64, &mut [u8]) -> Result<usize, E>,
) -> Result<Area, AreaError<E>> {
    let mut block = [0; LARGEST];
    let mut volume = None;
    for bits in BLOCK_BITS {
        let bytes = &mut block[..1 << bits];
        let whole = read(SUPERBLOCK << bits, bytes).map_err(AreaError::Read)? == bytes.len();
        // A superblock of another block size is a remnant of an earlier mkfs.
        if whole && bytes.starts_with(b"OCFSV2\0\0") && u32_at(bytes, 0xf8) == Some(bits) {
            volume = Some(Volume::new(bytes, bits)?);
            break;
        }
    }
    let volume = volume.ok_or(AreaError::NotOcfs2)?;
    let inode = volume.inode(&mut read, &mut block, Part::Directory, volume.directory)?;
    let found = volume.look_up(&mut read, inode)?.ok_or(AreaError::Broken {
        part: Part::Directory,
        block: volume.directory,
        what: "no entry heartbeat",
    })?;
    let inode = volume.inode(&mut read, &mut block, Part::Heartbeat, found)?;
    volume.area(inode, found)
}

/// Fields of the superblock.
struct Volume {
    bits: u32,
    cluster_bits: u32,
    /// In its own blocks.
    blocks: u64,
    directory: u64,
    uuid: [u8; 16],
}

/// The block of an inode.
#[derive(Clone, Copy)]
struct Inode<'a>(&'a [u8]);

impl Volume {
    fn new<E>(bytes: &[u8], bits: u32) -> Result<Self, AreaError<E>> {
        let broken = |what| AreaError::Broken { part: Part::Superblock, block: SUPERBLOCK, what };
        let cluster_bits = u32_at(bytes, 0xfc).unwrap_or(0);
        if !CLUSTER_BITS.contains(&cluster_bits) {
            return Err(broken("cluster size out of range"));
        }
        let clusters = u32_at(bytes, 0x14).unwrap_or(0);
        Ok(Self {
            bits,
            cluster_bits,
            blocks: u64::from(clusters) << (cluster_bits - bits),
            directory: u64_at(bytes, 0xf0).unwrap_or(0),
            uuid: array_at(bytes, 0x150).unwrap_or_default(),
        })
    }

    /// Reads one block of the volume.
    fn block<'a, E>(
        &self,
        read: &mut impl FnMut(u64, &mut [u8]) -> Result<usize, E>,
        into: &'a mut [u8; LARGEST],
        part: Part,
        block: u64,
    ) -> Result<&'a [u8], AreaError<E>> {
        let broken = |what| AreaError::Broken { part, block, what };
        if block <= SUPERBLOCK || block >= self.blocks {
            return Err(broken("outside the volume"));
        }
        let bytes = &mut into[..1 << self.bits];
        // Fits: fewer than 2^32 clusters of 2^20 bytes.
        match read(block << self.bits, bytes).map_err(AreaError::Read)? {
            count if count == bytes.len() => Ok(bytes),
            _ => Err(broken("beyond the end of the device")),
        }
    }

    fn inode<'a, E>(
        &self,
        read: &mut impl FnMut(u64, &mut [u8]) -> Result<usize, E>,
        into: &'a mut [u8; LARGEST],
        part: Part,
        block: u64,
    ) -> Result<Inode<'a>, AreaError<E>> {
        let bytes = self.block(read, into, part, block)?;
        let (mode, flags) = match part {
            Part::Heartbeat => (REGULAR, VALID | HEARTBEAT),
            Part::Directory | Part::Superblock => (DIRECTORY, VALID),
        };
        let right = bytes.starts_with(b"INODE01\0")
            && u64_at(bytes, 0x50) == Some(block)
            && u16_at(bytes, 0x28).is_some_and(|found| found & FORMAT == mode)
            && u32_at(bytes, 0x2c).is_some_and(|found| found & flags == flags);
        if right { Ok(Inode(bytes)) } else { Err(AreaError::Broken { part, block, what: "not its inode" }) }
    }

    /// The inode of `heartbeat` in the system directory: its block.
    fn look_up<E>(
        &self,
        read: &mut impl FnMut(u64, &mut [u8]) -> Result<usize, E>,
        inode: Inode<'_>,
    ) -> Result<Option<u64>, AreaError<E>> {
        let broken = |block, what| AreaError::Broken { part: Part::Directory, block, what };
        let at = self.directory;
        if inode.is_inline() {
            let data = inode.data().ok_or_else(|| broken(at, "inline data longer than the block"))?;
            return search(data).map_err(|what| broken(at, what));
        }
        let mut left = inode.bytes() >> self.bits;
        let mut blocks_left = MAX_DIRECTORY_BLOCKS;
        let mut buffer = [0; LARGEST];
        for (_, clusters, first) in inode.extents().map_err(|what| broken(at, what))? {
            let count = u64::from(clusters) << (self.cluster_bits - self.bits);
            for block in (0..count).map_while(|block| first.checked_add(block)) {
                if left == 0 || blocks_left == 0 {
                    return Ok(None);
                }
                (left, blocks_left) = (left - 1, blocks_left - 1);
                let bytes = self.block(read, &mut buffer, Part::Directory, block)?;
                if let Some(found) = search(bytes).map_err(|what| broken(block, what))? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// The heartbeat area: the first extent of the heartbeat file.
    fn area<E>(&self, inode: Inode<'_>, at: u64) -> Result<Area, AreaError<E>> {
        let broken = |what| AreaError::Broken { part: Part::Heartbeat, block: at, what };
        let first = inode.extents().map_err(broken)?.next();
        let (0, clusters @ 1.., block) = first.ok_or_else(|| broken("empty"))? else {
            return Err(broken("does not start with an extent"));
        };
        let bytes = inode.bytes().min(u64::from(clusters) << self.cluster_bits);
        let end = block.checked_add(bytes.div_ceil(1 << self.bits));
        if block <= SUPERBLOCK || end.is_none_or(|end| end > self.blocks) {
            return Err(broken("outside the volume"));
        }
        let offset = block << self.bits;
        if bytes == 0 || offset % (1 << self.cluster_bits) != 0 {
            return Err(broken("not aligned to clusters, or empty"));
        }
        Ok(Area {
            offset,
            bytes,
            block_size: 1 << self.bits,
            cluster_size: 1 << self.cluster_bits,
            uuid: self.uuid,
        })
    }
}

impl<'a> Inode<'a> {
    fn bytes(self) -> u64 {
        u64_at(self.0, 0x20).unwrap_or(0)
    }

    fn is_inline(self) -> bool {
        u16_at(self.0, 0x76).is_some_and(|features| features & INLINE != 0)
    }

    fn data(self) -> Option<&'a [u8]> {
        let room = usize::from(u16_at(self.0, 0xc0)?);
        self.0.get(DATA..DATA.checked_add(room)?)
    }

    /// First cluster in the file, clusters, first block on the volume.
    fn extents(self) -> Result<impl Iterator<Item = (u32, u16, u64)>, &'static str> {
        let (start, length) = RECORDS;
        if self.is_inline() || u16_at(self.0, 0xc0) != Some(0) {
            return Err("not a single list of extents");
        }
        let used = usize::from(u16_at(self.0, 0xc4).unwrap_or(0)) * length;
        let records = self.0.get(start..start + used).ok_or("more extents than fit")?;
        Ok(records
            .chunks_exact(length)
            .filter_map(|record| Some((u32_at(record, 0)?, u16_at(record, 4)?, u64_at(record, 8)?))))
    }
}

/// Looks for `heartbeat` in the entries of a directory.
fn search(mut bytes: &[u8]) -> Result<Option<u64>, &'static str> {
    // Each entry is at least ENTRY bytes long: this ends.
    while !bytes.is_empty() {
        let length = usize::from(u16_at(bytes, 8).ok_or("an incomplete entry")?);
        if length < ENTRY || length % 4 != 0 || length > bytes.len() {
            return Err("an entry with an impossible length");
        }
        let (entry, rest) = bytes.split_at(length);
        let inode = u64_at(entry, 0).unwrap_or(0);
        let name = entry.get(ENTRY..ENTRY + usize::from(entry[10]));
        if inode != 0 && name == Some(b"heartbeat") {
            return Ok(Some(inode));
        }
        bytes = rest;
    }
    Ok(None)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}
