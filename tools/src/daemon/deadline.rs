//! An end of the process that nothing can hold up: a thread that was started long before, sleeps, and once it is told
//! to, ends the process after a short time. It takes no lock, allocates nothing and opens no file.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::thread::futex;

/// Exit status of a node that had to go at once.
pub const STATUS: i32 = 86;

/// From the moment that a fence is decided on, the most that saying so may take.
const LIMIT: Duration = Duration::from_millis(500);

static ARMED: AtomicU32 = AtomicU32::new(0);

/// Starts the thread, once in a process, with `spawn`.
///
/// # Errors
/// Those of starting a thread.
pub(crate) fn prepare<T>(spawn: impl FnOnce(fn()) -> io::Result<T>) -> io::Result<()> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = STARTED.lock();
    if !*started {
        spawn(wait)?;
        *started = true;
    }
    Ok(())
}

/// From now on the process has [`LIMIT`] to end by itself. Does not wait; a second call changes nothing.
pub(crate) fn arm() {
    if ARMED.swap(1, Ordering::SeqCst) == 0 {
        // Nobody to be woken: then it has not begun to wait, and will not.
        let _ = futex::wake(&ARMED, futex::Flags::PRIVATE, 1);
    }
}

fn wait() {
    while ARMED.load(Ordering::SeqCst) == 0 {
        // Whatever ended the wait: it is looked at again.
        let _ = futex::wait(&ARMED, futex::Flags::PRIVATE, 0, None);
    }
    thread::sleep(LIMIT);
    exit()
}

/// What a fence does last of all.
static LAST: OnceLock<fn()> = OnceLock::new();

/// Has `last` called at the very end of a fence, whoever comes there first. It may wait for nothing, take no lock and
/// allocate nothing. Only the first one in a process counts.
pub(crate) fn at_the_end(last: fn()) {
    let _ = LAST.set(last);
}

/// Ends the process without running any more of its code.
pub(crate) fn exit() -> ! {
    if let Some(last) = LAST.get() {
        last();
    }
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(STATUS) }
}
