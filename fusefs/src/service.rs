//! What stands behind a mount.

use std::io;
use std::thread::{Builder, JoinHandle};

use uo2cb_core::tree::{Answer, Op, Tree};
use uo2cb_core::{Caller, Refusal, View};

/// Takes the answer of a call, perhaps on another thread and much later. It must not call the [`Service`]: that
/// may be in the middle of answering.
pub type Respond = Box<dyn FnOnce(Result<Answer, Refusal>) + Send>;

/// Carries out calls on trees.
pub trait Service: Send + Sync + 'static {
    /// Carries out one call. `respond` is called exactly once, at once or when the answer is known; the
    /// calling thread must not be held until then.
    fn call(&self, view: View, caller: Caller, op: Op<'_>, respond: Respond);

    /// Shows a tree as it is at this moment; `look` must not call the service.
    fn look(&self, view: View, look: &mut dyn FnMut(&Tree));

    /// Starts a thread for a mount. One that panics is to end whatever relies on the mount.
    ///
    /// # Errors
    /// The system has no more threads, or no memory for one.
    fn thread(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
        Builder::new().name(name.into()).spawn(body)
    }
}
