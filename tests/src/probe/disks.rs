//! Operations on regions that heartbeat: starting one, and looking at what differs from run to run.

use std::os::fd::AsRawFd as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io;
use uo2cb_core::heartbeat::disk::Block;

use super::args::Args;
use super::paths::{contents, done};
use super::{Answer, Failure, Probe, flags};
use crate::words::escape;

/// Between two blocks of a node that is played.
const BEAT: Duration = Duration::from_millis(500);
/// How far a slot's time may be from the clock: two beats, and some for a slow machine.
const FRESH: u64 = 10;

/// Memory for direct I/O: one slot of any size.
#[repr(align(4096))]
struct Page([u8; 4096]);

impl Probe {
    /// Executes `verb` if it is one of this module's.
    pub(super) fn disk_verb(&mut self, verb: &str, args: &mut Args<'_>) -> Option<Answer> {
        Some(match verb {
            "dev" => dev(args),
            "cat-dev" => contents(args).map(|text| self.disk_in(&text)),
            "read-dev" => self.read_dev(args),
            "cat-number" => cat_number(args),
            "dup-to" => self.dup_to(args),
            "slot" => slot(args),
            "zero-slot" => zero_slot(args),
            "beats" => beats(args),
            _ => return None,
        })
    }

    /// One read by a descriptor: the name of a device.
    fn read_dev(&self, args: &mut Args<'_>) -> Answer {
        let mut text = [0; 4096];
        let count = io::read(self.descriptor(args)?, &mut text[..])?;
        Ok(self.disk_in(&text[..count]))
    }

    /// The line that names a device, as the list writes it.
    fn disk_in(&self, text: &[u8]) -> String {
        let name = std::str::from_utf8(text).ok().and_then(|text| text.strip_suffix('\n'));
        let disk = name.and_then(|name| self.places.disk_word(name));
        disk.unwrap_or_else(|| escape(text))
    }

    /// `dup-to FD NUMBER`: a copy of a descriptor under the first free number from there on. It stays open.
    fn dup_to(&mut self, args: &mut Args<'_>) -> Answer {
        let name = args.word()?;
        let file = self.descriptors.get(name).ok_or(Failure::Unknown)?;
        let copy = io::fcntl_dupfd_cloexec(file, args.number()?)?;
        let answer = copy.as_raw_fd().to_string();
        self.descriptors.insert(format!("{name}-copy"), copy);
        Ok(answer)
    }
}

/// `dev ATTRIBUTE DEVICE FLAGS`: opens a device and writes the descriptor's number, as a shell's
/// `echo 7 7<> DEVICE > ATTRIBUTE`. How many digits that takes is chance, so the answer is without the count.
fn dev(args: &mut Args<'_>) -> Answer {
    let (attribute, device) = (args.path()?, args.path()?);
    let device = fs::openat(CWD, device, flags::open(args.word()?)?, Mode::empty())?;
    let file = fs::openat(CWD, attribute, OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC, Mode::empty())?;
    let number = format!("{}\n", device.as_raw_fd());
    match io::write(&file, number.as_bytes())? {
        count if count == number.len() => Ok(String::new()),
        count => Ok(format!("short {count}")),
    }
}

/// `cat-number PATH [LIMIT]`: `number` for one above 0 or, with a limit, for any below that; else what is there.
fn cat_number(args: &mut Args<'_>) -> Answer {
    let text = contents(args)?;
    let limit: Option<u64> = args.optional().map(str::parse).transpose().map_err(|_| Failure::Unknown)?;
    let digits = std::str::from_utf8(&text).ok().and_then(|text| text.strip_suffix('\n'));
    let number: Option<u64> = digits.and_then(|digits| digits.parse().ok());
    match number {
        Some(number) if limit.map_or(number > 0, |limit| number < limit) => Ok("number".to_owned()),
        _ => Ok(escape(&text)),
    }
}

/// `slot DISK BLOCK BYTES`: what a slot holds, past every cache.
fn slot(args: &mut Args<'_>) -> Answer {
    let device =
        fs::openat(CWD, args.path()?, OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())?;
    let (block, bytes): (u64, usize) = (args.number()?, args.number()?);
    let mut page = Page([0; 4096]);
    let slot = page.0.get_mut(..bytes).ok_or(Failure::Unknown)?;
    let count = io::pread(&device, &mut *slot, block * bytes as u64)?;
    if count != bytes {
        return Ok(format!("short {count}"));
    }
    if slot.iter().all(|byte| *byte == 0) {
        return Ok("zero".to_owned());
    }
    let found = Block::decode(slot);
    let Block { seq, node, generation, dead_ms } = found.block;
    // Pad bytes, and all after the fields.
    let rest = slot[9..12].iter().chain(&slot[28..]).all(|byte| *byte == 0);
    let say = |yes: bool, word: &'static str, no: &'static str| if yes { word } else { no };
    Ok(format!(
        "seq={} node={node} cksum={} generation={} dead_ms={dead_ms} rest={}",
        say(now().abs_diff(seq) < FRESH, "now", "other"),
        say(found.good, "good", "bad"),
        say(generation == 0, "0", "some"),
        say(rest, "0", "junk"),
    ))
}

/// `zero-slot DISK BLOCK BYTES`: as on a new disk.
fn zero_slot(args: &mut Args<'_>) -> Answer {
    let device =
        fs::openat(CWD, args.path()?, OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())?;
    let (block, bytes): (u64, usize) = (args.number()?, args.number()?);
    let page = Page([0; 4096]);
    let slot = page.0.get(..bytes).ok_or(Failure::Unknown)?;
    done(io::pwrite(&device, slot, block * bytes as u64).map(drop))
}

/// `beats DISK BLOCK BYTES NODE DEAD_MS`: another node, which writes a block with the time twice a second for ever.
fn beats(args: &mut Args<'_>) -> Answer {
    let device =
        fs::openat(CWD, args.path()?, OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())?;
    let (block, bytes): (u64, usize) = (args.number()?, args.number()?);
    let (node, dead_ms) = (args.number()?, args.number()?);
    let mut page = Page([0; 4096]);
    loop {
        let slot = page.0.get_mut(..bytes).ok_or(Failure::Unknown)?;
        Block { seq: now(), node, generation: 1, dead_ms }.encode(slot);
        io::pwrite(&device, &*slot, block * bytes as u64)?;
        std::thread::sleep(BEAT);
    }
}

/// Wall-clock seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
