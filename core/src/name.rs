//! Names of directory entries: bytes, as the kernel takes them.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use crate::error::Refusal;

/// A name of a directory entry: 1 to 255 bytes, no `/`, no NUL, neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<[u8]>);

impl Name {
    /// Longest name, in bytes (`NAME_MAX`).
    pub const MAX: usize = 255;

    /// Checks and keeps a name. `.` and `..` are refused as names that exist already.
    pub fn new(bytes: &[u8]) -> Result<Self, Refusal> {
        match bytes {
            b"" => Err(Refusal::NoSuchEntry),
            b"." | b".." => Err(Refusal::NameExists),
            _ if bytes.len() > Self::MAX => Err(Refusal::NameTooLong),
            _ if bytes.iter().any(|byte| matches!(byte, 0 | b'/')) => Err(Refusal::BadName),
            _ => Ok(Self(bytes.into())),
        }
    }

    /// A placeholder for a name that is not known, or no longer.
    pub fn unknown() -> Self {
        Self(b"?"[..].into())
    }

    /// Is it the same copy? Then it is the same name, without a look at it.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl core::borrow::Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Untrusted bytes as text for one line of a log: valid UTF-8 stays; control characters, backslashes and invalid
/// sequences are escaped.
pub fn printable(bytes: &[u8]) -> String {
    let mut line = String::with_capacity(bytes.len());
    // Writing to a String cannot fail.
    let _ = write_escaped(&mut line, bytes);
    line
}

fn write_escaped(out: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '\\' {
                write!(out, "{}", c.escape_default())?;
            } else {
                out.write_char(c)?;
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn limits() {
        assert!(Name::new(&[b'a'; 255]).is_ok());
        assert_eq!(Name::new(&[b'a'; 256]).unwrap_err(), Refusal::NameTooLong);
        assert_eq!(Name::new(b"").unwrap_err(), Refusal::NoSuchEntry);
        assert_eq!(Name::new(b"..").unwrap_err(), Refusal::NameExists);
        assert_eq!(Name::new(b"a/b").unwrap_err(), Refusal::BadName);
        assert!(Name::new(b"...").is_ok());
    }

    #[test]
    fn one_line_whatever_the_bytes() {
        let name = Name::new(b"a\nb\xffc\\\xc3\xa9").unwrap();
        assert_eq!(name.to_string(), "a\\nb\\xffc\\\\\u{e9}");
    }
}
