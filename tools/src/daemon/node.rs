//! A node: one cluster stack with its threads, mounts and control socket.

use std::fmt;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use uo2cb_blockio::Script;
use uo2cb_core::heartbeat::{Event, Method, mainline_methods, methods};
use uo2cb_core::tree::Owner;
use uo2cb_core::{Config, Refusal, Status, View};
use uo2cb_fusefs::Options;

use super::consumers::{self, Failed, Subscription};
use super::crash;
use super::deadline;
use super::disk::Choice;
use super::error::Error;
use super::fence;
use super::memory;
use super::monitor::{Interest, Monitor};
use super::mountpoint;
use super::notes::{LogFormat, LogTarget, Notes};
use super::threads::{self, Standing};
use super::tree::{Entry, Tree};
use crate::control::{Info, Server};

/// How long the end waits for the last lines of the log.
const FLUSH: Duration = Duration::from_secs(2);

/// How a node is to be started. Without any choice: not mounted, no control socket, no log.
#[derive(Debug, Default)]
pub struct Builder {
    mainline: bool,
    mode: Option<String>,
    methods: Vec<Box<dyn Method>>,
    views: Vec<(View, PathBuf)>,
    allow_other: bool,
    log: LogTarget,
    format: LogFormat,
    control: Option<PathBuf>,
    disks: Choice,
}

impl Builder {
    /// Show exactly what kernel 6.1 shows: no choice of heartbeat methods.
    #[must_use]
    pub fn mainline(mut self) -> Self {
        self.mainline = true;
        self
    }

    /// Start with the heartbeat method `user` instead of `disk`: [`heartbeat_mode`](Self::heartbeat_mode).
    #[must_use]
    pub fn user_heartbeat(self) -> Self {
        self.heartbeat_mode("user")
    }

    /// Start with this heartbeat method, as if written to `cluster/heartbeat_mode`. One that is not registered makes
    /// [`start`](Self::start) fail, and so does any together with [`mainline`](Self::mainline), which has no such file.
    #[must_use]
    pub fn heartbeat_mode(mut self, name: impl Into<String>) -> Self {
        self.mode = Some(name.into());
        self
    }

    /// Register one more heartbeat method, behind those that every node has.
    #[must_use]
    pub fn method(mut self, method: Box<dyn Method>) -> Self {
        self.methods.push(method);
        self
    }

    /// Mount the tree of /sys/kernel/config on an empty directory.
    #[must_use]
    pub fn mount(self, dir: impl Into<PathBuf>) -> Self {
        self.mount_view(View::Config, dir)
    }

    /// Mount any of the three trees on an empty directory.
    #[must_use]
    pub fn mount_view(mut self, view: View, dir: impl Into<PathBuf>) -> Self {
        self.views.push((view, dir.into()));
        self
    }

    /// Let other users into the mounts. As an ordinary user this needs `user_allow_other` in /etc/fuse.conf.
    #[must_use]
    pub fn allow_other(mut self, allow: bool) -> Self {
        self.allow_other = allow;
        self
    }

    /// Write a log.
    #[must_use]
    pub fn log(mut self, target: LogTarget, format: LogFormat) -> Self {
        self.log = target;
        self.format = format;
        self
    }

    /// Take block devices only, as the kernel does. Otherwise a regular file will do for a disk.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.disks.strict = strict;
        self
    }

    /// Let every disk suffer from faults, to see what becomes of it.
    #[must_use]
    pub fn faults(mut self, script: Script) -> Self {
        self.disks.faults = Some(script);
        self
    }

    /// Open a [control](crate::control) socket at this path, whose directory should be this user's alone.
    #[must_use]
    pub fn control(mut self, socket: impl Into<PathBuf>) -> Self {
        self.control = Some(socket.into());
        self
    }

    /// Starts the node; when this returns, its mounts are usable. On failure nothing is left behind.
    pub fn start(self) -> Result<Node, Error> {
        let mut dirs: Vec<(View, PathBuf)> = Vec::new();
        for (view, dir) in &self.views {
            let dir = mountpoint::canonical(dir)?;
            if dirs.iter().any(|(_, other)| *other == dir) {
                return Err(Error::SameMountPoint(dir));
            }
            dirs.push((*view, dir));
        }
        deadline::prepare().map_err(Error::System)?;
        let notes = Notes::open(self.log, self.format).map_err(Error::System)?;
        if !dirs.is_empty() {
            mountpoint::may_mount(self.allow_other)?;
        }
        let mut locks = Vec::new();
        for (_, dir) in &dirs {
            let prepared = mountpoint::prepare(dir)?;
            if prepared.recovered {
                notes.warn(&format!("{}: took away what a killed daemon left mounted", dir.display()));
            }
            locks.push(prepared);
        }
        let owner =
            Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() };
        let config = Config { owner, mainline: self.mainline };
        let mut methods = if self.mainline { mainline_methods() } else { methods() };
        methods.extend(self.methods);
        let monitor = Monitor::new(&config, methods, self.disks, notes).map_err(Error::System)?;
        let (stop, ended) = bounded(16);
        let stop = Stopper(stop);
        let mut node =
            Node { monitor, timer: None, signals: None, server: None, stop, ended, guarded: Vec::new() };
        node.begin(dirs, self.mode, self.allow_other, self.control)?;
        Ok(node)
    }
}

