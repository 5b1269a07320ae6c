//! IPv4 addresses as the kernel reads them.

use core::fmt;

use crate::error::Refusal;

/// An IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address(pub [u8; 4]);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a}.{b}.{c}.{d}")
    }
}

/// `sscanf("%3u.%3u.%3u.%3u")`: each octet is up to three digits, white space may stand before it, whatever
/// follows the fourth is ignored.
pub fn parse_address(text: &[u8]) -> Result<Address, Refusal> {
    let mut rest = text;
    let mut octets = [0u16; 4];
    for (place, octet) in octets.iter_mut().enumerate() {
        if place > 0 {
            rest = rest.strip_prefix(b".").ok_or(Refusal::BadAddress)?;
        }
        let spaces = rest.iter().take_while(|byte| is_space(**byte)).count();
        rest = &rest[spaces..];
        let digits = rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Err(Refusal::BadAddress);
        }
        *octet = rest[..digits].iter().fold(0, |value, byte| value * 10 + u16::from(byte - b'0'));
        rest = &rest[digits..];
    }
    let mut address = [0u8; 4];
    for (to, octet) in address.iter_mut().zip(octets) {
        *to = u8::try_from(octet).map_err(|_| Refusal::OctetRange)?;
    }
    Ok(Address(address))
}

/// The kernel's `isspace`, which counts Latin-1's no-break space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted() {
        for (text, octets) in [
            (&b"127.0.0.1\n"[..], [127, 0, 0, 1]),
            (b"127.0.0.1garbage", [127, 0, 0, 1]),
            (b"1.2.3.4.5", [1, 2, 3, 4]),
            (b"010.009.008.007", [10, 9, 8, 7]),
            (b" 1. 2.\t3.\n4", [1, 2, 3, 4]),
            (b"1.2.3.2550", [1, 2, 3, 255]),
            (b"\xa01.2.3.4", [1, 2, 3, 4]),
        ] {
            assert_eq!(parse_address(text), Ok(Address(octets)), "{text:?}");
        }
    }

    #[test]
    fn refused() {
        for text in
            [&b""[..], b"\n", b"1.2.3", b"1.2.3.", b"1 .2.3.4", b"1000.1.1.1", b"-1.2.3.4", b"0x1.2.3.4"]
        {
            assert_eq!(parse_address(text), Err(Refusal::BadAddress), "{text:?}");
        }
        for text in [&b"256.1.1.1"[..], b"10.9.8.7777", b"1.2.3.999"] {
            assert_eq!(parse_address(text), Err(Refusal::OctetRange), "{text:?}");
        }
    }
}
