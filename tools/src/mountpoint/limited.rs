//! Work that a file system which does not answer may hold up.

use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

/// Does `work` on a thread of its own. None when it takes longer: the thread stays with the file system then, and dies
/// with this process at the latest.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, result) = bounded(1);
    let work = move || {
        let _ = done.send(work());
    };
    thread::Builder::new().name("look".into()).spawn(work).ok()?;
    result.recv_timeout(limit).ok()
}
