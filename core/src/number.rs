//! Numbers as the kernel reads them from text.

use crate::error::Refusal;

/// Number syntax of most attributes: `simple_strtoul` with base 0, then the end of the text, a NUL or a
/// newline (whatever follows that is ignored). No sign, no space. No digits at all are 0. Overflow wraps.
pub(crate) fn unsigned(text: &[u8]) -> Result<u64, Refusal> {
    let (base, digits) = base_of(text);
    wrapping(digits, base).ok_or(Refusal::NotANumber)
}

/// The same with base 10 only (`dead_threshold`).
pub(crate) fn decimal(text: &[u8]) -> Result<u64, Refusal> {
    wrapping(text, 10).ok_or(Refusal::NotDecimal)
}

/// Strict syntax (`kstrtoull` with base 0; `start_block`): a `+` may stand before it, at least one digit,
/// one newline may end it, overflow is refused.
pub(crate) fn strict(text: &[u8]) -> Result<u64, Refusal> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let (base, digits) = base_of(text);
    if digits.is_empty() {
        return Err(Refusal::NotStrictNumber);
    }
    digits
        .iter()
        .try_fold(0u64, |value, byte| value.checked_mul(base)?.checked_add(digit(*byte, base)?))
        .ok_or(Refusal::NotStrictNumber)
}

fn base_of(text: &[u8]) -> (u64, &[u8]) {
    match text {
        // `0x` counts only before a hexadecimal digit; otherwise the number is octal and ends at the `x`.
        [b'0', b'x' | b'X', next, ..] if digit(*next, 16).is_some() => (16, &text[2..]),
        [b'0', ..] => (8, text),
        _ => (10, text),
    }
}

fn wrapping(text: &[u8], base: u64) -> Option<u64> {
    let mut value = 0u64;
    for byte in text {
        match digit(*byte, base) {
            Some(digit) => value = value.wrapping_mul(base).wrapping_add(digit),
            None if matches!(byte, 0 | b'\n') => break,
            None => return None,
        }
    }
    Some(value)
}

fn digit(byte: u8, base: u64) -> Option<u64> {
    let value = char::from(byte).to_digit(16)?;
    (u64::from(value) < base).then_some(u64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_follows_the_kernel() {
        for (text, value) in [
            (&b"30000\n"[..], 30000),
            (b"30000", 30000),
            (b"0x10\n", 16),
            (b"0X1f", 31),
            (b"010", 8),
            (b"0", 0),
            (b"\n", 0),
            (b"", 0),
            (b"30005\0garbage", 30005),
            (b"30007\ngarbage", 30007),
            (b"30000\n\n", 30000),
            (b"18446744073709581616", 30000),
            (b"18446744073709551617", 1),
        ] {
            assert_eq!(unsigned(text), Ok(value), "{text:?}");
        }
        for text in [&b"-1"[..], b"+1", b" 1", b"1 ", b"1\r\n", b"12x", b"08", b"0x", b"0xg", b"x"] {
            assert_eq!(unsigned(text), Err(Refusal::NotANumber), "{text:?}");
        }
    }

    #[test]
    fn decimal_knows_no_prefix() {
        assert_eq!(decimal(b"010"), Ok(10));
        assert_eq!(decimal(b"0x10"), Err(Refusal::NotDecimal));
        assert_eq!(decimal(b"\n"), Ok(0));
    }

    #[test]
    fn strict_follows_the_kernel() {
        assert_eq!(strict(b"+7\n"), Ok(7));
        assert_eq!(strict(b"9\0z"), Ok(9));
        assert_eq!(strict(b"18446744073709551615"), Ok(u64::MAX));
        for text in [&b"7\n\n"[..], b"", b"\n", b"+", b"-1", b"18446744073709551616", b"7 ", b"++7"] {
            assert_eq!(strict(text), Err(Refusal::NotStrictNumber), "{text:?}");
        }
    }
}