/// A running node. Dropping it is a clean stop: whoever waits is answered, the mounts go, the socket goes.
pub struct Node {
    monitor: Arc<Monitor>,
    timer: Option<JoinHandle<()>>,
    signals: Option<JoinHandle<()>>,
    server: Option<Server>,
    stop: Stopper,
    ended: Receiver<String>,
    /// So that a fence takes them away.
    guarded: Vec<Arc<fence::Mount>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").finish_non_exhaustive()
    }
}

/// Asks a node to end; see [`Node::wait`].
#[derive(Clone, Debug)]
pub struct Stopper(Sender<String>);

impl Stopper {
    /// Asks; `why` goes to the log. Never blocks; only the first reason counts.
    pub fn stop(&self, why: impl Into<String>) {
        let _ = self.0.try_send(why.into());
    }
}

impl Node {
    /// How to start one.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn begin(
        &mut self,
        dirs: Vec<(View, PathBuf)>,
        mode: Option<String>,
        allow_other: bool,
        control: Option<PathBuf>,
    ) -> Result<(), Error> {
        let monitor = Arc::clone(&self.monitor);
        let standing = || Standing::Entering(self.monitor.realtime.clone());
        let timer = threads::spawn("timer", standing(), move || monitor.keep_time());
        self.timer = Some(timer.map_err(Error::System)?);
        let monitor = Arc::clone(&self.monitor);
        if !dirs.is_empty() {
            let signals = threads::spawn("signals", standing(), move || monitor.watch_callers());
            self.signals = Some(signals.map_err(Error::System)?);
            if mode.as_deref().is_none_or(|mode| mode == "disk") {
                self.monitor.disks.prepare(&self.monitor).map_err(Error::System)?;
            }
        }
        if let Some(mode) = mode {
            self.write("cluster/heartbeat_mode", mode)?;
        }
        for (view, dir) in &dirs {
            let guard = fence::Mount::guard(dir);
            self.guarded.push(Arc::clone(&guard));
            let (stop, place) = (self.stop.clone(), dir.clone());
            let ended = Box::new(move |end: uo2cb_fusefs::End| match end {
                None => stop.stop(format!("{} was unmounted", place.display())),
                // Also a panic there, which has been told already unless the hook for panics is not ours.
                Some(error) => fence::end(format_args!(
                    "a fault of this program: {} is not served any more: {error}",
                    place.display()
                )),
            });
            let options = Options { allow_other };
            let service = Arc::clone(&self.monitor);
            let mounted = uo2cb_fusefs::mount(dir, *view, service, &options, ended)
                .map_err(|error| Error::Mount(dir.clone(), error))?;
            self.monitor.add_view(*view, mounted);
            guard.mounted();
            self.monitor.notes.info(&format!("{} mounted on {}", view_name(*view), dir.display()));
        }
        if let Some(socket) = control {
            let info = Info::new(dirs);
            let server = Server::start(&socket, &self.monitor, info, self.stop.clone());
            self.server = Some(server.map_err(Error::Control)?);
        }
        if !memory::has_headroom() {
            return Err(Error::System(rustix::io::Errno::NOMEM.into()));
        }
        Ok(())
    }

    /// The tree of /sys/kernel/config.
    pub fn config(&self) -> Tree<'_> {
        Tree::new(&self.monitor, View::Config)
    }

    /// What o2cb has in /sys.
    pub fn sysfs(&self) -> Tree<'_> {
        Tree::new(&self.monitor, View::Sysfs)
    }

    /// What o2cb has in /sys/kernel/debug.
    pub fn debugfs(&self) -> Tree<'_> {
        Tree::new(&self.monitor, View::Debugfs)
    }

    /// [`Tree::mkdir`] in [`config`](Self::config).
    pub fn mkdir(&self, path: impl AsRef<Path>) -> Result<(), Refusal> {
        self.config().mkdir(path)
    }

    /// [`Tree::rmdir`] in [`config`](Self::config).
    pub fn rmdir(&self, path: impl AsRef<Path>) -> Result<(), Refusal> {
        self.config().rmdir(path)
    }

    /// [`Tree::symlink`] in [`config`](Self::config).
    pub fn symlink(&self, target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<(), Refusal> {
        self.config().symlink(target, link)
    }

    /// [`Tree::unlink`] in [`config`](Self::config).
    pub fn unlink(&self, path: impl AsRef<Path>) -> Result<(), Refusal> {
        self.config().unlink(path)
    }

    /// [`Tree::read`] in [`config`](Self::config).
    pub fn read(&self, path: impl AsRef<Path>) -> Result<String, Refusal> {
        self.config().read(path)
    }

    /// [`Tree::write`] in [`config`](Self::config).
    pub fn write(&self, path: impl AsRef<Path>, data: impl AsRef<[u8]>) -> Result<usize, Refusal> {
        self.config().write(path, data)
    }

    /// [`Tree::list`] in [`config`](Self::config).
    pub fn list(&self, path: impl AsRef<Path>) -> Result<Vec<Entry>, Refusal> {
        self.config().list(path)
    }

    /// Starts a region of disk heartbeat on a block device or a regular file: opens it and writes its
    /// descriptor to the region's `dev`. `block_bytes`, `start_block` and `blocks` must have been set. Returns
    /// when the region is steady, after some seconds.
    pub fn start_region(&self, region: impl AsRef<Path>, device: impl AsRef<Path>) -> Result<(), Error> {
        let mut options = std::fs::OpenOptions::new();
        // What is no disk is not waited for; it is refused below.
        let device = options.read(true).custom_flags(libc::O_NONBLOCK).open(device).map_err(Error::Device)?;
        self.write(region.as_ref().join("dev"), device.as_raw_fd().to_string())?;
        Ok(())
    }

    /// Registers a callback for the events of one region, or (none) of all. Lower priorities are told first.
    ///
    /// For a region this is what a file system's mount does: it pins the region and the local node, so both
    /// must exist, and neither can be removed until the subscription is dropped.
    ///
    /// Callbacks run one at a time, each on its own thread; the call that caused an event returns after all
    /// of them. So a callback may read the tree, but a link or unlink from within would wait for itself.
    pub fn on_event(
        &self,
        region: Option<&str>,
        priority: i32,
        callback: impl FnMut(&Event) + Send + 'static,
    ) -> Result<Subscription, Error> {
        let interest = Interest { region: region.map(str::as_bytes), priority, ..Interest::default() };
        consumers::register(&self.monitor, interest, callback).map_err(|failed| match failed {
            Failed::Refused(refusal) => Error::Refused(refusal),
            Failed::System(error) => Error::System(error),
        })
    }

    /// Cluster, nodes, regions, and who is up where since when.
    pub fn status(&self) -> Status {
        self.monitor.read(uo2cb_core::Engine::status)
    }

    /// Calls without an answer yet.
    pub fn waiting(&self) -> usize {
        self.monitor.waiting()
    }

    /// How many requests of the kernel its mounts have served; what the kernel forgets is not counted.
    pub fn requests(&self) -> u64 {
        self.monitor.requests()
    }

    /// Asks this node to end, from anywhere.
    pub fn stopper(&self) -> Stopper {
        self.stop.clone()
    }

    /// Runs until somebody asks it to end, and ends it.
    pub fn finish(self) {
        let why = self.wait();
        crash::point("main");
        self.monitor.notes.info(&format!("stopping: {why}"));
    }

    /// Waits until somebody asks it to end: a [`Stopper`], a control client, an unmount. Gives the reason.
    /// The node still runs then; drop it.
    pub fn wait(&self) -> String {
        let why = self.ended.recv().unwrap_or_default();
        fence::wait_if_ending();
        why
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.close();
        }
        self.monitor.shut_down();
        for (_, mounted) in self.monitor.take_views() {
            let dir = mounted.path().to_owned();
            drop(mounted);
            // Still there: somebody uses it, and this user may not detach it without help.
            if mountpoint::ours(&dir) {
                if let Err(error) = mountpoint::detach(&dir) {
                    self.monitor.notes.warn(&format!("{}: not unmounted: {error}", dir.display()));
                }
            }
        }
        for thread in [self.timer.take(), self.signals.take()].into_iter().flatten() {
            let _ = thread.join();
        }
        self.monitor.notes.info("stopped");
        self.monitor.notes.flush(FLUSH);
        fence::wait_if_ending();
        // Last: a client that asked for the end takes the end of its connection for the end of the node.
        self.server = None;
    }
}

/// The name of a tree for people.
pub(crate) fn view_name(view: View) -> &'static str {
    match view {
        View::Config => "config",
        View::Sysfs => "sysfs",
        View::Debugfs => "debugfs",
    }
}
