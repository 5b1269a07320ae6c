//! Real-time priority and locked memory, from the first disk on: a thread that holds the monitor and gets no
//! processor, or waits for a page, would hold up every beat.

use std::cell::Cell;
use std::fs;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};

use super::error::plain;
use super::notes::Notes;

/// The lowest of the real-time priorities: above everything ordinary.
const PRIORITY: libc::c_int = 1;

/// Whether the threads of a node are to be more than ordinary ones.
#[derive(Debug, Default)]
pub(crate) struct Realtime {
    armed: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A thread of the program that uses this library: its priority is the program's affair.
    Foreign,
    Ordinary,
    /// As above, and the threads that it starts are to be like it.
    OrdinaryWithWorkers,
    Raised,
}

thread_local! {
    static STANDING: Cell<Standing> = const { Cell::new(Standing::Foreign) };
}

impl Realtime {
    /// The calling thread is the node's own.
    pub(crate) fn own_thread(&self) {
        if STANDING.get() == Standing::Foreign {
            STANDING.set(Standing::Ordinary);
        }
        self.entering();
    }

    /// The calling thread is the one that beats. What its disks cannot do at once, such as a write to a file while
    /// the file system commits, the kernel does in workers that inherit from it: they must be no less than it is.
    pub(crate) fn beating_thread(&self) {
        STANDING.set(Standing::OrdinaryWithWorkers);
        self.entering();
    }

    /// The calling thread is about to enter the monitor.
    #[inline]
    pub(crate) fn entering(&self) {
        let flags = match STANDING.get() {
            Standing::Foreign | Standing::Raised => return,
            Standing::Ordinary => libc::SCHED_RESET_ON_FORK,
            Standing::OrdinaryWithWorkers => 0,
        };
        if self.armed.load(Ordering::Relaxed) {
            // What the system refuses to one thread it refuses to all, and that has been said.
            STANDING.set(Standing::Raised);
            let _ = raise(flags);
        }
    }

    /// A disk beats from now on. Says in the log, once, what the system does not allow.
    pub(crate) fn arm(&self, notes: &Notes) {
        if self.armed.swap(true, Ordering::Relaxed) {
            return;
        }
        let priority = raise(libc::SCHED_RESET_ON_FORK);
        STANDING.set(Standing::Raised);
        static LOCKED: Once = Once::new();
        let mut memory = Ok(());
        LOCKED.call_once(|| memory = lock_memory());
        let line = match (priority, memory) {
            (Ok(()), Ok(())) => return,
            (Err(error), Ok(())) => format!("no real-time priority ({error})"),
            (Ok(()), Err(why)) => format!("memory is not locked ({why})"),
            (Err(error), Err(why)) => {
                format!("no real-time priority ({error}), memory is not locked ({why})")
            }
        };
        notes.info(&format!("{line}: beats may come late on a busy machine"));
    }
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

/// Locks all memory of the process, now and later.
fn lock_memory() -> Result<(), String> {
    // Under a limit that this process is below only now, every later allocation could fail. The system looks
    // at the limit first, so a process above it that may lock all the same is exempt from it.
    if let Some(limit) = getrlimit(Resource::Memlock).current {
        if size().is_none_or(|size| size <= limit) {
            return Err(format!("limit {} KiB", limit / 1024));
        }
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).map_err(|errno| plain(&errno.into()))
}

/// Bytes of address space in use.
fn size() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let kib: u64 = size.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib.saturating_mul(1024))
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
        let realtime = Realtime { armed: AtomicBool::new(true) };
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
