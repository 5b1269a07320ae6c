//! Real-time priority, from the first disk on: a thread that holds the monitor and gets no processor would hold up
//! every beat.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use super::error::plain;
use super::memory;

/// The lowest of the real-time priorities: above everything ordinary.
const PRIORITY: libc::c_int = 1;

/// Whether the threads of a node are to be more than ordinary ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Realtime {
    armed: Arc<AtomicBool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Priority {
    /// A thread of the program that uses this library: its priority is the program's affair.
    Theirs,
    Ordinary,
    /// As above, and the threads that it starts are to be like it.
    OrdinaryWithWorkers,
    Raised,
}

thread_local! {
    static PRIORITY_OF_THREAD: Cell<Priority> = const { Cell::new(Priority::Theirs) };
}

impl Realtime {
    /// The calling thread is the node's own.
    pub(crate) fn own_thread(&self) {
        if PRIORITY_OF_THREAD.get() == Priority::Theirs {
            PRIORITY_OF_THREAD.set(Priority::Ordinary);
        }
        self.entering();
    }

    /// The calling thread is the one that beats: what it starts inherits from it.
    pub(crate) fn beating_thread(&self) {
        PRIORITY_OF_THREAD.set(Priority::OrdinaryWithWorkers);
        self.entering();
    }

    /// The calling thread is about to enter the monitor.
    #[inline]
    pub(crate) fn entering(&self) {
        let flags = match PRIORITY_OF_THREAD.get() {
            Priority::Theirs | Priority::Raised => return,
            Priority::Ordinary => libc::SCHED_RESET_ON_FORK,
            Priority::OrdinaryWithWorkers => 0,
        };
        if self.armed.load(Ordering::Relaxed) {
            // What the system refuses to one thread it refuses to all, and that has been said.
            PRIORITY_OF_THREAD.set(Priority::Raised);
            let _ = raise(flags);
        }
    }

    /// A disk beats from now on. What the system does not allow, once, for the log.
    pub(crate) fn arm(&self) -> Option<String> {
        if self.armed.swap(true, Ordering::Relaxed) {
            return None;
        }
        let priority = raise(libc::SCHED_RESET_ON_FORK);
        PRIORITY_OF_THREAD.set(Priority::Raised);
        static LOCKED: Once = Once::new();
        let mut locked = Ok(());
        LOCKED.call_once(|| locked = memory::lock());
        let line = match (priority, locked) {
            (Ok(()), Ok(())) => return None,
            (Err(error), Ok(())) => format!("no real-time priority ({error})"),
            (Ok(()), Err(why)) => format!("memory is not locked ({why})"),
            (Err(error), Err(why)) => {
                format!("no real-time priority ({error}), memory is not locked ({why})")
            }
        };
        Some(format!("{line}: beats may come late on a busy machine"))
    }
}

/// The calling thread sleeps until it has to be faster than all others.
pub(crate) fn urgent_thread() {
    let _ = raise(libc::SCHED_RESET_ON_FORK);
}

/// Raises the calling thread; with SCHED_RESET_ON_FORK in `flags` not those that it starts.
fn raise(flags: libc::c_int) -> Result<(), String> {
    let parameter = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: `parameter` is valid for the call; 0 is the calling thread.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | flags, &parameter) };
    if done == 0 {
        return Ok(());
    }
    Err(plain(&std::io::Error::last_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Scheduling class of the calling thread, and that of a thread that it starts.
    fn classes() -> (libc::c_int, libc::c_int) {
        // SAFETY: takes no pointers; 0 is the calling thread.
        let class = || unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK;
        (class(), thread::spawn(class).join().unwrap())
    }

    #[test]
    fn workers_of_the_beating_thread_are_like_it() {
        if let Err(why) = thread::spawn(|| raise(0)).join().unwrap() {
            return eprintln!("not tried: real-time priority: {why}");
        }
        let realtime = Realtime { armed: Arc::new(AtomicBool::new(true)) };
        thread::scope(|scope| {
            let own = scope.spawn(|| {
                realtime.own_thread();
                classes()
            });
            assert_eq!(own.join().unwrap(), (libc::SCHED_RR, libc::SCHED_OTHER));
            let beating = scope.spawn(|| {
                realtime.beating_thread();
                classes()
            });
            assert_eq!(beating.join().unwrap(), (libc::SCHED_RR, libc::SCHED_RR));
        });
    }
}
