//! The state of one mount.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use uo2cb_core::View;
use uo2cb_core::tree::Attr;

use crate::cache::{Invalidator, Known, time_to_live};
use crate::convert;
use crate::handle::Handles;

/// What the answers of a mount need, also those that come after their calls have returned.
pub(crate) struct MountState {
    pub(crate) handles: Handles,
    pub(crate) known: Arc<Known>,
    pub(crate) invalidator: OnceLock<Arc<Invalidator>>,
    pub(crate) ttl: Duration,
    /// Requests of the kernel so far.
    pub(crate) requests: AtomicU64,
    /// The session has come to its proper end.
    pub(crate) over: AtomicBool,
}

impl MountState {
    pub(crate) fn new(view: View) -> Self {
        Self {
            handles: Handles::default(),
            known: Arc::default(),
            invalidator: OnceLock::new(),
            ttl: time_to_live(view),
            requests: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Counts a request.
    pub(crate) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Attributes for the kernel, with the size that ftruncate gave while somebody has the file open.
    pub(crate) fn file_attr(&self, attr: &Attr) -> fuser::FileAttr {
        let mut file = convert::attr(attr);
        if let Some(size) = self.handles.size(file.ino.0) {
            file.size = size;
        }
        file
    }
}
