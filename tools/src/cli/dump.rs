//! `uo2cb dump`.

mod device;
mod ocfs2;

use std::fmt::Write as _;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueHint};
use serde_json::{Value, json};
use uo2cb::core::heartbeat::disk::{Block, Found};
use uo2cb::utc;

use super::{Fail, say};
use device::Device;
use ocfs2::{Area, AreaError, heartbeat_area};

/// Decode the slots of a region on a disk
///
/// Only reads; a node may beat meanwhile, here or elsewhere. Slots that were never written are left out. On a
/// volume of ocfs2 (or its image) the heartbeat area is found; the first line says what its region wants in
/// block_bytes, start_block and blocks, and the name by which ocfs2's own tools would call it.
#[derive(Args)]
pub(crate) struct Dump {
    /// Block device or file
    #[arg(value_hint = ValueHint::AnyPath)]
    device: PathBuf,
    /// Where the region begins, in blocks [default: ocfs2's heartbeat area, or 1 after `uo2cb format`]
    #[arg(long, value_name = "N")]
    start_block: Option<u64>,
    /// Size of a slot [default: the device's sectors; in a file by `uo2cb format` what its slots tell, else 512]
    #[arg(long, value_name = "N", value_parser = super::block_bytes)]
    block_bytes: Option<u32>,
    /// How many slots to look at [default: as many as there are, at most 255]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    blocks: Option<u32>,
    /// As one line of JSON
    #[arg(long)]
    json: bool,
}

/// Where the slots are.
struct Place {
    start_block: u64,
    block_bytes: u32,
    blocks: u32,
    /// The volume of ocfs2 that says so.
    volume: Option<Area>,
}

/// What a slot tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Written within its own time until death.
    Alive,
    /// Not written for longer than that.
    Silent,
    /// Stopped cleanly.
    Left,
    /// Its checksum is wrong.
    Bad,
}

impl State {
    fn of(found: &Found, age: i64) -> Self {
        match found.block {
            _ if !found.good => Self::Bad,
            Block { generation: 0, .. } => Self::Left,
            Block { dead_ms, .. } if age * 1000 <= i64::from(dead_ms) => Self::Alive,
            _ => Self::Silent,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Silent => "silent",
            Self::Left => "left",
            Self::Bad => "bad checksum",
        }
    }
}

