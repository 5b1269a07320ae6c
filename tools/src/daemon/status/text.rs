//! Parts of JSON, written straight into the line: with 255,000 nodes in regions every one of them counts.

use std::io::Write;
use std::time::Duration;

use super::super::clock::utc;

/// A string with what JSON wants escaped.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    // Writing to a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// A number, or null.
pub(super) fn number(out: &mut Vec<u8>, value: Option<impl Into<u64>>) {
    let _ = match value {
        Some(value) => write!(out, "{}", value.into()),
        None => out.write_all(b"null"),
    };
}

/// Times as [`utc`] writes them. Most of those of a status are the same, or within the same minute.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// The millisecond of the text, and its minute.
    known: Option<(u64, u64)>,
    /// With quotes.
    text: Vec<u8>,
}

impl Times {
    /// With quotes.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, unix: Duration) {
        let ms = unix.as_secs() * 1000 + u64::from(unix.subsec_millis());
        if self.known.is_none_or(|(known, _)| known != ms) {
            self.set(unix.as_secs() / 60, ms);
        }
        out.extend_from_slice(&self.text);
    }

    fn set(&mut self, minute: u64, ms: u64) {
        if self.known.is_none_or(|(_, known)| known != minute) {
            self.text = format!("\"{}\"", utc(Duration::from_secs(minute * 60))).into_bytes();
        }
        self.known = Some((ms, minute));
        let digit = |place: u64| b'0' + (ms % 60_000 / place % 10) as u8;
        let digits = [digit(10_000), digit(1000), b'.', digit(100), digit(10), digit(1)];
        // Before the letter and the quote at the end.
        let place = self.text.len().saturating_sub(2 + digits.len());
        if let Some(old) = self.text.get_mut(place..place + digits.len()) {
            old.copy_from_slice(&digits);
        }
    }
}
