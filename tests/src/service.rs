//! A tree with any subsystem behind a mount: what the daemon does for o2cb, for subsystems of the tests.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use uo2cb_core::tree::{Change, Op, Outcome, Owner, Subsystem, Tree};
use uo2cb_core::{Call, Caller, Now, Refusal, RequestId, View};
use uo2cb_fusefs::{Mounted, Respond, Service};

/// One tree and who answers for it. Its stores end at once.
pub struct TreeService<S> {
    state: Mutex<(Tree, S)>,
    start: Instant,
    mounted: Mutex<Option<Arc<Mounted>>>,
}

impl<S: Subsystem + Send + 'static> TreeService<S> {
    /// A tree filled by `build`.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn new(
        subsystem: S,
        build: impl FnOnce(&mut Tree, Now) -> Result<(), Refusal>,
    ) -> Result<Self, Refusal> {
        let now = Now { mono: uo2cb_core::Instant::default(), unix: wall_clock() };
        let mut tree = Tree::new(Owner::default(), 4096, now);
        build(&mut tree, now)?;
        tree.take_changes();
        Ok(Self { state: Mutex::new((tree, subsystem)), start: Instant::now(), mounted: Mutex::default() })
    }

    /// Changes are told to this mount from now on.
    pub fn tell(&self, mounted: Arc<Mounted>) {
        *self.mounted.lock() = Some(mounted);
    }

    /// No more, so that the mount can be dropped.
    pub fn hush(&self) {
        *self.mounted.lock() = None;
    }
}

impl<S: Subsystem + Send + 'static> Service for TreeService<S> {
    fn call(&self, _: View, caller: Caller, op: Op<'_>, respond: Respond) {
        let now = Now { mono: uo2cb_core::Instant::at(self.start.elapsed()), unix: wall_clock() };
        let call = Call { now, caller, request: RequestId(0) };
        let (outcome, changes): (Outcome, Vec<Change>) = {
            let (tree, subsystem) = &mut *self.state.lock();
            (tree.apply(subsystem, call, &op), tree.take_changes())
        };
        if let Some(mounted) = &*self.mounted.lock() {
            changes.iter().for_each(|change| mounted.changed(change, true));
        }
        if let Outcome::Ready(result) = outcome {
            respond(result);
        }
    }

    fn look(&self, _: View, look: &mut dyn FnMut(&Tree)) {
        look(&self.state.lock().0);
    }
}

fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
