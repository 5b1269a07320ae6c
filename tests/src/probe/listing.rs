//! Reading directories: at once, step by step, and as the system call gives them.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self, CWD, Mode, OFlags, RawDir, SeekFrom};
use rustix::io;

use super::args::Args;
use super::{Answer, Failure, Probe, flags};
use crate::words::escape;

/// What the C library's readdir asks for at a time.
const LIBRARY_BUFFER: usize = 32_768;

/// A directory being read in steps, as with opendir(3): entries that one call brought wait in `fetched`.
pub(super) struct Stream {
    directory: OwnedFd,
    fetched: VecDeque<String>,
}

impl Probe {
    /// Executes `verb` if it is one of this module's.
    pub(super) fn listing_verb(&mut self, verb: &str, args: &mut Args<'_>) -> Option<Answer> {
        Some(match verb {
            "readdir" => readdir(args).map(|entries| entries.join(" ")),
            "readdir-only" => readdir_only(args),
            "opendir" => self.opendir(args),
            "readsome" => self.readsome(args),
            "rewind" => self.rewind(args),
            "closedir" => self.closedir(args),
            "getdents" => self.getdents(args),
            _ => return None,
        })
    }

    fn opendir(&mut self, args: &mut Args<'_>) -> Answer {
        let name = args.word()?.to_owned();
        let directory = open(args)?;
        self.streams.insert(name, Stream { directory, fetched: VecDeque::new() });
        Ok(String::new())
    }

    fn readsome(&mut self, args: &mut Args<'_>) -> Answer {
        let stream = self.streams.get_mut(args.word()?).ok_or(Failure::Unknown)?;
        let mut entries = Vec::new();
        for _ in 0..args.number::<usize>()? {
            if stream.fetched.is_empty() {
                stream.fetched.extend(fetch(&stream.directory, LIBRARY_BUFFER)?);
            }
            entries.extend(stream.fetched.pop_front());
        }
        Ok(entries.join(" "))
    }

    fn rewind(&mut self, args: &mut Args<'_>) -> Answer {
        let stream = self.streams.get_mut(args.word()?).ok_or(Failure::Unknown)?;
        stream.fetched.clear();
        fs::seek(&stream.directory, SeekFrom::Start(0))?;
        Ok(String::new())
    }

    fn closedir(&mut self, args: &mut Args<'_>) -> Answer {
        self.streams.remove(args.word()?).map(|_| String::new()).ok_or(Failure::Unknown)
    }

    /// One getdents64(2) with a buffer of the given size.
    fn getdents(&mut self, args: &mut Args<'_>) -> Answer {
        let directory = self.descriptor(args)?;
        Ok(fetch(directory, args.number()?)?.join(" "))
    }
}

fn open(args: &mut Args<'_>) -> Result<OwnedFd, Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(fs::openat(CWD, args.path()?, flags, Mode::empty())?)
}

/// Every entry in order, each with the letter of its kind.
fn readdir(args: &mut Args<'_>) -> Result<Vec<String>, Failure> {
    let directory = open(args)?;
    let mut all = Vec::new();
    loop {
        let entries = fetch(&directory, LIBRARY_BUFFER)?;
        if entries.is_empty() {
            return Ok(all);
        }
        all.extend(entries);
    }
}

/// The entries among the names given, in the directory's order: for directories where a kernel shows more than the
/// tree that it is compared with.
fn readdir_only(args: &mut Args<'_>) -> Answer {
    let mut entries = readdir(args)?;
    let names: Vec<String> = args.rest()?.iter().map(|name| escape(name)).collect();
    entries.retain(|entry| entry.split_once(':').is_some_and(|(_, name)| names.iter().any(|n| n == name)));
    Ok(entries.join(" "))
}

/// What one system call with a buffer of `size` bytes gives; empty at the end.
fn fetch(directory: impl AsFd, size: usize) -> io::Result<Vec<String>> {
    let mut buffer = vec![MaybeUninit::uninit(); size];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut found = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        found.push(format!("{}:{}", flags::letter(entry.file_type()), escape(entry.file_name().to_bytes())));
        if entries.is_buffer_empty() {
            break;
        }
    }
    Ok(found)
}
