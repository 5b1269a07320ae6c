//! Captures in the format of libpcap, written with nanoseconds.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

const MAGIC: u32 = 0xa1b2_3c4d;
/// That of a capture with microseconds, as most programs write it.
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const HEADER: usize = 24;
const RECORD: usize = 16;

/// A capture being written.
#[derive(Debug)]
pub(super) struct Capture(File);

impl Capture {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&MAGIC.to_le_bytes());
        header.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        header.extend_from_slice(&65536_u32.to_le_bytes());
        // Ethernet.
        header.extend_from_slice(&1_u32.to_le_bytes());
        file.write_all(&header)?;
        Ok(Self(file))
    }

    pub(super) fn write(&mut self, frame: &[u8]) {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let length = u32::try_from(frame.len()).unwrap_or(0);
        let mut record = Vec::with_capacity(RECORD + frame.len());
        for number in [u32::try_from(now.as_secs()).unwrap_or(0), now.subsec_nanos(), length, length] {
            record.extend_from_slice(&number.to_le_bytes());
        }
        record.extend_from_slice(frame);
        // In one write, since others read meanwhile. A full disk will be noticed by those who read it.
        let _ = self.0.write_all(&record);
    }
}

/// The frames of a capture so far, with the time since the epoch.
///
/// # Errors
/// It cannot be read, or is none of this kind.
pub fn read(path: &Path) -> io::Result<Vec<(Duration, Vec<u8>)>> {
    let bytes = std::fs::read(path)?;
    let unit = match bytes.first_chunk().map(|magic| u32::from_le_bytes(*magic)) {
        Some(MAGIC) => 1,
        Some(MICROSECONDS) => 1000,
        _ => return Err(io::Error::other(format!("{}: no capture", path.display()))),
    };
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    let mut frames = Vec::new();
    while let Some((record, behind)) = rest.split_first_chunk::<RECORD>() {
        let number =
            |at: usize| u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
        let Some((frame, next)) = behind.split_at_checked(number(8) as usize) else { break };
        frames.push((Duration::new(number(0).into(), number(4).saturating_mul(unit)), frame.to_vec()));
        rest = next;
    }
    Ok(frames)
}
