//! Another node, as disks show it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const SLOT: usize = 512;
/// Between two blocks: of several looks within a beat one finds something new.
const PACE: Duration = Duration::from_millis(400);

/// A node on some disks with slots of 512 bytes, seen alive until it is dropped. Nobody can talk to it: so it gives no
/// time to a node whose disk hangs, and a node that is alone would give itself that for ever.
#[derive(Debug)]
pub struct Beside {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    /// Its slot, counted from the beginning of the disk, and its block for each sequence number.
    ///
    /// # Errors
    /// A disk cannot be opened.
    pub fn on<P: AsRef<Path>>(
        disks: impl IntoIterator<Item = P>,
        slot: usize,
        block: impl Fn(u64) -> [u8; SLOT] + Send + 'static,
    ) -> io::Result<Self> {
        let open = |disk: P| File::options().write(true).open(disk);
        let files = disks.into_iter().map(open).collect::<io::Result<Vec<_>>>()?;
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            for seq in 1.. {
                if until.load(Ordering::Relaxed) {
                    return;
                }
                let block = block(seq);
                for file in &files {
                    // What comes of it is seen by the node that it is beside.
                    let _ = file.write_all_at(&block, (slot * SLOT) as u64);
                }
                thread::sleep(PACE);
            }
        });
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
