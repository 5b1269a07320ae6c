//! A tree of ours, mounted for a test.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::guest::Error;
use crate::program;

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(30);
/// The tree that the kernel has, for everybody.
const MAINLINE: &[&str] = &["--mainline", "--strict", "--foreground", "--allow-other"];
/// How long to wait between two looks at something that no event announces.
const LOOK: Duration = Duration::from_millis(5);

/// A server and the folder where it shows its tree; both are gone after the drop.
#[derive(Debug)]
pub struct Mount {
    server: Child,
    folder: TempDir,
    debugfs: Option<TempDir>,
}

impl Mount {
    /// The daemon with the tree that the kernel has. `UO2CB` names another program than the one built here.
    ///
    /// # Errors
    /// The daemon cannot be built or started, or shows no tree in time.
    pub fn mainline() -> Result<Self, Error> {
        let mut server = Command::new(program::uo2cb()?);
        server.arg("mount");
        Self::start(server, MAINLINE)
    }

    /// The same, with what the kernel has in /sys/kernel/debug beside it.
    ///
    /// # Errors
    /// Those of [`mainline`](Self::mainline).
    pub fn mainline_with_debugfs() -> Result<Self, Error> {
        let debugfs = tempfile::tempdir()?;
        let mut server = Command::new(program::uo2cb()?);
        server.arg("mount").arg("--debugfs").arg(debugfs.path());
        let mut mount = Self::start(server, MAINLINE)?;
        mount.debugfs = Some(debugfs);
        Ok(mount)
    }

    /// Any server that takes the folder as its next argument, and `options` after it. It ends with this thread.
    ///
    /// # Errors
    /// The server cannot be started, ends, or shows no tree in time.
    pub fn start(mut server: Command, options: &[&str]) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        server.arg(folder.path()).args(options).stdin(Stdio::null());
        let outside = fs::metadata(folder.path())?.dev();
        let name = server.get_program().to_string_lossy().into_owned();
        program::ends_with_us(&mut server, Signal::TERM);
        let child = server.spawn().map_err(|error| Error::new(format!("cannot start {name}: {error}")))?;
        let mut mount = Self { server: child, folder, debugfs: None };
        let until = Instant::now() + START;
        while fs::metadata(mount.root()).is_ok_and(|root| root.dev() == outside) {
            if let Some(status) = mount.server.try_wait()? {
                return Err(Error::new(format!("{name} ended at once: {status}")));
            }
            if Instant::now() > until {
                return Err(Error::new(format!("{name} shows no tree after {START:?}")));
            }
            std::thread::sleep(LOOK);
        }
        Ok(mount)
    }

    /// The root of the tree.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Ends the server in mid-work; what it leaves mounted goes with the drop.
    ///
    /// # Errors
    /// It cannot be killed or waited for.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.server.kill()?;
        self.server.wait()?;
        Ok(())
    }

    /// How the server ended, if it has.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        Ok(self.server.try_wait()?)
    }

    /// What the server writes to its standard error; for once, and if it was started with a pipe there.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.server.stderr.take()
    }

    /// What the kernel has in /sys/kernel/debug, if that is shown.
    pub fn debugfs(&self) -> Option<&Path> {
        self.debugfs.as_ref().map(TempDir::path)
    }

    fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let until = Instant::now() + STOP;
        loop {
            let status = self.server.try_wait()?;
            if status.is_some() || Instant::now() > until {
                return Ok(status);
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Politely first. What fails here is what has happened already: there is nothing more to do about it.
        // Once waited for, its number may be somebody else's.
        let runs = matches!(self.server.try_wait(), Ok(None));
        let pid = i32::try_from(self.server.id()).ok().filter(|_| runs).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        if !matches!(self.wait(), Ok(Some(_))) {
            let _ = self.server.kill();
            let _ = self.server.wait();
        }
        for folder in [Some(&self.folder), self.debugfs.as_ref()].into_iter().flatten() {
            let _ = unmount(folder.path(), UnmountFlags::DETACH);
        }
    }
}
