//! Where things are for this probe: a list names them by one letter, since they differ from machine to machine.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The places that a list can name.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// `@`: the tree.
    pub root: PathBuf,
    /// `^`: a folder outside of it.
    pub scratch: PathBuf,
    /// `~`: what o2cb has in /sys/kernel/debug.
    pub debugfs: PathBuf,
    /// `+0` and so on: block devices.
    pub disks: Vec<PathBuf>,
}

impl Places {
    /// Reads `ROOT [DEBUGFS [DISK]...]`, after `--scratch DIR` if that folder exists already.
    pub(super) fn parse(words: &[OsString]) -> io::Result<Self> {
        let (scratch, words) = match words {
            [flag, scratch, rest @ ..] if flag == "--scratch" => (scratch.into(), rest),
            _ => (PathBuf::new(), words),
        };
        let mut paths = words.iter().map(PathBuf::from);
        let usage = "usage: probe --clean ROOT | probe ROOT [DEBUGFS [DISK]...]";
        let root = paths.next().ok_or_else(|| io::Error::other(usage))?;
        Ok(Self { root, scratch, debugfs: paths.next().unwrap_or_default(), disks: paths.collect() })
    }

    /// The words from which [`parse`](Self::parse) makes this again.
    pub(super) fn words(&self) -> Vec<OsString> {
        let first = ["--scratch".into(), self.scratch.clone(), self.root.clone(), self.debugfs.clone()];
        first.into_iter().chain(self.disks.clone()).map(PathBuf::into_os_string).collect()
    }

    /// The disk that is written `+N`.
    pub(super) fn disk(&self, word: &str) -> Option<&Path> {
        let number: usize = word.strip_prefix('+')?.parse().ok()?;
        self.disks.get(number).map(PathBuf::as_path)
    }

    /// How a list writes the disk with this name of the kernel's (`vda`).
    pub(super) fn disk_word(&self, name: &str) -> Option<String> {
        let at = self.disks.iter().position(|disk| disk.file_name().is_some_and(|file| file == name))?;
        Some(format!("+{at}"))
    }
}
