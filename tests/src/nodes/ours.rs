//! Our daemon as a node.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::cut::End;
use crate::cut::run::Fault;
use crate::guest::Error;
use crate::lines::{self, Line, Lines};
use crate::mount::Mount;
use crate::switch::Switch;
use crate::switch::space::NameSpace;
use rustix::mount::{UnmountFlags, unmount};

use super::cluster::{self, Call, REGION};
use super::{Node, wait};

/// The exit status of a node that has fenced itself.
const FENCED: i32 = 86;
/// For the last lines of a daemon that has ended.
const REST: Duration = Duration::from_secs(5);

/// A daemon as a node.
pub struct Ours {
    mount: Mount,
    lines: Lines,
    image: PathBuf,
    debug: Shown,
    sysfs: Shown,
    uo2cb: PathBuf,
    runtime: PathBuf,
    /// Whom its userspace counts as up from the start of the region; without disk heartbeat.
    members: Vec<u8>,
    hold: Option<Hold>,
    end: Option<End>,
    // Dropped last: the daemon would end with its thread.
    space: NameSpace,
}

/// Where one of the other trees is mounted.
struct Shown(PathBuf);

impl Drop for Shown {
    fn drop(&mut self) {
        // Fails when it is gone already.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// Who holds the region.
struct Hold {
    process: Child,
    lines: Lines,
}

impl Drop for Hold {
    fn drop(&mut self) {
        // It may have ended with the daemon.
        let _ = self.process.kill();
        let _ = self.process.wait();
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
        let option = fault.map(|fault| ["--fault".to_owned(), fault.spec()]);
        Self::start_with(uo2cb, (node, count), switch, image, folder, option)
    }

    /// The same with the heartbeat of userspace.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_user(
        uo2cb: &Path,
        node: u8,
        count: u8,
        switch: &Switch,
        image: &Path,
        folder: &Path,
    ) -> Result<Self, Error> {
        let option = ["--heartbeat-mode".to_owned(), "user".to_owned()];
        let mut ours = Self::start_with(uo2cb, (node, count), switch, image, folder, Some(option))?;
        ours.members = (1..=count).collect();
        Ok(ours)
    }

    fn start_with(
        uo2cb: &Path,
        (node, count): (u8, u8),
        switch: &Switch,
        image: &Path,
        folder: &Path,
        option: Option<[String; 2]>,
    ) -> Result<Self, Error> {
        let space = NameSpace::new()?;
        switch.tap(node, &space)?;
        let [debug, sysfs] = ["debug", "sys"].map(|tree| folder.join(format!("{tree}-{node}")));
        fs::create_dir(&debug)?;
        fs::create_dir(&sysfs)?;
        let runtime = folder.join(format!("run-{node}"));
        let user = option.as_ref().is_some_and(|[_, value]| value == "user");
        let mut server = Command::new(uo2cb);
        server.env("UO2CB_RUNTIME_DIR", &runtime).arg("mount");
        server.arg("--debugfs").arg(&debug).arg("--sysfs").arg(&sysfs).stderr(Stdio::piped());
        server.args(option.into_iter().flatten());
        let mut mount = space.run(|| Mount::start(server, &["--foreground"]))??;
        let lines = Lines::of(mount.stderr().ok_or_else(|| "no standard error".to_owned())?);
        let image = image.to_owned();
        let (debug, sysfs, uo2cb) = (Shown(debug), Shown(sysfs), uo2cb.to_owned());
        let ours = Self {
            mount,
            lines,
            image,
            debug,
            sysfs,
            uo2cb,
            runtime,
            members: Vec::new(),
            hold: None,
            end: None,
            space,
        };
        let mut calls = cluster::make(node, count, false);
        // Nothing is counted in userspace.
        calls.retain(|call| {
            !user || !matches!(call, Call::Write(path, _) if path.ends_with("dead_threshold"))
        });
        ours.apply(&calls)?;
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
        if !self.members.is_empty() {
            let link = |node: &u8| Call::Link(format!("cluster/c/node/n{node}"), format!("{REGION}/n{node}"));
            let mut calls = vec![Call::Mkdir(REGION.into())];
            calls.extend(self.members.iter().map(link));
            return self.apply(&calls);
        }
        self.apply(&cluster::make_region())?;
        let disk = File::options().read(true).write(true).open(&self.image)?;
        let mut dev = File::options().write(true).open(self.mount.root().join(REGION).join("dev"))?;
        Ok(dev.write_all(disk.as_raw_fd().to_string().as_bytes())?)
    }

    fn show_quorum(&mut self) -> Result<(), Error> {
        Ok(fs::write(self.sysfs.0.join("o2cb/logmask/QUORUM"), "allow")?)
    }

    fn leave(&mut self) -> Result<(), Error> {
        Ok(fs::remove_dir(self.mount.root().join(REGION))?)
    }

    fn begin_to_leave(&mut self) -> Result<(), Error> {
        let region = self.mount.root().join(REGION);
        // Ends at the latest with the daemon; what came of it is seen in the tree.
        std::thread::Builder::new().name("leave".into()).spawn(move || fs::remove_dir(region))?;
        Ok(())
    }

    fn hold(&mut self) -> Result<bool, Error> {
        let mut command = Command::new(&self.uo2cb);
        command.args(["hold", "R1", "--mount"]).arg(self.mount.root());
        command.env("UO2CB_RUNTIME_DIR", &self.runtime).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let output = process.stdout.take().ok_or_else(|| "no standard output".to_owned())?;
        let hold = self.hold.insert(Hold { process, lines: Lines::of(output) });
        wait("the region is held", REST, || Ok(!hold.lines.so_far().is_empty()))?;
        Ok(true)
    }

    fn told(&self) -> Vec<Line> {
        self.hold.as_ref().map(|hold| hold.lines.so_far()).unwrap_or_default()
    }

    fn address(&mut self, address: Ipv4Addr) -> Result<(), Error> {
        self.space.address(address)
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
        lines::unfold(self.lines.so_far().into_iter().map(text).collect())
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
