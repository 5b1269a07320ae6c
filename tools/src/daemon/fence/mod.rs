//! The fence: this node must go, at once, before others that count it as dead take over what it uses.
//!
//! A fence ends the process, so whatever in it reaches outside is listed here, of all its nodes: disks, mounts,
//! sockets, logs. They are called in four rounds. Nothing on this way may wait for long, and what may (a log on a hung
//! disk, say) comes after what must be done; in any case the [deadline] ends the process. What else is to happen at a
//! fence, the [`FenceAction`], is one more [`Outward`], made ready when the node starts.

mod action;
mod background;
mod exec;
mod last_line;
mod machine;
mod mount;
mod own;
mod record;
mod watchdog;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use self::last_line::LastLine;
use super::deadline;
pub use action::FenceAction;
pub(crate) use action::Ready;
pub(crate) use last_line::prepare;
pub(crate) use mount::Mount;
pub(crate) use own::Own;
pub(crate) use record::Record;

/// Something of a node that others outside the process see or use. All that these calls need is opened, looked up and
/// allocated before there is a fence. The rounds are in the order of the calls here; in a round the latest comes first.
pub(crate) trait Outward: Send + Sync {
    /// Ends what it does to others. Waits for nothing, not even for a lock.
    fn cut_off(&self) {}

    /// Hands the reason on to somebody who writes it. Does not write it here.
    fn tell(&self, _why: &str) {}

    /// Does what helps others but may take its time: there is little left.
    fn withdraw(&self) {}

    /// Waits, but not for long, until what it was told is written: nothing else is left.
    fn settle(&self) {}
}

/// All of this process. Held only to add to it, and for the moments of a fence.
static OUTWARD: Mutex<Vec<Weak<dyn Outward>>> = Mutex::new(Vec::new());
/// How long a fence waits for somebody who is adding something at that very moment.
const LISTED: Duration = Duration::from_millis(20);

/// To be cut off by a fence, as long as it exists.
pub(crate) fn register<T: Outward + 'static>(outward: &Arc<T>) {
    let outward: Weak<T> = Arc::downgrade(outward);
    let mut all = OUTWARD.lock();
    all.retain(|known| known.strong_count() > 0);
    all.push(outward);
}

static ENDING: AtomicBool = AtomicBool::new(false);

/// Does not return while a fence ends the process: what that brings about elsewhere, such as the end of a mount, must not
/// end it in another way before.
pub(crate) fn wait_if_ending() {
    while ENDING.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_secs(1));
    }
}

/// Ends the process as a crash would: whoever is in a mount gets errors, sockets close without a last line, no destructor
/// runs. Says why in one line. Called from whichever thread, inside the monitor or not.
pub(crate) fn end(why: impl fmt::Display) -> ! {
    deadline::arm();
    if ENDING.swap(true, Ordering::SeqCst) {
        // Another thread does it, or this one failed in the middle of it.
        wait_if_ending();
    }
    // Whoever drops the last other reference from now on does so without us: none of these is dropped here.
    let all: Vec<_> = match OUTWARD.try_lock_for(LISTED) {
        Some(all) => all.iter().rev().filter_map(Weak::upgrade).collect(),
        None => Vec::new(),
    };
    all.iter().for_each(|outward| outward.cut_off());
    let why = why.to_string();
    all.iter().for_each(|outward| outward.tell(&why));
    let mut line = LastLine::new(&why);
    line.begin();
    all.iter().for_each(|outward| outward.withdraw());
    line.finish();
    all.iter().for_each(|outward| outward.settle());
    deadline::exit()
}
