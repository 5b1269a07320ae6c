//! The end of the process when the stack cannot be trusted any more.

use std::io::Write;
use std::time::Duration;

use super::notes::Notes;

/// Exit status of a node that had to go at once.
pub const STATUS: i32 = 86;

/// The log may be slow, and this must be fast.
const FLUSH: Duration = Duration::from_millis(100);

/// Says why in one line and ends the process as a crash would: no clean stop, no destructors. A daemon that
/// lived on with half a stack would leave users of its mount without a heartbeat.
pub(crate) fn end(notes: &Notes, why: &str) -> ! {
    // Standard error may be closed.
    let _ = writeln!(std::io::stderr(), "uo2cb: {why}");
    notes.warn(why);
    notes.flush(FLUSH);
    // SAFETY: _exit has no preconditions; it ends the process without running any of its code.
    unsafe { libc::_exit(STATUS) }
}
