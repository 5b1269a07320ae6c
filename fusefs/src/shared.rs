//! What the calls of one mount share with each other and with the mount itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use uo2cb_core::View;
use uo2cb_core::tree::Attr;

use crate::cache::{Known, Teller, time_to_live};
use crate::convert;
use crate::handle::Handles;

/// Everything that an answer may need, also when it comes after the call has returned.
pub(crate) struct Shared {
    pub(crate) handles: Handles,
    pub(crate) known: Arc<Known>,
    pub(crate) teller: OnceLock<Arc<Teller>>,
    pub(crate) ttl: Duration,
    /// Requests of the kernel so far.
    pub(crate) requests: AtomicU64,
}

impl Shared {
    pub(crate) fn new(view: View) -> Self {
        Self {
            handles: Handles::default(),
            known: Arc::default(),
            teller: OnceLock::new(),
            ttl: time_to_live(view),
            requests: AtomicU64::new(0),
        }
    }

    /// One more request.
    pub(crate) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// What stat(2) is to show.
    pub(crate) fn file_attr(&self, attr: &Attr) -> fuser::FileAttr {
        let mut file = convert::attr(attr);
        if let Some(size) = self.handles.size(file.ino.0) {
            file.size = size;
        }
        file
    }
}
