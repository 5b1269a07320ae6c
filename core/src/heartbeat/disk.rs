//! The method `disk`: nodes prove that they live by writing a block on a shared disk.
//!
//! So far its regions have their files and their rules, up to the moment of starting; a write to `dev` that
//! the kernel would start with is refused with EOPNOTSUPP and a line in the log.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::REGION_NAME_MAX;
use super::event::NodeName;
use super::method::{Method, Surroundings, Want};
use crate::error::Refusal;
use crate::ids::{ItemId, NodeNum, NodeSet};
use crate::name::Name;
use crate::number;
use crate::text::{chomp, line};
use crate::tree::{Attribute, Kind, Stored};

static GROUP: Kind = Kind {
    name: "heartbeat group",
    makes: true,
    links: false,
    attributes: &[Attribute::read_write("dead_threshold"), Attribute::read_write("mode")],
};

static REGION: Kind = Kind {
    name: "region",
    makes: false,
    links: false,
    attributes: &[
        Attribute::read_write("block_bytes"),
        Attribute::read_write("start_block"),
        Attribute::read_write("blocks"),
        Attribute::read_write("dev"),
        Attribute::read_only("pid"),
    ],
};

/// Regions that global heartbeat can number (`O2NM_MAX_REGIONS`).
const GLOBAL_REGIONS: u32 = 32;
/// A dead threshold is above this, else it is ignored (`O2HB_MIN_DEAD_THRESHOLD`).
const DEAD_THRESHOLD_MIN: u32 = 2;

/// One region's beat for its users only, or all regions for the whole node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Local,
    Global,
}

impl Mode {
    const ALL: [Self; 2] = [Self::Local, Self::Global];

    fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Global => "global",
        }
    }
}

#[derive(Debug, Default)]
struct Region {
    block_bytes: u32,
    start_block: u64,
    blocks: u32,
    /// Its number in global mode, else 0.
    num: u32,
    global: bool,
}

/// Disk heartbeat.
#[derive(Debug)]
pub struct Disk {
    /// These two outlive clusters.
    dead_threshold: u32,
    mode: Mode,
    regions: BTreeMap<ItemId, Region>,
}

impl Default for Disk {
    fn default() -> Self {
        Self { dead_threshold: 31, mode: Mode::Local, regions: BTreeMap::new() }
    }
}

impl Disk {
    fn free_number(&self) -> Option<u32> {
        let taken = |num| self.regions.values().any(|region| region.global && region.num == num);
        (0..GLOBAL_REGIONS).find(|num| !taken(*num))
    }

    /// Values that cannot be had are ignored without a word, as by the kernel.
    fn store_group(&mut self, at: Surroundings<'_>, attribute: usize, data: &[u8]) -> Result<(), Refusal> {
        let free = self.regions.is_empty();
        if attribute == 0 {
            // The kernel keeps the lower 32 bits.
            let threshold = number::decimal(data)? as u32;
            if threshold > DEAD_THRESHOLD_MIN && free {
                self.dead_threshold = threshold;
            }
            return Ok(());
        }
        let mode = parse_mode(data)?;
        if free {
            self.mode = mode;
            at.wants.push(Want::ModeSet(mode.word()));
        }
        Ok(())
    }

    fn store_dev(&self, at: Surroundings<'_>, id: ItemId, data: &[u8]) -> Result<Stored, Refusal> {
        let region = self.regions.get(&id).ok_or(Refusal::Gone)?;
        if at.nodes.cluster().and_then(|cluster| cluster.local()).is_none() {
            return Err(Refusal::NoLocalNode);
        }
        let descriptor = number::unsigned(data)?;
        let descriptor = i32::try_from(descriptor).map_err(|_| Refusal::BadDescriptor)?;
        if region.blocks == 0 || region.start_block == 0 || region.block_bytes == 0 {
            return Err(Refusal::RegionIncomplete);
        }
        at.wants.push(Want::OpenDevice { request: at.request, region: id, descriptor });
        Ok(Stored::Later)
    }
}

