//! `uo2cb dump`.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueHint};
use serde_json::{Value, json};
use uo2cb::core::heartbeat::disk::{Block, Found};
use uo2cb::utc;

use super::{Fail, say};

/// Decode the slots of a region on a disk
///
/// Only reads; a node may beat meanwhile, here or elsewhere. Slots that were never written are left out.
#[derive(Args)]
pub(crate) struct Dump {
    /// Block device or file
    #[arg(value_hint = ValueHint::AnyPath)]
    device: PathBuf,
    /// Where the region begins, in blocks
    #[arg(long, value_name = "N", default_value_t = 1)]
    start_block: u64,
    /// Size of a slot
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = super::block_bytes)]
    block_bytes: u32,
    /// How many slots to look at
    #[arg(long, value_name = "N", default_value_t = 255, value_parser = clap::value_parser!(u32).range(1..=255))]
    blocks: u32,
    /// As one line of JSON
    #[arg(long)]
    json: bool,
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
        let bytes = self.read()?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let slots = bytes.chunks_exact(self.block_bytes as usize).enumerate();
        let written: Vec<_> = slots
            .filter(|(_, slot)| slot.iter().any(|byte| *byte != 0))
            .map(|(num, slot)| (num, Block::decode(slot)))
            .collect();
        say(&if self.json { self.json(&written, now) } else { lines(&written, now) });
        Ok(())
    }

    /// The region as far as the device reaches, past what this machine remembers of it where possible.
    fn read(&self) -> Result<Vec<u8>, Fail> {
        let failed = |error| Fail::new(format!("{}: {error}", self.device.display()));
        let length = self.blocks as usize * self.block_bytes as usize;
        let offset = self.start_block.checked_mul(self.block_bytes.into());
        let offset = offset.ok_or_else(|| Fail::usage("--start-block is beyond every device"))?;
        let mut bytes = vec![0; length + DIRECT];
        let at = bytes.as_ptr().align_offset(DIRECT);
        let direct = File::options().read(true).custom_flags(libc::O_DIRECT).open(&self.device);
        let read = direct.and_then(|file| fill(&file, &mut bytes[at..at + length], offset));
        let (from, count) = match read {
            Ok(count) => (at, count),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                let file = File::open(&self.device).map_err(failed)?;
                (0, fill(&file, &mut bytes[..length], offset).map_err(failed)?)
            }
            Err(error) => return Err(failed(error)),
        };
        bytes.drain(..from);
        bytes.truncate(count);
        Ok(bytes)
    }

    fn json(&self, slots: &[(usize, Found)], now: Duration) -> String {
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
        let (start_block, block_bytes, blocks) = (self.start_block, self.block_bytes, self.blocks);
        let dump =
            json!({"start_block": start_block, "block_bytes": block_bytes, "blocks": blocks, "slots": slots});
        format!("{dump}\n")
    }
}

/// Alignment of direct reads.
const DIRECT: usize = 4096;

/// Reads until the end of the device at most.
fn fill(file: &File, into: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut count = 0;
    while count < into.len() {
        match file.read_at(&mut into[count..], offset + count as u64) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // Behind the end a direct read may be refused instead of being empty.
            Err(_) if count > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Seconds since a slot was written; negative when its writer's clock is ahead.
fn age(found: &Found, now: Duration) -> i64 {
    i64::try_from(i128::from(now.as_secs()) - i128::from(found.block.seq)).unwrap_or(i64::MAX / 1000)
}

fn lines(slots: &[(usize, Found)], now: Duration) -> String {
    if slots.is_empty() {
        return "no slot was ever written\n".into();
    }
    let mut out = String::from(
        "slot  state         age      written                   generation          dead after\n",
    );
    for (num, found) in slots {
        let age = age(found, now);
        let block = &found.block;
        // A time that no clock has, in a slot with a wrong checksum.
        let time = if block.seq < 1 << 36 { utc(Duration::from_secs(block.seq)) } else { "-".into() };
        let other =
            if usize::from(block.node) == *num { String::new() } else { format!(", node {}", block.node) };
        // Writing to a String cannot fail.
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
        let text = lines(&[(3, found(999, 7, true)), (4, found(u64::MAX, 7, false))], now);
        assert!(text.contains("3     alive         1 s"), "{text}");
        assert!(text.contains(", node 3"), "{text}");
    }
}
