//! Waiting for a condition.

use std::time::{Duration, Instant};

/// For how long a condition is waited for: long enough for a machine that is busy with other work. A test that passes
/// never waits that long.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(2);

/// Waits until `condition` holds.
///
/// # Panics
/// It does not hold within [`LIMIT`]; the message says `what` was waited for.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    until_some(what, || condition().then_some(()));
}

/// Waits until `find` finds something.
///
/// # Panics
/// It finds nothing within [`LIMIT`]; the message says `what` was waited for.
#[track_caller]
pub fn until_some<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::sleep(INTERVAL);
    }
}