impl Method for Disk {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn group(&self) -> &'static Kind {
        &GROUP
    }

    fn region(&self) -> &'static Kind {
        &REGION
    }

    fn make_region(&mut self, _: Surroundings<'_>, region: ItemId, name: &Name) -> Result<(), Refusal> {
        if name.as_bytes().len() > REGION_NAME_MAX {
            return Err(Refusal::RegionNameTooLong);
        }
        let global = self.mode == Mode::Global;
        let num = if global { self.free_number().ok_or(Refusal::TooManyRegions)? } else { 0 };
        self.regions.insert(region, Region { num, global, ..Region::default() });
        Ok(())
    }

    fn drop_region(&mut self, _: Surroundings<'_>, region: ItemId) {
        self.regions.remove(&region);
    }

    fn show(&self, region: Option<ItemId>, attribute: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let Some(region) = region else {
            match attribute {
                0 => line(out, self.dead_threshold),
                _ => line(out, self.mode.word()),
            }
            return Ok(());
        };
        let region = self.regions.get(&region).ok_or(Refusal::Gone)?;
        match attribute {
            0 => line(out, region.block_bytes),
            1 => line(out, region.start_block),
            2 => line(out, region.blocks),
            // dev and pid are empty until the region has been started.
            _ => {}
        }
        Ok(())
    }

    fn store(
        &mut self,
        at: Surroundings<'_>,
        region: Option<ItemId>,
        attribute: usize,
        data: &[u8],
    ) -> Result<Stored, Refusal> {
        let Some(id) = region else { return self.store_group(at, attribute, data).map(|()| Stored::Done) };
        if attribute == 3 {
            return self.store_dev(at, id, data);
        }
        let region = self.regions.get_mut(&id).ok_or(Refusal::Gone)?;
        match attribute {
            0 => region.block_bytes = block_bytes(data)?,
            1 => region.start_block = number::strict(data)?,
            2 => region.blocks = blocks(data)?,
            _ => return Err(Refusal::ReadOnly),
        }
        Ok(Stored::Done)
    }

    fn allow_link(
        &mut self,
        _: Surroundings<'_>,
        _: ItemId,
        _: &Name,
        _: Option<NodeNum>,
    ) -> Result<(), Refusal> {
        Err(Refusal::NoLinksHere)
    }

    fn drop_link(&mut self, _: Surroundings<'_>, _: ItemId, _: NodeName) {}

    fn fill_node_map(&self, _: Option<ItemId>) -> NodeSet {
        NodeSet::EMPTY
    }

    fn up_since(&self, _: ItemId, _: NodeNum) -> Option<Duration> {
        None
    }

    fn region_num(&self, region: ItemId) -> u32 {
        self.regions.get(&region).map_or(0, |region| region.num)
    }
}

fn block_bytes(data: &[u8]) -> Result<u32, Refusal> {
    let bytes = number::unsigned(data)?;
    let bytes = u32::try_from(bytes).ok().filter(|bytes| (512..=4096).contains(bytes));
    let bytes = bytes.ok_or(Refusal::BlockBytesRange)?;
    if bytes.is_power_of_two() { Ok(bytes) } else { Err(Refusal::NotAPowerOfTwo) }
}

fn blocks(data: &[u8]) -> Result<u32, Refusal> {
    let blocks = number::unsigned(data)?;
    u32::try_from(blocks).ok().filter(|blocks| (1..=255).contains(blocks)).ok_or(Refusal::BlocksRange)
}

/// Any letter case, and any beginning of the word that has at least one letter. A NUL ends the word.
fn parse_mode(data: &[u8]) -> Result<Mode, Refusal> {
    let given = chomp(data);
    let starts = |mode: &Mode| {
        let word = mode.word().as_bytes();
        match given.iter().position(|byte| *byte == 0) {
            Some(end) => given[..end].eq_ignore_ascii_case(word),
            None => word.get(..given.len()).is_some_and(|head| head.eq_ignore_ascii_case(given)),
        }
    };
    if given.is_empty() {
        return Err(Refusal::BadDiskMode);
    }
    Mode::ALL.into_iter().find(starts).ok_or(Refusal::BadDiskMode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_takes_any_beginning_in_any_case() {
        for (text, mode) in [
            (&b"g"[..], Mode::Global),
            (b"l\n", Mode::Local),
            (b"glo\n", Mode::Global),
            (b"GLOBAL", Mode::Global),
            (b"Local\n", Mode::Local),
            (b"local\0x", Mode::Local),
        ] {
            assert_eq!(parse_mode(text), Ok(mode), "{text:?}");
        }
        for text in [&b"\n"[..], b"", b"globalx", b"global ", b"global\n\n", b"0", b"\0", b"loc\0"] {
            assert_eq!(parse_mode(text), Err(Refusal::BadDiskMode), "{text:?}");
        }
    }

    #[test]
    fn block_sizes_at_the_borders() {
        assert_eq!(block_bytes(b"512\n"), Ok(512));
        assert_eq!(block_bytes(b"4096"), Ok(4096));
        assert_eq!(block_bytes(b"511"), Err(Refusal::BlockBytesRange));
        assert_eq!(block_bytes(b"4097"), Err(Refusal::BlockBytesRange));
        assert_eq!(block_bytes(b"768"), Err(Refusal::NotAPowerOfTwo));
        assert_eq!(blocks(b"255"), Ok(255));
        assert_eq!(blocks(b"256"), Err(Refusal::BlocksRange));
        assert_eq!(blocks(b"\n"), Err(Refusal::BlocksRange));
    }
}
