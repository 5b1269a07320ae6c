//! Reporting what could not be tested.

use std::fs::File;
use std::io::Write as _;

/// Names the file that `tests/run` prints at its end.
const LIST: &str = "UO2CB_NOT_RUN";

/// Reports that `what` was not tested here, and why: on standard error, which cargo hides for a test that passes, and
/// as a line of the file that the variable `UO2CB_NOT_RUN` names.
///
/// # Panics
/// That file cannot be written to.
pub fn not_run(what: &str) {
    eprintln!("not run: {what}");
    if let Some(path) = std::env::var_os(LIST) {
        // In one write, as others append at the same time.
        let line = format!("{what}\n");
        let written = File::options().append(true).create(true).open(&path);
        let written = written.and_then(|mut list| list.write_all(line.as_bytes()));
        assert!(written.is_ok(), "{}: {written:?}", path.to_string_lossy());
    }
}
