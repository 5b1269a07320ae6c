//! The last line, on standard error: past the lock of the standard library, which may be held by a thread that hangs in
//! it. Where standard error is a file, which may lie on a disk that hangs, a thread of its own writes the line, started
//! with the first node: so the line need not come after all that a fence has to do.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, write};

use super::super::threads::Standing;
use super::background::Background;

/// How long a fence that has done all else waits for the thread.
const WRITTEN: Duration = Duration::from_millis(150);

static WRITER: OnceLock<Background> = OnceLock::new();

/// Starts the thread, once in a process.
///
/// # Errors
/// Those of starting a thread.
pub(crate) fn prepare() -> io::Result<()> {
    static STARTING: Mutex<()> = Mutex::new(());
    let _starting = STARTING.lock();
    if WRITER.get().is_some() {
        return Ok(());
    }
    let _ = WRITER.set(Background::start("last-line", Standing::Urgent, |line| {
        say(&line);
        true
    })?);
    Ok(())
}

/// The line, until it is written or somebody else writes it.
pub(super) struct LastLine {
    here: Option<String>,
    handed_on: bool,
}

impl LastLine {
    pub(super) fn new(why: &str) -> Self {
        Self { here: Some(format!("uo2cb: {why}\n")), handed_on: false }
    }

    /// Writes it if that surely does not wait, or has the thread write it.
    pub(super) fn begin(&mut self) {
        // Files are always ready, and may lie on a disk that hangs; what is no file cannot be sought in.
        if rustix::fs::tell(error()) == Err(Errno::SPIPE) {
            self.write();
        } else if let Some(writer) = WRITER.get() {
            if let Some(line) = self.here.take() {
                self.here = writer.hand_on(line).err();
                self.handed_on = self.here.is_none();
            }
        }
    }

    /// Waits for the thread, but not for long; or writes it now, where it could not be written before.
    pub(super) fn finish(&mut self) {
        if self.handed_on {
            if let Some(writer) = WRITER.get() {
                writer.wait(WRITTEN);
            }
        }
        self.write();
    }

    fn write(&mut self) {
        if let Some(line) = self.here.take_if(|_| ready()) {
            say(&line);
        }
    }
}

/// Whether a reader, if it takes one, has room.
fn ready() -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let error = error();
    poll(&mut [PollFd::new(&error, PollFlags::OUT)], Some(&now)).is_ok_and(|ready| ready > 0)
}

fn say(line: &str) {
    let _ = write(error(), line.as_bytes());
}

fn error() -> BorrowedFd<'static> {
    // Where it was closed before, calls fail.
    rustix::stdio::stderr()
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs::File;
    use std::process::Command;
    use std::sync::Arc;

    use super::super::super::{deadline, threads};
    use super::super::{Outward, end, register};
    use super::*;

    /// In the process that is fenced.
    const INSIDE: &str = "UO2CB_TEST_FENCED";

    struct Stuck;

    impl Outward for Stuck {
        fn withdraw(&self) {
            loop {
                std::thread::park();
            }
        }
    }

    /// As on a machine so busy that the deadline comes first.
    #[test]
    fn a_file_has_the_line_however_long_the_rest_takes() {
        if env::var_os(INSIDE).is_some() {
            deadline::prepare(|wait| threads::spawn("deadline", Standing::Urgent, wait)).unwrap();
            prepare().unwrap();
            let stuck = Arc::new(Stuck);
            register(&stuck);
            end("why");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("err");
        let mut again = Command::new(env::current_exe().unwrap());
        again.args(["--nocapture", "a_file_has_the_line_however_long_the_rest_takes"]).env(INSIDE, "1");
        let status = again.stderr(File::create(&path).unwrap()).output().unwrap().status;
        assert_eq!(status.code(), Some(deadline::STATUS));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "uo2cb: why\n");
    }
}
