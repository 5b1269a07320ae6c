//! Places where a panic can be wanted, to see what becomes of it.

use std::sync::OnceLock;

/// The name of the place that is to panic.
static WANTED: OnceLock<String> = OnceLock::new();

/// Lets the named place panic when it is reached; see the calls of [`reach`].
#[doc(hidden)]
pub fn panic_at(place: &str) {
    let _ = WANTED.set(place.to_owned());
}

/// The place of this name is reached.
#[inline]
pub(crate) fn reach(place: &str) {
    if let Some(wanted) = WANTED.get() {
        assert!(wanted != place, "on purpose");
    }
}
