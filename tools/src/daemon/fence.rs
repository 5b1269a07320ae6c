//! The fence: this node must go, at once, before others that count it as dead take over what it uses.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::crash;
use super::mountpoint;
use super::notes::Notes;

/// What a fence does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Fence {
    /// Ends the process as a crash would: whoever is in a mount gets errors, no socket says goodbye.
    #[default]
    Crash,
}

impl Fence {
    /// Does it. Called inside the monitor, from whichever thread; waits for nothing that could hang.
    pub(crate) fn act<'a>(self, notes: &Notes, why: &str, mounts: impl Iterator<Item = &'a Path>) -> ! {
        match self {
            Self::Crash => {
                // Abort first: a process that is held by a hung disk would keep its mounts' users waiting.
                let mounts: Vec<PathBuf> = mounts.map(Path::to_owned).collect();
                let mounted = mountpoint::of_ours(&mounts);
                for (_, connection) in &mounted {
                    abort(connection);
                }
                for (dir, _) in &mounted {
                    mountpoint::detach_without_waiting(dir);
                }
                crash::end(notes, &format!("fenced: {why}"))
            }
        }
    }
}

/// Ends a FUSE connection: every call on it, now and later, fails. Allowed to whoever mounted it, where the
/// system shows its connections.
fn abort(connection: &str) {
    let file = format!("/sys/fs/fuse/connections/{connection}/abort");
    if let Ok(mut file) = std::fs::OpenOptions::new().write(true).open(file) {
        let _ = file.write_all(b"1");
    }
}
