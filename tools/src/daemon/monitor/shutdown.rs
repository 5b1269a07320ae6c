//! The end of a node that was asked to end.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use uo2cb_core::{Input, View};
use uo2cb_fusefs::Mounted;

use super::{Ended, Monitor, State};

/// How long the end waits for the regions' last blocks.
const LAST_BLOCKS: Duration = Duration::from_secs(3);

/// Whether the stack has come to its end.
#[derive(Debug, Default)]
pub(super) struct Stopped {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stopped {
    /// False if it had been said already.
    fn say(&self) -> bool {
        let first = !std::mem::replace(&mut *self.stopped.lock(), true);
        self.changed.notify_all();
        first
    }

    /// False if it did not come in this time.
    fn within(&self, time: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        self.changed.wait_while_for(&mut stopped, |stopped| !*stopped, time);
        *stopped
    }
}

impl Monitor {
    /// Answers everybody who waits, lets every region write its last block, tells the consumers, closes the
    /// socket, ends the threads. A disk that hangs is not waited for longer than [`LAST_BLOCKS`].
    pub(crate) fn shut_down(&self) {
        self.enter(|state, now| state.engine.handle(now, Input::Shutdown));
        if !self.stopped.within(LAST_BLOCKS) {
            self.notes
                .warn("a disk did not take the last block in time: others will see this node die, not leave");
            self.enter(|state, _| state.stop(self));
        }
        self.disks.stop();
        self.sockets.stop();
        self.callers.stop();
        self.timer.stop();
    }

    /// The mounts, to be dropped outside: unmounting waits for threads that may want to enter.
    #[must_use]
    pub(crate) fn take_views(&self) -> Vec<(View, Mounted)> {
        self.enter(|state, _| std::mem::take(&mut state.views))
    }
}

impl State {
    pub(super) fn stop(&mut self, monitor: &Monitor) {
        // Whoever waits for that waits for the monitor next.
        if !monitor.stopped.say() {
            return;
        }
        monitor.sockets.stop_listening();
        for consumer in std::mem::take(&mut self.consumers).into_values() {
            consumer.end(Ended::Stopping);
        }
        if self.awaiting.len() > 0 {
            monitor.notes.warn(&format!("{} requests were left without an answer", self.awaiting.len()));
        }
    }
}
