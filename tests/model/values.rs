//! Texts to write, and what they mean: written down a second time, on purpose.

use uo2cb_core::Errno;

/// Texts at the limits of some attribute, and some that no attribute takes.
pub(crate) const TEXTS: &[&[u8]] = &[
    b"0\n",
    b"1\n",
    b"2\n",
    b"3",
    b"7\n",
    b"31\n",
    b"32\n",
    b"254\n",
    b"255\n",
    b"256\n",
    b"511\n",
    b"512\n",
    b"768\n",
    b"4096\n",
    b"4097\n",
    b"8192\n",
    b"7777\n",
    b"65534\n",
    b"65535\n",
    b"30000\n",
    b"2000\n",
    b"1999",
    b"2001",
    b"29999\n",
    b"0x200\n",
    b"01000\n",
    b"010",
    b"08",
    b"-1",
    b"+7\n",
    b" 1",
    b"1 ",
    b"",
    b"\n",
    b"2147483647",
    b"2147483648",
    b"4294967294\n",
    b"4294967295\n",
    b"4294967296\n",
    b"4294967300\n",
    b"18446744073709551615\n",
    b"18446744073709551616\n",
    b"18446744073709551617\n",
    b"512\0garbage",
    b"7\n\n",
    b"0x",
    b"reset\n",
    b"PANIC\n",
    b"reset",
    b"panic\n\n",
    b"local\n",
    b"GLOBAL",
    b"g",
    b"globalx",
    b"user\n",
    b"user",
    b"use\n",
    b"disk\n",
    b"user\n\n",
    b"10.0.0.1\n",
    b"10.0.0.2",
    b"10.0.0.3rest",
    b"010. 0.0.004",
    b"10.0.0.256",
    b"10.0.0",
    b"0.0.0.0\n",
    &[b'0'; 5000],
    b"pan\n",
];

fn digits(text: &[u8], radix: u32) -> Option<u128> {
    text.iter().try_fold(0u128, |value, byte| {
        let digit = char::from(*byte).to_digit(radix)?;
        // No text here is so long that leading digits matter beyond 2^64.
        Some((value * u128::from(radix) + u128::from(digit)) % (1 << 64))
    })
}

fn first_line(text: &[u8]) -> &[u8] {
    text.split(|byte| matches!(byte, 0 | b'\n')).next().unwrap_or_default()
}

fn radix(text: &[u8]) -> (u32, &[u8]) {
    match text {
        [b'0', b'x', rest @ ..] if !rest.is_empty() => (16, rest),
        [b'0', ..] => (8, text),
        _ => (10, text),
    }
}

/// The number syntax of most attributes.
pub(crate) fn number(text: &[u8]) -> Result<u64, Errno> {
    let (radix, text) = radix(first_line(text));
    digits(text, radix).map(|value| value as u64).ok_or(Errno::EINVAL)
}

/// The same without prefixes.
pub(crate) fn decimal(text: &[u8]) -> Result<u64, Errno> {
    digits(first_line(text), 10).map(|value| value as u64).ok_or(Errno::EINVAL)
}

/// That of `start_block`.
pub(crate) fn strict(text: &[u8]) -> Result<u64, Errno> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = std::str::from_utf8(text.strip_prefix(b"+").unwrap_or(text)).map_err(|_| Errno::EINVAL)?;
    let (radix, text) = radix(text.as_bytes());
    let text = std::str::from_utf8(text).unwrap_or_default();
    if text.starts_with('+') {
        return Err(Errno::EINVAL);
    }
    u64::from_str_radix(text, radix).map_err(|_| Errno::EINVAL)
}

/// `%3u.%3u.%3u.%3u`
pub(crate) fn address(text: &[u8]) -> Result<String, Errno> {
    let text = String::from_utf8_lossy(text);
    let mut octets = Vec::new();
    for part in text.splitn(4, '.') {
        let part = part.trim_start();
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len()).min(3);
        // Only behind the last one may anything follow.
        if end == 0 || (octets.len() < 3 && end < part.len()) {
            return Err(Errno::EINVAL);
        }
        octets.push(part[..end].parse::<u32>().map_err(|_| Errno::EINVAL)?);
    }
    match octets[..] {
        [_, _, _, _] if octets.iter().any(|octet| *octet > 255) => Err(Errno::ERANGE),
        [a, b, c, d] => Ok(format!("{a}.{b}.{c}.{d}")),
        _ => Err(Errno::EINVAL),
    }
}
