//! The disk that a guest's node writes its blocks on, as others would see it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use uo2cb_core::heartbeat::disk::Block;
use uo2cb_test_support::beside::Beside;
use uo2cb_tests::guest::Error;

const SLOT: usize = 512;
/// Between two looks: others could see a block as soon.
const LOOK: Duration = Duration::from_millis(10);

/// The image, whose first slot is watched.
pub(crate) struct Image {
    folder: TempDir,
    last: Arc<Mutex<Option<Instant>>>,
    stop: Arc<AtomicBool>,
}

impl Image {
    pub(crate) fn new() -> Result<Self, Error> {
        // Not in /tmp: that may be in memory, where there is no direct I/O.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let image = Self { folder, last: Arc::default(), stop: Arc::default() };
        // Every byte, without which QEMU would write more than a slot.
        std::fs::write(image.path(), vec![0; 1 << 20])?;
        let (file, last, stop) =
            (File::open(image.path())?, Arc::clone(&image.last), Arc::clone(&image.stop));
        thread::spawn(move || {
            let mut known = [0; SLOT];
            while !stop.load(Ordering::Relaxed) {
                let mut found = [0; SLOT];
                if file.read_exact_at(&mut found, SLOT as u64).is_ok() && found != known {
                    known = found;
                    *last.lock().expect("nobody panics with it") = Some(Instant::now());
                }
                thread::sleep(LOOK);
            }
        });
        Ok(image)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder().join("image")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A second node on it, which gives this one no time when its disk hangs.
    pub(crate) fn beside(&self, dead_threshold: u32) -> Result<Beside, Error> {
        let block = move |seq| {
            let mut slot = [0; SLOT];
            Block { seq, node: 1, generation: 1, dead_ms: dead_threshold * 2000 }.encode(&mut slot);
            slot
        };
        Ok(Beside::on([self.path()], 2, block)?)
    }

    /// When the last block came.
    pub(crate) fn last_block(&self) -> Instant {
        self.last.lock().expect("nobody panics with it").expect("a block was written")
    }

    /// Waits until no block has come for so long.
    pub(crate) fn silent_for(&self, time: Duration) {
        while self.last_block().elapsed() < time {
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
