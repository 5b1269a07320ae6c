//! How a node is asked to end, and how its mounts go when it does not.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use uo2cb_fusefs::mounts::Id;

use crate::mountpoint;

/// Asks a node to end; see [`Node::wait`](crate::Node::wait).
#[derive(Clone, Debug)]
pub struct Stopper {
    ask: Sender<String>,
    asked: Receiver<String>,
    mounts: Arc<Mutex<Vec<Id>>>,
}

impl Default for Stopper {
    fn default() -> Self {
        let (ask, asked) = bounded(16);
        Self { ask, asked, mounts: Arc::default() }
    }
}

impl Stopper {
    /// Asks; `why` goes to the log. Never blocks; only the first reason counts.
    pub fn stop(&self, why: impl Into<String>) {
        let _ = self.ask.try_send(why.into());
    }

    /// Takes the node's mounts away without the node, for a process that ends at once. Waits for nothing longer than
    /// `limit`.
    pub fn detach(&self, limit: Duration) {
        let Some(mounts) = self.mounts.try_lock_for(limit).map(|mounts| mounts.clone()) else { return };
        // A failure would be nobody's to deal with.
        let _ = mountpoint::within(limit, move || {
            for id in mounts {
                let _ = uo2cb_fusefs::unmount(id);
            }
        });
    }

    /// A mount of the node.
    pub(super) fn mounted(&self, id: Id) {
        self.mounts.lock().push(id);
    }

    /// Waits until somebody asks.
    pub(super) fn wait(&self) -> String {
        // Never closed: this is a sender too.
        self.asked.recv().unwrap_or_default()
    }
}
