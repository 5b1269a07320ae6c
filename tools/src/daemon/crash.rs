//! Panics: a daemon that lived on with half a stack would leave users of its mount without a heartbeat. So whichever of
//! its threads panics, the process ends like one that is fenced.

use std::panic::{self, PanicHookInfo};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{deadline, fence, memory, threads};

/// No thread of this process does anything but run nodes.
static EVERYWHERE: AtomicBool = AtomicBool::new(false);

/// Tells the library, before anything else is done with it, that this process is there for one node alone: a panic in
/// any of its threads ends it as a fence does, not only one in a thread that the library has started, or in a call to a
/// node; and its heap is kept small.
pub fn dedicate_process() {
    EVERYWHERE.store(true, Ordering::SeqCst);
    prepare();
    memory::keep_small();
}

/// Panics of our threads end the process from now on, before anything is unwound or printed.
pub(crate) fn prepare() {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        let theirs = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if EVERYWHERE.load(Ordering::SeqCst) || threads::is_own() || threads::is_inside() {
                end(panic);
            }
            theirs(panic);
        }));
    });
}

fn end(panic: &PanicHookInfo<'_>) -> ! {
    // Before the line is put together: that allocates.
    deadline::arm();
    let payload = panic.payload();
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("?");
    let thread = thread::current();
    let thread = thread.name().unwrap_or("without a name").to_owned();
    let place = panic.location().map(|at| format!(", at {at}")).unwrap_or_default();
    fence::end(format_args!("a fault of this program: thread {thread} panicked: {message}{place}"))
}
