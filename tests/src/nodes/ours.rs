//! Our daemon as a node.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cut::End;
use crate::cut::run::Fault;
use crate::guest::Error;
use crate::lines::{self, Line, Lines};
use crate::mount::Mount;
use crate::switch::Switch;
use crate::switch::space::NameSpace;
use rustix::mount::{UnmountFlags, unmount};

use super::Node;
use super::cluster::{self, Call, REGION};

/// The exit status of a node that has fenced itself.
const FENCED: i32 = 86;
/// For the last lines of a daemon that has ended.
const REST: Duration = Duration::from_secs(5);

/// A daemon as a node.
pub struct Ours {
    mount: Mount,
    lines: Lines,
    image: PathBuf,
    debug: Debugfs,
    end: Option<End>,
    // Dropped last: the daemon would end with its thread.
    space: NameSpace,
}

/// Where the debug files are mounted.
struct Debugfs(PathBuf);

impl Drop for Debugfs {
    fn drop(&mut self) {
        // Fails when it is gone already.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

impl Ours {
    /// A daemon with the cluster of `count` nodes, but without the region yet, in a network name space of its own.
    ///
    /// # Errors
    /// It does not start, or refuses a call; name spaces and tap devices are not to be had.
    pub fn start(
        uo2cb: &Path,
        node: u8,
        count: u8,
        switch: &Switch,
        image: &Path,
        folder: &Path,
        fault: Option<Fault>,
    ) -> Result<Self, Error> {
        let space = NameSpace::new()?;
        switch.tap(node, &space)?;
        let debug = folder.join(format!("debug-{node}"));
        fs::create_dir(&debug)?;
        let mut server = Command::new(uo2cb);
        server.env("UO2CB_RUNTIME_DIR", folder.join(format!("run-{node}"))).arg("mount");
        server.arg("--debugfs").arg(&debug).stderr(Stdio::piped());
        if let Some(fault) = fault {
            server.arg("--fault").arg(fault.spec());
        }
        let mut mount = space.run(|| Mount::start(server, &["--foreground"]))??;
        let lines = Lines::of(mount.stderr().ok_or_else(|| "no standard error".to_owned())?);
        let image = image.to_owned();
        let ours = Self { mount, lines, image, debug: Debugfs(debug), end: None, space };
        ours.apply(&cluster::make(node, count, false))?;
        Ok(ours)
    }

    /// From inside the name space: the daemon listens in that of who writes `local`.
    fn apply(&self, calls: &[Call]) -> Result<(), Error> {
        let (root, calls) = (self.mount.root().to_owned(), calls.to_owned());
        self.space.run(move || cluster::apply(&root, &calls))?
    }
}

impl Node for Ours {
    fn call(&mut self, call: &Call) -> Result<(), Error> {
        self.apply(std::slice::from_ref(call))
    }

    fn start(&mut self) -> Result<(), Error> {
        self.apply(&cluster::make_region())?;
        let disk = File::options().read(true).write(true).open(&self.image)?;
        let mut dev = File::options().write(true).open(self.mount.root().join(REGION).join("dev"))?;
        Ok(dev.write_all(disk.as_raw_fd().to_string().as_bytes())?)
    }

    fn leave(&mut self) -> Result<(), Error> {
        Ok(fs::remove_dir(self.mount.root().join(REGION))?)
    }

    fn hang(&mut self, _: bool) -> Result<(), Error> {
        // By the fault that it was started with, at the same time.
        Ok(())
    }

    fn kill(&mut self) -> Result<(), Error> {
        self.mount.kill()?;
        self.lines.complete(REST);
        self.end = Some(End::Killed);
        Ok(())
    }

    fn debug(&mut self, file: &str) -> Result<String, Error> {
        let text = fs::read_to_string(self.debug.0.join(file));
        Ok(text.map_err(|error| format!("{file}: {error}"))?)
    }

    fn pid(&self) -> Option<u32> {
        Some(self.mount.pid())
    }

    fn lines(&self) -> Vec<Line> {
        let text = |line: Line| Line { at: line.at, text: lines::of_ours(&line.text).to_owned() };
        self.lines.so_far().into_iter().map(text).collect()
    }

    fn ended(&mut self) -> Result<Option<End>, Error> {
        if self.end.is_none() {
            if let Some(status) = self.mount.ended()? {
                self.lines.complete(REST);
                let fenced = status.code() == Some(FENCED);
                self.end =
                    Some(if fenced { End::Fenced } else { End::Other(format!("our daemon: {status}")) });
            }
        }
        Ok(self.end.clone())
    }
}
