//! The words after a verb, taken one by one as what the verb wants.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::str::Split;

use super::{Failure, Places};
use crate::words::unescape;

/// The remaining words of a line.
pub(super) struct Args<'a> {
    words: Split<'a, char>,
    places: &'a Places,
}

impl<'a> Args<'a> {
    pub(super) fn new(words: Split<'a, char>, places: &'a Places) -> Self {
        Self { words, places }
    }

    /// The next word as it stands.
    pub(super) fn word(&mut self) -> Result<&'a str, Failure> {
        self.words.next().ok_or(Failure::Unknown)
    }

    pub(super) fn optional(&mut self) -> Option<&'a str> {
        self.words.next()
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, Failure> {
        unescape(self.word()?).ok_or(Failure::Unknown)
    }

    /// A path: `@`, `^`, `~` and `+` at its start name one of the places.
    pub(super) fn path(&mut self) -> Result<OsString, Failure> {
        let word = self.word()?;
        let (base, rest) = match word.as_bytes().first() {
            Some(b'@') => (Some(&self.places.root), &word[1..]),
            Some(b'^') => (Some(&self.places.scratch), &word[1..]),
            Some(b'~') => (Some(&self.places.debugfs), &word[1..]),
            Some(b'+') => return self.places.disk(word).map(Into::into).ok_or(Failure::Unknown),
            _ => (None, word),
        };
        let mut path = base.map_or_else(Vec::new, |base| base.as_os_str().as_bytes().to_vec());
        if base.is_none() || !rest.is_empty() {
            path.extend(unescape(rest).ok_or(Failure::Unknown)?);
        }
        Ok(OsString::from_vec(path))
    }

    pub(super) fn number<T: std::str::FromStr>(&mut self) -> Result<T, Failure> {
        self.word()?.parse().map_err(|_| Failure::Unknown)
    }

    /// Permission bits in octal; `default` if there is no such word.
    pub(super) fn mode(&mut self, default: u32) -> Result<u32, Failure> {
        match self.optional() {
            None => Ok(default),
            Some(word) => u32::from_str_radix(word, 8).map_err(|_| Failure::Unknown),
        }
    }

    /// Every word that is left, unescaped.
    pub(super) fn rest(&mut self) -> Result<Vec<Vec<u8>>, Failure> {
        self.words.by_ref().map(|word| unescape(word).ok_or(Failure::Unknown)).collect()
    }
}
