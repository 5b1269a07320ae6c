//! A descriptor that other threads make readable.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, read, write};

/// An event counter, and whether it has been raised since it was last answered, so that it is raised once.
#[derive(Debug)]
pub(crate) struct Bell {
    counter: OwnedFd,
    rung: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> Result<Self, Errno> {
        let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { counter, rung: AtomicBool::new(false) })
    }

    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // It fails only when the counter is full: then it is readable.
            let _ = write(&self.counter, &1u64.to_ne_bytes());
        }
    }

    /// Silences it and says whether it had rung. What was done before any `ring` up to now is visible afterwards.
    pub(crate) fn answer(&self) -> bool {
        // Counter first: a ring in between finds `rung` set, and is answered by the swap.
        let _ = read(&self.counter, &mut [0; 8]);
        self.rung.swap(false, Ordering::AcqRel)
    }

    /// Waits until it rings, which is answered, or `until` has come. Says whether it has rung. May return early.
    pub(crate) fn wait(&self, until: Option<Instant>) -> Result<bool, Errno> {
        let left = until.map(time_left);
        match poll(&mut [PollFd::new(&self.counter, PollFlags::IN)], left.as_ref()) {
            Ok(0) | Err(Errno::INTR) => Ok(false),
            Ok(_) => Ok(self.answer()),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }
}

/// From now to `until`; zero if that has passed.
fn time_left(until: Instant) -> Timespec {
    let left = until.saturating_duration_since(Instant::now());
    Timespec { tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() }
}
