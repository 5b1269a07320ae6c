//! Formatting and parsing of attributes' texts.

use alloc::vec::Vec;
use core::fmt::Display;

use crate::error::Refusal;
use crate::number;

/// Appends a value and a newline.
pub(crate) fn line(out: &mut Vec<u8>, value: impl Display) {
    out.extend_from_slice(alloc::format!("{value}\n").as_bytes());
}

/// Parses a number; any but 0 is true.
pub(crate) fn boolean(data: &[u8]) -> Result<bool, Refusal> {
    Ok(number::unsigned(data)? != 0)
}

/// The text without one trailing newline.
pub(crate) fn chomp(data: &[u8]) -> &[u8] {
    data.strip_suffix(b"\n").unwrap_or(data)
}
