//! The words of an operation line: bytes written in printable ASCII.
//!
//! A word holds any bytes. Printable ASCII stands for itself, everything else, space and `%` are written `%XX`.
//! `%` alone is the empty word. `%{N*WORD}` stands for `WORD` N times, so that names of 255 bytes and writes of
//! 4096 stay readable; it is understood, never produced.

/// Writes `bytes` as one word.
pub fn escape(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "%".to_owned();
    }
    let mut word = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'%' {
            word.push(char::from(byte));
        } else {
            word.push_str(&format!("%{byte:02X}"));
        }
    }
    word
}

/// Reads one word; `None` if it is malformed.
pub fn unescape(word: &str) -> Option<Vec<u8>> {
    if word == "%" {
        return Some(Vec::new());
    }
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('%') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        if let Some(inner) = rest.strip_prefix('{') {
            let (inner, after) = inner.split_once('}')?;
            let (count, what) = inner.split_once('*')?;
            bytes.extend(unescape(what)?.repeat(count.parse().ok()?));
            rest = after;
        } else {
            bytes.push(u8::from_str_radix(rest.get(..2)?, 16).ok()?);
            rest = &rest[2..];
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&escape(&all)), Some(all));
        assert_eq!(unescape(&escape(b"")), Some(Vec::new()));
    }

    #[test]
    fn repeats_are_understood() {
        assert_eq!(unescape("a%{3*0}b%0A"), Some(b"a000b\n".to_vec()));
        assert_eq!(unescape("%{2*%0A}"), Some(b"\n\n".to_vec()));
    }

    #[test]
    fn malformed_words_are_refused() {
        for word in ["%X", "a%", "%{3*", "%{x*a}", "%G0", "%\u{e9}\u{e9}"] {
            assert_eq!(unescape(word), None, "{word}");
        }
    }
}
