//! `uo2cb dump`.

mod device;
mod ocfs2;
mod slots;

use std::fmt::Write as _;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, ValueHint};
use serde_json::{Value, json};
use uo2cb::core::heartbeat::disk::{Block, Found, PERIOD, SEQ_LIMIT};
use uo2cb::utc;

use super::{Fail, say};
use device::Device;
use ocfs2::{Area, AreaError, heartbeat_area};
use slots::{Look, Row, State};

/// Decode the slots of a region on a disk
///
/// Only reads; a node may beat meanwhile, here or elsewhere. Slots that were never written are left out. It looks
/// twice, 2.5 seconds apart: alive is who has written in between, whatever the clocks of the nodes say; how far such a
/// node's clock is off from this machine's is shown beside it. On a volume of ocfs2 (or its image) the heartbeat area is found; the first line says what its region wants in
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
    /// Look only once, without waiting: that does not tell who is alive from who is silent
    #[arg(long, visible_alias = "no-wait")]
    once: bool,
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

/// From one look to the next: a bit more than a period between two beats, as a busy node is late.
const APART: Duration = PERIOD.saturating_add(Duration::from_millis(500));

impl Dump {
    pub(crate) fn run(self) -> Result<(), Fail> {
        let device = Device::open(&self.device).map_err(|error| self.fail(error))?;
        let place = self.place(&device)?;
        let (start, clock) = (Instant::now(), SystemTime::now());
        // A clock that is set meanwhile would spoil the comparison.
        let now = || clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + start.elapsed();
        let mut last = self.look(&device, &place, now())?;
        let mut first = None;
        // Nobody can be alive where all have left.
        let may_live = |(_, found): &(usize, Found)| found.good && found.block.generation != 0;
        if !self.once && last.slots.iter().any(may_live) {
            std::thread::sleep(APART);
            let again = self.look(&device, &place, now())?;
            first = Some(std::mem::replace(&mut last, again));
        }
        let rows = Row::all(first.as_ref(), &last);
        let looks = if first.is_some() { 2 } else { 1 };
        say(&if self.json { json(&place, &rows, looks) } else { lines(&place, &rows, looks) });
        Ok(())
    }

    fn look(&self, device: &Device, place: &Place, at: Duration) -> Result<Look, Fail> {
        let mut bytes = vec![0; place.blocks as usize * place.block_bytes as usize];
        let offset = place.start_block.checked_mul(place.block_bytes.into());
        let offset = offset.filter(|offset| i64::try_from(*offset).is_ok());
        let offset = offset.ok_or_else(|| Fail::usage("--start-block is beyond every device"))?;
        let count = device.read(offset, &mut bytes).map_err(|error| self.fail(error))?;
        if count < place.block_bytes as usize {
            return Err(self.fail("ends before the first slot"));
        }
        let slots = bytes[..count].chunks_exact(place.block_bytes as usize).enumerate();
        let written = slots.filter(|(_, slot)| slot.iter().any(|byte| *byte != 0));
        Ok(Look { at, slots: written.map(|(num, slot)| (num, Block::decode(slot))).collect() })
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

fn json(place: &Place, rows: &[Row], looks: u32) -> String {
    let slots: Vec<Value> = rows
        .iter()
        .map(|Row { num, found, state, clock, age }| {
            json!({
                "slot": num, "state": state.word(), "clock": clock, "node": found.block.node,
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
        "looks": looks, "apart_ms": if looks > 1 { APART.as_millis() as u64 } else { 0 }, "slots": slots,
    });
    format!("{dump}\n")
}

/// What ocfs2's tools call the region of a volume.
fn name(area: &Area) -> String {
    area.uuid.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// How a clock differs from ours, in words.
fn clock_words(clock: Option<i64>) -> String {
    match clock {
        None => "-".into(),
        Some(0) => "right".into(),
        Some(off) if off > 0 => format!("{off} s ahead"),
        Some(off) => format!("{} s behind", off.unsigned_abs()),
    }
}

fn lines(place: &Place, rows: &[Row], looks: u32) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    if let Place { start_block, block_bytes, blocks, volume: Some(area) } = place {
        let _ = writeln!(
            out,
            "heartbeat area of {}: block_bytes {block_bytes}, start_block {start_block}, blocks {blocks}",
            name(area)
        );
    }
    if rows.is_empty() {
        return out + "no slot was ever written\n";
    }
    let apart = APART.as_secs_f64();
    if looks > 1 {
        let _ = writeln!(out, "looked twice, {apart} s apart: alive is who has written in between");
    } else if rows.iter().any(|row| row.state == State::Written) {
        let _ = writeln!(out, "looked once: who has written may be alive or silent");
    }
    out += "slot  state         clock            written, by that clock    generation          dead after\n";
    for Row { num, found, state, clock, .. } in rows {
        let block = &found.block;
        // A time that no clock has, as in a slot with a wrong checksum.
        let time = if block.seq < SEQ_LIMIT { utc(Duration::from_secs(block.seq)) } else { "-".into() };
        let other =
            if usize::from(block.node) == *num { String::new() } else { format!(", node {}", block.node) };
        let _ = writeln!(
            out,
            "{num:<5} {:<13} {:<16} {time:<25} {:#018x}  {} s{other}",
            state.word(),
            clock_words(*clock),
            block.generation,
            block.dead_ms / 1000,
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { start_block: 1, block_bytes: 512, blocks: 255, volume: None };

    fn look(secs: f64, seq: u64, good: bool) -> Look {
        let block = Block { seq, node: 3, generation: 7, dead_ms: 8000 };
        Look { at: Duration::from_secs_f64(secs), slots: vec![(3, Found { block, cksum: 0, good })] }
    }

    #[test]
    fn what_is_printed_says_how_it_was_found() {
        let (first, last) = (look(1000.0, 4_600, true), look(1002.5, 4_602, true));
        let text = lines(&PLACE, &Row::all(Some(&first), &last), 2);
        assert!(text.starts_with("looked twice, 2.5 s apart: alive is"), "{text}");
        assert!(text.contains("3     alive         3601 s ahead "), "{text}");
        let told: Value = serde_json::from_str(&json(&PLACE, &Row::all(Some(&first), &last), 2)).unwrap();
        assert_eq!((told["looks"].as_u64(), told["apart_ms"].as_u64()), (Some(2), Some(2500)));
        assert_eq!(told["slots"][0]["clock"], 3601);

        let mut other = look(1000.0, u64::MAX, false);
        other.slots.push((4, look(0.0, 1, true).slots[0].1));
        let text = lines(&PLACE, &Row::all(None, &other), 1);
        assert!(text.starts_with("looked once: who has written may be alive or silent"), "{text}");
        assert!(text.contains("4     written       -   ") && text.contains(", node 3"), "{text}");
        let told: Value = serde_json::from_str(&json(&PLACE, &Row::all(None, &other), 1)).unwrap();
        assert_eq!((told["looks"].as_u64(), &told["slots"][1]["clock"]), (Some(1), &Value::Null));
    }
}
