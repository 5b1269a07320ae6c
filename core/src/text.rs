//! Text of attributes, in and out.

use alloc::vec::Vec;
use core::fmt::Display;

use crate::error::Refusal;
use crate::number;

/// Appends a value and a newline.
pub(crate) fn line(out: &mut Vec<u8>, value: impl Display) {
    out.extend_from_slice(alloc::format!("{value}\n").as_bytes());
}

/// A number of which any but zero is true.
pub(crate) fn boolean(data: &[u8]) -> Result<bool, Refusal> {
    Ok(number::unsigned(data)? != 0)
}

/// One trailing newline taken off.
pub(crate) fn chomp(data: &[u8]) -> &[u8] {
    data.strip_suffix(b"\n").unwrap_or(data)
}
