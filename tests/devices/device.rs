//! A loop device and the file behind it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use tempfile::NamedTempFile;
use uo2cb::core::heartbeat::disk::{Block, Found};
use uo2cb_test_support::beside::Beside;
use uo2cb_tests::loops::Loop;

/// Where a region is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) start_block: u64,
    pub(crate) block_bytes: u32,
    pub(crate) blocks: u32,
}

/// A loop device. What is written to the file is on the device at once, and the other way round, in pieces of
/// any size: direct I/O on the device goes to the file without a cache of the device's own.
pub(crate) struct Device {
    device: Loop,
    pub(crate) file: NamedTempFile,
}

impl Device {
    /// `bytes` long, all zero, with sectors of `sector` bytes.
    pub(crate) fn new(bytes: u64, sector: u32) -> Self {
        Self::with(bytes, sector, &[])
    }

    /// The same, read-only.
    pub(crate) fn read_only(bytes: u64, sector: u32) -> Self {
        Self::with(bytes, sector, &["--read-only"])
    }

    fn with(bytes: u64, sector: u32, options: &[&str]) -> Self {
        let file = NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        file.as_file().set_len(bytes).unwrap();
        let device = Loop::new(file.path(), sector, options).unwrap();
        Self { device, file }
    }

    pub(crate) fn path(&self) -> &Path {
        self.device.path()
    }

    /// As in /sys/block.
    pub(crate) fn name(&self) -> String {
        self.path().file_name().unwrap().to_string_lossy().into_owned()
    }

    /// What a descriptor for `dev` is taken from; reading will do.
    pub(crate) fn open(&self) -> File {
        File::open(self.path()).unwrap()
    }

    /// A slot as it is.
    pub(crate) fn slot(&self, place: Place, node: u64) -> Vec<u8> {
        let mut slot = vec![0; place.block_bytes as usize];
        self.file.as_file().read_exact_at(&mut slot, offset(place, node)).unwrap();
        slot
    }

    pub(crate) fn found(&self, place: Place, node: u64) -> Found {
        Block::decode(&self.slot(place, node))
    }

    /// Writes a slot, as another writer on the disk does.
    pub(crate) fn overwrite(&self, place: Place, node: u64, slot: &[u8]) {
        let file = OpenOptions::new().write(true).open(self.file.path()).unwrap();
        file.write_all_at(slot, offset(place, node)).unwrap();
    }

    /// Writes a block with a good checksum.
    pub(crate) fn put(&self, place: Place, node: u64, block: Block) {
        let mut slot = vec![0; place.block_bytes as usize];
        block.encode(&mut slot);
        self.overwrite(place, node, &slot);
    }

    /// Another node in slots as long as a sector of 512 bytes, alive until that is dropped.
    pub(crate) fn beside(&self, place: Place, node: u8, dead_threshold: u32) -> Beside {
        let block = move |seq| {
            let mut slot = [0; 512];
            Block { seq, node, generation: 1, dead_ms: dead_threshold * 2000 }.encode(&mut slot);
            slot
        };
        let slot = offset(place, node.into()) / 512;
        Beside::on([self.file.path()], slot as usize, block).unwrap()
    }
}

fn offset(place: Place, node: u64) -> u64 {
    (place.start_block + node) * u64::from(place.block_bytes)
}

/// Runs a program, which must succeed; gives what it printed.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {words}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `uo2cb dump`.
pub(crate) fn dump(path: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(crate::daemon::program());
    command.arg("dump").arg(path).args(options);
    command
}
