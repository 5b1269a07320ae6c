//! The times at which nodes write their blocks, found by reading the shared image all the time.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uo2cb_tests::guest::Error;

use uo2cb_tests::nodes::cluster::{BLOCK, START_BLOCK};

/// Between two reads: the error of a time.
const INTERVAL: Duration = Duration::from_millis(30);

/// A block that was new.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) at: Instant,
    pub(crate) node: u8,
}

/// Reads until it is dropped.
pub(crate) struct Blocks {
    found: Arc<Mutex<Vec<Block>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Blocks {
    pub(crate) fn watch(image: &Path, nodes: u8) -> Result<Self, Error> {
        let file = File::open(image)?;
        let (found, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (found, stop) = (Arc::clone(&found), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut last = vec![vec![0; BLOCK]; usize::from(nodes) + 1];
                let mut block = vec![0; BLOCK];
                while !stop.load(Ordering::Relaxed) {
                    for node in 1..=nodes {
                        let place = (START_BLOCK + u64::from(node)) * BLOCK as u64;
                        // A read that fails shows nothing new.
                        let read = file.read_exact_at(&mut block, place);
                        let known = &mut last[usize::from(node)];
                        if read.is_ok() && *known != block {
                            known.copy_from_slice(&block);
                            found.lock().push(Block { at: Instant::now(), node });
                        }
                    }
                    std::thread::sleep(INTERVAL);
                }
            })
        };
        Ok(Self { found, stop, thread: Some(thread) })
    }

    pub(crate) fn found(&self) -> Vec<Block> {
        self.found.lock().clone()
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has said why, if it panicked.
            let _ = thread.join();
        }
    }
}
