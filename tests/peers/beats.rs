//! Heartbeats of the peers: blocks on the shared disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use uo2cb_core::heartbeat::disk::Block;
use uo2cb_tests::guest::Error;
use uo2cb_tests::nodes::cluster::{BLOCK, DEAD_THRESHOLD, START_BLOCK};

/// Twice as often as a node: each beat of the subject finds a new block.
const INTERVAL: Duration = Duration::from_secs(1);

/// Beats for as long as it lives.
pub(crate) struct Beats {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    image: File,
    /// Who beats, and with which generation.
    alive: Mutex<BTreeMap<u8, u64>>,
    stop: AtomicBool,
}

impl Beats {
    pub(crate) fn start(image: &Path) -> Result<Self, Error> {
        let image = File::options().write(true).open(image)?;
        let shared = Arc::new(Shared { image, alive: Mutex::default(), stop: AtomicBool::new(false) });
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                while !shared.stop.load(Ordering::Relaxed) {
                    for (node, generation) in shared.alive.lock().iter() {
                        shared.write(*node, *generation);
                    }
                    std::thread::park_timeout(INTERVAL);
                }
            })
        };
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A node beats from now on, with a new generation.
    pub(crate) fn up(&self, node: u8) {
        let generation = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos() as u64 | 1;
        self.shared.alive.lock().insert(node, generation);
    }

    /// A node leaves in order.
    pub(crate) fn leave(&self, node: u8) {
        let mut alive = self.shared.alive.lock();
        if alive.remove(&node).is_some() {
            self.shared.write(node, 0);
        }
    }

    /// A node beats no longer.
    pub(crate) fn silence(&self, node: u8) {
        self.shared.alive.lock().remove(&node);
    }
}

impl Shared {
    fn write(&self, node: u8, generation: u64) {
        // Never twice the same, also within a second.
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let seq = since.as_millis() as u64;
        let mut slot = [0; BLOCK];
        Block { seq, node, generation, dead_ms: DEAD_THRESHOLD * 2000 }.encode(&mut slot);
        // A failure shows as a node that is not alive.
        let written = self.image.write_all_at(&slot, (START_BLOCK + u64::from(node)) * BLOCK as u64);
        let _ = written.and_then(|()| self.image.sync_data());
    }
}

impl Drop for Beats {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has said why, if it panicked.
            let _ = thread.join();
        }
    }
}
