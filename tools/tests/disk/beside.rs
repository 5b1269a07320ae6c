//! Another node, as the disks show it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::*;

/// Node 1 on some disks, seen alive until it is dropped. Nobody can talk to it, so that it gives no time to a node whose
/// disk hangs: a node that is alone would give itself that time, for ever.
pub(super) struct Beside {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    /// Of nodes with this dead threshold, in beats.
    pub(super) fn on<'a>(disks: impl IntoIterator<Item = &'a Disk>, dead_threshold: u32) -> Self {
        let open = |disk: &Disk| File::options().write(true).open(&disk.0).unwrap();
        let files: Vec<_> = disks.into_iter().map(open).collect();
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut slot = [0; 512];
            for seq in 1.. {
                if until.load(Ordering::Relaxed) {
                    return;
                }
                let block = Block { seq, node: 1, generation: 1, dead_ms: dead_threshold * 2000 };
                block.encode(&mut slot);
                for file in &files {
                    file.write_all_at(&slot, 2 * 512).unwrap();
                }
                // Of several looks within a beat one finds something new.
                thread::sleep(Duration::from_millis(400));
            }
        });
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