impl Dump {
    pub(crate) fn run(self) -> Result<(), Fail> {
        let failed = |error| Fail::new(format!("{}: {error}", self.device.display()));
        let device = Device::open(&self.device).map_err(failed)?;
        let place = self.place(&device)?;
        let mut bytes = vec![0; place.blocks as usize * place.block_bytes as usize];
        let offset = place.start_block.checked_mul(place.block_bytes.into());
        let offset = offset.filter(|offset| i64::try_from(*offset).is_ok());
        let offset = offset.ok_or_else(|| Fail::usage("--start-block is beyond every device"))?;
        let count = device.read(offset, &mut bytes).map_err(failed)?;
        if count < place.block_bytes as usize {
            return Err(self.fail("ends before the first slot"));
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let slots = bytes[..count].chunks_exact(place.block_bytes as usize).enumerate();
        let written: Vec<_> = slots
            .filter(|(_, slot)| slot.iter().any(|byte| *byte != 0))
            .map(|(num, slot)| (num, Block::decode(slot)))
            .collect();
        say(&if self.json { json(&place, &written, now) } else { lines(&place, &written, now) });
        Ok(())
    }

    fn fail(&self, what: impl std::fmt::Display) -> Fail {
        Fail::new(format!("{}: {what}", self.device.display()))
    }

    /// What was asked for, and for the rest what the device says of itself.
    fn place(&self, device: &Device) -> Result<Place, Fail> {
        let block_bytes = self.block_bytes.unwrap_or(device.sector());
        let asked = |start_block| Place {
            start_block,
            block_bytes,
            blocks: self.blocks.unwrap_or(255),
            volume: None,
        };
        if let Some(start_block) = self.start_block {
            return Ok(asked(start_block));
        }
        match heartbeat_area(|offset, into| device.read(offset, into)) {
            Ok(area) => {
                let (start_block, blocks) = area.slots(block_bytes);
                let blocks = self.blocks.unwrap_or(blocks);
                Ok(Place { start_block, block_bytes, blocks, volume: Some(area) })
            }
            Err(AreaError::NotOcfs2) => {
                let sizes = match self.block_bytes {
                    Some(given) => given..=given,
                    None => device.sector()..=4096,
                };
                let block_bytes = self.formatted(device, sizes).map_err(|error| self.fail(error))?;
                let block_bytes = block_bytes.ok_or_else(|| {
                    self.fail("no volume of ocfs2, nor made by `uo2cb format`: where is --start-block?")
                })?;
                Ok(Place { block_bytes, ..asked(1) })
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The size of a slot, out of a range of powers of two, on what `uo2cb format` made: it begins with a block that
    /// nobody writes. The smallest, if no slot tells.
    fn formatted(&self, device: &Device, sizes: RangeInclusive<u32>) -> io::Result<Option<u32>> {
        let (smallest, largest) = (*sizes.start(), *sizes.end());
        let mut bytes = vec![0xff; largest as usize * (self.blocks.unwrap_or(255) as usize + 1)];
        let count = device.read(0, &mut bytes)?;
        bytes.truncate(count);
        let mut found = None;
        let mut size = smallest;
        while size <= largest {
            let mut blocks = bytes.chunks_exact(size as usize);
            let blank = |block: &[u8]| block.iter().all(|byte| *byte == 0);
            if !blocks.next().is_some_and(blank) {
                break;
            }
            let mut written = blocks.filter(|block| !blank(block)).peekable();
            if written.peek().is_some() && written.all(|block| Block::decode(block).good) {
                return Ok(Some(size));
            }
            found = found.or(Some(size));
            size *= 2;
        }
        Ok(found)
    }
}

fn json(place: &Place, slots: &[(usize, Found)], now: Duration) -> String {
    let slots: Vec<Value> = slots
        .iter()
        .map(|(num, found)| {
            let age = age(found, now);
            json!({
                "slot": num, "state": State::of(found, age).word(), "node": found.block.node,
                "seq": found.block.seq, "age": age, "dead_ms": found.block.dead_ms,
                "generation": format!("{:#018x}", found.block.generation),
                "cksum": format!("{:#010x}", found.cksum), "good": found.good,
            })
        })
        .collect();
    let Place { start_block, block_bytes, blocks, volume } = place;
    let ocfs2 = volume.map(
        |area| json!({"uuid": name(&area), "block_size": area.block_size, "cluster_size": area.cluster_size}),
    );
    let dump = json!({
        "start_block": start_block, "block_bytes": block_bytes, "blocks": blocks, "ocfs2": ocfs2,
        "slots": slots,
    });
    format!("{dump}\n")
}

/// What ocfs2's tools call the region of a volume.
fn name(area: &Area) -> String {
    area.uuid.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Seconds since a slot was written; negative when its writer's clock is ahead.
fn age(found: &Found, now: Duration) -> i64 {
    i64::try_from(i128::from(now.as_secs()) - i128::from(found.block.seq)).unwrap_or(i64::MAX / 1000)
}

fn lines(place: &Place, slots: &[(usize, Found)], now: Duration) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    if let Place { start_block, block_bytes, blocks, volume: Some(area) } = place {
        let _ = writeln!(
            out,
            "heartbeat area of {}: block_bytes {block_bytes}, start_block {start_block}, blocks {blocks}",
            name(area)
        );
    }
    if slots.is_empty() {
        return out + "no slot was ever written\n";
    }
    out += "slot  state         age      written                   generation          dead after\n";
    for (num, found) in slots {
        let age = age(found, now);
        let block = &found.block;
        // A time that no clock has, in a slot with a wrong checksum.
        let time = if block.seq < 1 << 36 { utc(Duration::from_secs(block.seq)) } else { "-".into() };
        let other =
            if usize::from(block.node) == *num { String::new() } else { format!(", node {}", block.node) };
        let _ = writeln!(
            out,
            "{num:<5} {:<13} {:<8} {time:<25} {:#018x}  {} s{other}",
            State::of(found, age).word(),
            format!("{age} s"),
            block.generation,
            block.dead_ms / 1000,
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slots_tell() {
        let found = |seq, generation, good| Found {
            block: Block { seq, node: 3, generation, dead_ms: 8000 },
            cksum: 0,
            good,
        };
        let now = Duration::from_secs(1000);
        for (slot, state) in [
            (found(999, 7, true), State::Alive),
            (found(1001, 7, true), State::Alive),
            (found(992, 7, true), State::Alive),
            (found(991, 7, true), State::Silent),
            (found(999, 0, true), State::Left),
            (found(u64::MAX, 7, false), State::Bad),
        ] {
            assert_eq!(State::of(&slot, age(&slot, now)), state, "{slot:?}");
        }
        let place = Place { start_block: 1, block_bytes: 512, blocks: 255, volume: None };
        let text = lines(&place, &[(3, found(999, 7, true)), (4, found(u64::MAX, 7, false))], now);
        assert!(text.contains("3     alive         1 s"), "{text}");
        assert!(text.contains(", node 3"), "{text}");
    }
}
