//! Who this node is, kept where a fence finds it without the monitor, which whoever fails may hold.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use uo2cb_core::{FenceMethod, OwnNode};

/// How long a fence waits for somebody who is changing a name at that very moment.
const CHANGED: Duration = Duration::from_millis(20);

/// This node, as it was when the monitor was left last.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// Others may count on it.
    up: AtomicBool,
    panic: AtomicBool,
    names: Mutex<Names>,
}

/// Empty where there is none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Names {
    pub(super) cluster: Vec<u8>,
    pub(super) node: Vec<u8>,
    pub(super) num: Option<u8>,
}

impl Own {
    /// The monitor is about to be left.
    pub(crate) fn update(&self, own: OwnNode<'_>) {
        self.up.store(own.up, Ordering::Relaxed);
        self.panic.store(own.fence_method == FenceMethod::Panic, Ordering::Relaxed);
        let cluster = own.cluster.map(|name| name.as_bytes()).unwrap_or_default();
        let node = own.node.map(|name| name.as_bytes()).unwrap_or_default();
        let num = own.num.map(|num| num.get());
        let mut names = self.names.lock();
        if names.cluster != cluster || names.node != node || names.num != num {
            *names = Names { cluster: cluster.to_vec(), node: node.to_vec(), num };
        }
    }

    /// Up in a region.
    pub(super) fn up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub(super) fn method(&self) -> FenceMethod {
        if self.panic.load(Ordering::Relaxed) { FenceMethod::Panic } else { FenceMethod::Reset }
    }

    pub(super) fn names(&self) -> Names {
        self.names.try_lock_for(CHANGED).map(|names| names.clone()).unwrap_or_default()
    }
}
