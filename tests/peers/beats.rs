//! Heartbeats of the peers: blocks on the shared disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use uo2cb_core::heartbeat::disk::Block;
use uo2cb_tests::guest::Error;
use uo2cb_tests::nodes::cluster::{BLOCK, DEAD_THRESHOLD, START_BLOCK};

/// Twice as often as a node: each beat of the subject finds a new block.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at a slot.
const LOOK: Duration = Duration::from_millis(20);
/// What is read at once.
const PAGE: usize = 4096;

/// Beats for as long as it lives.
pub(crate) struct Beats {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Measures how late a node's beats are.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Watch {
    /// The longest time without a new block.
    pub(crate) fn end(self) -> Result<Duration, Error> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.thread.join().map_err(|_| "a watch has panicked".to_owned())?)
    }
}

struct Shared {
    image: File,
    /// The same, to read what is on the disk.
    direct: File,
    /// Who beats, and with which generation.
    alive: Mutex<BTreeMap<u8, u64>>,
    stop: AtomicBool,
}

impl Beats {
    pub(crate) fn start(image: &Path) -> Result<Self, Error> {
        let direct = File::options().read(true).custom_flags(libc::O_DIRECT).open(image)?;
        let image = File::options().write(true).open(image)?;
        let shared =
            Arc::new(Shared { image, direct, alive: Mutex::default(), stop: AtomicBool::new(false) });
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

    /// Writes blocks of another generation to a node's slot again and again, as a second writer would.
    pub(crate) fn spoil(&self, node: u8, every: Duration, long: Duration) {
        let until = Instant::now() + long;
        while Instant::now() < until {
            self.shared.write(node, 0x5b01_1ed0);
            std::thread::sleep(every);
        }
    }

    /// Looks at a node's slot from now on.
    pub(crate) fn watch(&self, node: u8) -> Watch {
        let (shared, stop) = (Arc::clone(&self.shared), Arc::new(AtomicBool::new(false)));
        let go_on = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut last, mut since, mut longest) = (None, Instant::now(), Duration::ZERO);
            while !go_on.load(Ordering::Relaxed) {
                let seq = shared.seq(node);
                if seq != last {
                    (last, since) = (seq, Instant::now());
                }
                longest = longest.max(since.elapsed());
                std::thread::sleep(LOOK);
            }
            longest
        });
        Watch { stop, thread }
    }

    /// A node beats no longer.
    pub(crate) fn silence(&self, node: u8) {
        self.shared.alive.lock().remove(&node);
    }
}

impl Shared {
    /// What the slot holds now, past the page cache: a node writes past it as well.
    fn seq(&self, node: u8) -> Option<u64> {
        let at = (START_BLOCK + u64::from(node)) * BLOCK as u64;
        let page = at / PAGE as u64 * PAGE as u64;
        let mut buffer = vec![0; 2 * PAGE];
        let skip = buffer.as_ptr().align_offset(PAGE);
        let aligned = buffer.get_mut(skip..skip + PAGE)?;
        self.direct.read_exact_at(aligned, page).ok()?;
        let at = usize::try_from(at - page).ok()?;
        aligned.get(at..at + BLOCK).map(|bytes| Block::decode(bytes).block.seq)
    }

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
