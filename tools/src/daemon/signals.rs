//! Signals to callers that wait for an answer. The kernel's FUSE holds back a signal until there is one, so the
//! callers are looked at: the kernel itself would have ended their call.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use uo2cb_core::RequestId;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// SIGKILL, as a bit of the masks in /proc.
const KILL: u64 = 1 << (libc::SIGKILL - 1);
/// Signals that do nothing unless they are caught.
const HARMLESS: u64 =
    1 << (libc::SIGCHLD - 1) | 1 << (libc::SIGCONT - 1) | 1 << (libc::SIGURG - 1) | 1 << (libc::SIGWINCH - 1);

/// What ends a call that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ends {
    /// Any signal, as it ends a write to `dev`.
    AnySignal,
    /// Only the caller's death.
    Death,
}

/// Callers who wait. Its lock is taken inside the monitor, never the other way round.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    list: Mutex<List>,
    changed: Condvar,
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct List {
    callers: Vec<Waiting>,
    stop: bool,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    request: RequestId,
    thread: u32,
    ends: Ends,
    /// A signal to the whole process was seen: perhaps another of its threads is about to take it.
    seen: bool,
}

impl Callers {
    pub(crate) fn add(&self, request: RequestId, thread: u32, ends: Ends) {
        let mut list = self.list.lock();
        list.callers.push(Waiting { request, thread, ends, seen: false });
        self.waiting.store(list.callers.len(), Ordering::Relaxed);
        self.changed.notify_one();
    }

    pub(crate) fn remove(&self, request: RequestId) {
        // Changed inside the monitor only, so it is up to date there.
        if self.waiting.load(Ordering::Relaxed) > 0 {
            let mut list = self.list.lock();
            list.callers.retain(|caller| caller.request != request);
            self.waiting.store(list.callers.len(), Ordering::Relaxed);
        }
    }

    pub(crate) fn stop(&self) {
        self.list.lock().stop = true;
        self.changed.notify_one();
    }

    /// Body of the thread that looks: calls `cancel` for requests whose callers have had their signal. It may
    /// be called again for the same until the request is removed.
    pub(crate) fn watch(&self, cancel: impl Fn(RequestId)) {
        let mut due = Vec::new();
        let mut list = self.list.lock();
        while !list.stop {
            if list.callers.is_empty() {
                self.changed.wait(&mut list);
                continue;
            }
            for caller in &mut list.callers {
                if caller.look() {
                    due.push(caller.request);
                }
            }
            parking_lot::MutexGuard::unlocked(&mut list, || due.drain(..).for_each(&cancel));
            if !list.stop {
                self.changed.wait_for(&mut list, LOOK);
            }
        }
    }
}

impl Waiting {
    /// Is its call to end?
    fn look(&mut self) -> bool {
        let Ok(status) = fs::read_to_string(format!("/proc/{}/status", self.thread)) else { return true };
        let Some(signals) = Signals::parse(&status) else { return true };
        if self.ends == Ends::Death {
            return signals.of_thread & KILL != 0;
        }
        let seen = std::mem::replace(&mut self.seen, signals.of_process != 0);
        signals.of_thread != 0 || (seen && signals.of_process != 0)
    }
}

/// Signals that wait and would do something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Signals {
    of_thread: u64,
    of_process: u64,
}

impl Signals {
    /// None: the thread is dead.
    fn parse(status: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim)
        };
        if field("State").is_some_and(|state| state.starts_with(['Z', 'X'])) {
            return None;
        }
        let mask = |name| field(name).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
        let idle = mask("SigBlk") | mask("SigIgn") | (HARMLESS & !mask("SigCgt"));
        Some(Self { of_thread: mask("SigPnd") & !idle, of_process: mask("ShdPnd") & !idle })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pending: u64, shared: u64, blocked: u64, ignored: u64, caught: u64) -> Option<Signals> {
        Signals::parse(&format!(
            "Name:\tsh\nState:\tD (disk sleep)\nSigPnd:\t{pending:016x}\nShdPnd:\t{shared:016x}\n\
             SigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        ))
    }

    fn bit(signal: i32) -> u64 {
        1 << (signal - 1)
    }

    #[test]
    fn signals_that_count() {
        let (int, child) = (bit(libc::SIGINT), bit(libc::SIGCHLD));
        let (of_thread, of_process) = (0, 0);
        let none = Some(Signals { of_thread, of_process });
        assert_eq!(status(0, 0, 0, 0, 0), none);
        assert_eq!(status(int, 0, 0, 0, 0), Some(Signals { of_thread: int, of_process }));
        assert_eq!(status(0, int, 0, 0, 0), Some(Signals { of_thread, of_process: int }));
        assert_eq!(status(int, int, int, 0, 0), none);
        assert_eq!(status(int, int, 0, int, 0), none);
        assert_eq!(status(child, child, 0, 0, 0), none);
        assert_eq!(status(child, 0, 0, 0, child), Some(Signals { of_thread: child, of_process }));
        assert_eq!(Signals::parse("State:\tZ (zombie)\nSigPnd:\t0\n"), None);
    }

    #[test]
    fn a_signal_to_the_process_must_stay_for_two_looks() {
        // Itself: nothing pending.
        let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let mut here = Waiting { request: RequestId(1), thread, ends: Ends::AnySignal, seen: true };
        assert!(!here.look());
        assert!(!here.seen);
        let mut gone = Waiting { thread: u32::MAX, ..here };
        assert!(gone.look());
    }
}
