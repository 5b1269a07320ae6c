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

/// Times as [`utc`] writes them. Most of those of a status are within the same minute.
#[derive(Debug, Default)]
pub(super) struct Times {
    minute: Option<u64>,
    text: String,
}

impl Times {
    /// With quotes.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, unix: Duration) {
        let minute = unix.as_secs() / 60;
        if self.minute != Some(minute) {
            self.minute = Some(minute);
            self.text = utc(Duration::from_secs(minute * 60));
        }
        // All but `00.000Z`.
        let head = self.text.len().saturating_sub(7);
        let (seconds, millis) = (unix.as_secs() % 60, unix.subsec_millis());
        let digit = |value: u64| b'0' + (value % 10) as u8;
        let millis = u64::from(millis);
        out.push(b'"');
        out.extend_from_slice(self.text.as_bytes().get(..head).unwrap_or_default());
        out.extend_from_slice(&[
            digit(seconds / 10),
            digit(seconds),
            b'.',
            digit(millis / 100),
            digit(millis / 10),
            digit(millis),
            b'Z',
            b'"',
        ]);
    }
}
