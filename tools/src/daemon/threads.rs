//! The threads of a node: all of them are started here, and all of them end the process if they panic.

use std::cell::Cell;
use std::hint::black_box;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

use super::fence;
use super::realtime::{self, Realtime};

/// What our own code needs of stack, debug builds included, with room to spare. Locked memory is counted by it.
const STACK: usize = 256 * 1024;
/// How much of that is made present at once in threads that others wait for.
const PRESENT: usize = 64 * 1024;
/// What a program's own code may expect.
const THEIR_STACK: usize = 2 * 1024 * 1024;

/// What a thread is beside being started.
#[derive(Debug)]
pub(crate) enum Standing {
    /// An ordinary one: nobody waits for it.
    Ordinary,
    /// It can enter the monitor, and then has the node's priority.
    Entering(Realtime),
    /// The thread that beats. What its disks cannot do at once, such as a write to a file while the file system
    /// commits, the kernel does in workers that inherit from it: they must be no less than it is.
    Beating(Realtime),
    /// It sleeps until it must be faster than everything else.
    Urgent,
    /// It runs code of the program that uses this library, whose panics are the program's affair.
    Theirs,
}

thread_local! {
    static OURS: Cell<bool> = const { Cell::new(false) };
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Starts a thread.
///
/// # Errors
/// The system has no more threads, or no memory for one.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    standing: Standing,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let theirs = matches!(standing, Standing::Theirs);
    let builder = Builder::new().name(name.into()).stack_size(if theirs { THEIR_STACK } else { STACK });
    builder.spawn(move || {
        if theirs {
            return body();
        }
        begin(&standing);
        match catch_unwind(AssertUnwindSafe(body)) {
            Ok(result) => result,
            // Our hook has ended the process already, unless another has taken its place.
            Err(_) => fence::end("a thread of the node panicked"),
        }
    })
}

fn begin(standing: &Standing) {
    own();
    match standing {
        Standing::Ordinary | Standing::Theirs => {}
        Standing::Entering(realtime) => realtime.own_thread(),
        Standing::Beating(realtime) => {
            make_present();
            realtime.beating_thread();
        }
        Standing::Urgent => {
            make_present();
            realtime::urgent_thread();
        }
    }
}

/// The calling thread, started by somebody else, works for the node alone.
pub(crate) fn own() {
    OURS.set(true);
}

/// Whether a panic of the calling thread ends the process.
pub(crate) fn is_own() -> bool {
    OURS.get()
}

/// The calling thread enters a monitor; false if it is in one already.
pub(crate) fn enter() -> bool {
    !INSIDE.replace(true)
}

/// It leaves it.
pub(crate) fn leave() {
    INSIDE.set(false);
}

/// Whether the calling thread is in a monitor: then its panic ends the process, whosever thread it is.
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

/// Has the system find memory for the stack now, not in the middle of a beat.
#[inline(never)]
fn make_present() {
    black_box(&mut [0u8; PRESENT]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_known_and_theirs_are_not() {
        for (standing, ours) in [(Standing::Ordinary, true), (Standing::Theirs, false)] {
            assert_eq!(spawn("test", standing, is_own).unwrap().join().unwrap(), ours);
        }
        assert!(!is_own());
    }

    #[test]
    fn stacks_are_small_and_suffice() {
        let size = |standing| {
            let look = || {
                let own = format!("/proc/self/task/{}/comm", rustix::thread::gettid().as_raw_nonzero());
                let name = std::fs::read_to_string(own).unwrap();
                // The mapping that this variable lies in.
                let here = std::ptr::from_ref(&name).addr();
                let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
                let map = maps.lines().find_map(|line| {
                    let (from, to) = line.split(' ').next()?.split_once('-')?;
                    let bound = |text| usize::from_str_radix(text, 16).ok();
                    let (from, to) = (bound(from)?, bound(to)?);
                    (from..to).contains(&here).then_some(to - from)
                });
                (name.trim().to_owned(), map.unwrap())
            };
            spawn("a-name", standing, look).unwrap().join().unwrap()
        };
        let (name, bytes) = size(Standing::Entering(Realtime::default()));
        assert_eq!(name, "a-name");
        assert!((STACK..2 * STACK).contains(&bytes), "{bytes}");
        assert!(size(Standing::Theirs).1 >= THEIR_STACK);
    }
}
