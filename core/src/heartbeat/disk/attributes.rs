//! The files of `heartbeat/` and of its regions: their kinds and the syntax of their values.

use crate::error::Refusal;
use crate::number;
use crate::text::chomp;
use crate::tree::{Attribute, Kind, files};

files! {
    /// Files of `heartbeat/`.
    pub(super) enum GroupFile {
        DeadThreshold = Attribute::read_write("dead_threshold"),
        Mode = Attribute::read_write("mode"),
    }
}

files! {
    /// Files of a region.
    pub(super) enum RegionFile {
        BlockBytes = Attribute::read_write("block_bytes"),
        StartBlock = Attribute::read_write("start_block"),
        Blocks = Attribute::read_write("blocks"),
        Dev = Attribute::waiting("dev"),
        Pid = Attribute::read_only("pid"),
    }
}

pub(super) static GROUP: Kind =
    Kind { name: "heartbeat group", makes: true, links: false, attributes: GroupFile::ATTRIBUTES };

pub(super) static REGION: Kind =
    Kind { name: "region", makes: false, links: false, attributes: RegionFile::ATTRIBUTES };

/// One region's beat for its users only, or all regions for the whole node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Local,
    Global,
}

impl Mode {
    const ALL: [Self; 2] = [Self::Local, Self::Global];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Global => "global",
        }
    }

    /// Any letter case, and any beginning of the word that has at least one letter. A NUL ends the word.
    pub(super) fn parse(data: &[u8]) -> Result<Self, Refusal> {
        let given = chomp(data);
        let starts = |mode: &Self| {
            let word = mode.word().as_bytes();
            match given.iter().position(|byte| *byte == 0) {
                Some(end) => given[..end].eq_ignore_ascii_case(word),
                None => word.get(..given.len()).is_some_and(|head| head.eq_ignore_ascii_case(given)),
            }
        };
        if given.is_empty() {
            return Err(Refusal::BadDiskMode);
        }
        Self::ALL.into_iter().find(starts).ok_or(Refusal::BadDiskMode)
    }
}

pub(super) fn block_bytes(data: &[u8]) -> Result<u32, Refusal> {
    let bytes = number::unsigned(data)?;
    let bytes = u32::try_from(bytes).ok().filter(|bytes| (512..=4096).contains(bytes));
    let bytes = bytes.ok_or(Refusal::BlockBytesRange)?;
    if bytes.is_power_of_two() { Ok(bytes) } else { Err(Refusal::NotAPowerOfTwo) }
}

pub(super) fn blocks(data: &[u8]) -> Result<u32, Refusal> {
    let blocks = number::unsigned(data)?;
    u32::try_from(blocks).ok().filter(|blocks| (1..=255).contains(blocks)).ok_or(Refusal::BlocksRange)
}

pub(super) fn descriptor(data: &[u8]) -> Result<i32, Refusal> {
    i32::try_from(number::unsigned(data)?).map_err(|_| Refusal::BadDescriptor)
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
            assert_eq!(Mode::parse(text), Ok(mode), "{text:?}");
        }
        for text in [&b"\n"[..], b"", b"globalx", b"global ", b"global\n\n", b"0", b"\0", b"loc\0"] {
            assert_eq!(Mode::parse(text), Err(Refusal::BadDiskMode), "{text:?}");
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
