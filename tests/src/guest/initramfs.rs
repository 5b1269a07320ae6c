//! The guest's first file system: a cpio archive in the "newc" format, which the kernel unpacks at boot.

use std::collections::BTreeSet;

/// An archive being built; parent directories appear by themselves.
pub(super) struct Initramfs {
    archive: Vec<u8>,
    directories: BTreeSet<String>,
    entries: u32,
}

impl Initramfs {
    pub(super) fn new() -> Self {
        Self { archive: Vec::new(), directories: BTreeSet::new(), entries: 0 }
    }

    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        for (at, _) in path.match_indices('/') {
            if self.directories.insert(path[..at].to_owned()) {
                self.entry(&path[..at], 0o040_755, &[]);
            }
        }
        self.entry(path, 0o100_000 | mode, content);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.archive
    }

    /// Thirteen numbers of eight hex digits, the name, the content; the last two padded to a multiple of four.
    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("no file of a guest is as large as 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("names are short");
        self.archive.extend_from_slice(b"070701");
        for number in [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
            self.archive.extend_from_slice(format!("{number:08X}").as_bytes());
        }
        self.archive.extend_from_slice(name.as_bytes());
        self.archive.push(0);
        self.pad();
        self.archive.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.archive.resize(self.archive.len().next_multiple_of(4), 0);
    }
}
