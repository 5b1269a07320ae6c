//! A node: one cluster stack with its threads, mounts and control socket.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use uo2cb_blockio::Script;
use uo2cb_core::heartbeat::{Event, Method, mainline_methods, methods};
use uo2cb_core::tree::Owner;
use uo2cb_core::{Config, Refusal, Status, View};
use uo2cb_fusefs::Options;

use super::clock::{unix_now, utc};
use super::consumers::{self, Failed, Subscription};
use super::deadline;
use super::disk::Choice;
use super::fault_point;
use super::fence::{self, FenceAction};
use super::memory;
use super::monitor::{Interest, Monitor};
use super::notes::{LogFormat, LogTarget, Notes};
use super::socket::Server;
use super::stopper::Stopper;
use super::threads::{self, Standing};
use super::tree::{Entry, Tree};
use crate::control::{self, About};
use crate::error::{Error, view_name};
use crate::mountpoint::{self, Prepared};

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
    fence: FenceAction,
    stop: Stopper,
    seen: Vec<String>,
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

    /// What a fence does beside ending the process. What it needs is opened by [`start`](Self::start), which fails where
    /// the action could never be carried out.
    #[must_use]
    pub fn fence(mut self, action: FenceAction) -> Self {
        self.fence = action;
        self
    }

    /// Open a [control] socket at this path, whose directory should be this user's alone.
    #[must_use]
    pub fn control(mut self, socket: impl Into<PathBuf>) -> Self {
        self.control = Some(socket.into());
        self
    }

    /// What [`mountpoint::identity`] had to say of the directories, in the order in which
    /// they are named here: a directory that is another one by now is refused.
    #[must_use]
    pub fn seen(mut self, seen: Vec<String>) -> Self {
        self.seen = seen;
        self
    }

    /// Asks the node to end, also while it is starting.
    pub fn stopper(&self) -> Stopper {
        self.stop.clone()
    }

    /// Starts the node; when this returns, its mounts are usable. On failure nothing is left behind.
    pub fn start(self) -> Result<Node, Error> {
        for (place, (view, _)) in self.views.iter().enumerate() {
            if self.views[..place].iter().any(|(other, _)| other == view) {
                return Err(Error::SameView(*view));
            }
        }
        deadline::prepare(|wait| threads::spawn("deadline", Standing::Urgent, wait))
            .map_err(Error::System)?;
        fence::prepare().map_err(Error::System)?;
        let notes = Notes::open(self.log, self.format).map_err(Error::System)?;
        let fence = fence::Ready::new(&self.fence, &notes)?;
        if !self.views.is_empty() {
            mountpoint::may_mount(self.allow_other)?;
        }
        let mut dirs: Vec<(View, PathBuf, Prepared)> = Vec::new();
        let mut seen = self.seen.into_iter();
        for (view, dir) in self.views {
            let place = mountpoint::canonical(&dir)?;
            if let Some(seen) = seen.next() {
                if mountpoint::identity(&dir)? != seen {
                    return Err(Error::Replaced(dir));
                }
            }
            if dirs.iter().any(|(.., other)| other.place.path == place) {
                return Err(Error::SameMountPoint(place));
            }
            let prepared = mountpoint::prepare(&dir).map_err(|error| match error {
                Error::Mounted(dir, device, None) => Error::Mounted(dir, device, control::serving(device)),
                other => other,
            })?;
            if prepared.recovered {
                notes.warn(&format!("{}: took away what a killed daemon left mounted", place.display()));
            }
            dirs.push((view, dir, prepared));
        }
        let owner =
            Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() };
        let config = Config { owner, mainline: self.mainline };
        let mut methods = if self.mainline { mainline_methods() } else { methods() };
        methods.extend(self.methods);
        let monitor = Monitor::new(&config, methods, self.disks, notes).map_err(Error::System)?;
        let mut node = Node {
            monitor,
            timer: None,
            signals: None,
            server: None,
            stop: self.stop,
            guarded: Vec::new(),
            fence,
        };
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
    /// So that a fence takes them away.
    guarded: Vec<Arc<fence::Mount>>,
    fence: fence::Ready,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").finish_non_exhaustive()
    }
}

impl Node {
    /// How to start one.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn begin(
        &mut self,
        dirs: Vec<(View, PathBuf, Prepared)>,
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
                self.monitor.disks.prepare().map_err(Error::System)?;
            }
        }
        self.fence.begin(&self.monitor)?;
        if let Some(mode) = mode {
            self.write("cluster/heartbeat_mode", mode)?;
        }
        if let Some(socket) = &control {
            let place = dirs.first().map_or(socket, |(.., prepared)| &prepared.place.path);
            if let Some(kept) = fence::Record::keep(socket, place, self.fence.restarts, &self.monitor.notes) {
                let _ = self.monitor.record.set(kept);
            }
        }
        let mut trees = Vec::new();
        for (view, dir, prepared) in &dirs {
            let tree = self.mount(*view, dir, prepared, allow_other)?;
            self.monitor.notes.info(&format!("{} mounted on {}", view_name(*view), tree.point.display()));
            trees.push(tree);
        }
        if let Some(socket) = control {
            let about = About { trees, since: utc(unix_now()) };
            let server = Server::start(&socket, &self.monitor, about, self.stop.clone());
            self.server = Some(server.map_err(Error::Control)?);
        }
        if !memory::has_headroom() {
            return Err(Error::System(rustix::io::Errno::NOMEM.into()));
        }
        Ok(())
    }

    /// Mounts a view on the directory that was checked, and on no other.
    fn mount(
        &mut self,
        view: View,
        dir: &Path,
        prepared: &Prepared,
        allow_other: bool,
    ) -> Result<control::Tree, Error> {
        let guard = fence::Mount::guard(&prepared.place.path);
        self.guarded.push(Arc::clone(&guard));
        let (stop, place) = (self.stop.clone(), prepared.place.path.clone());
        let ended = Box::new(move |end: uo2cb_fusefs::End| match end {
            None => stop.stop(format!("{} was unmounted", place.display())),
            // Also a panic there, which has been told already unless the hook for panics is not ours.
            Some(error) => fence::end(format_args!(
                "a fault of this program: {} is not served any more: {error}",
                place.display()
            )),
        });
        let service = Arc::clone(&self.monitor);
        let at = prepared.place.fd.as_fd();
        let mounted = uo2cb_fusefs::mount_on(at, view, service, &Options { allow_other }, ended)
            .map_err(|error| Error::Mount(dir.to_owned(), error))?;
        let (id, device, point) = (mounted.id(), mounted.device(), mounted.path().to_owned());
        self.stop.mounted(id);
        self.monitor.add_view(view, mounted);
        guard.mounted(id, device);
        // Who comes by the path that was named must find it there.
        if !prepared.confirms(dir, id) {
            return Err(Error::Replaced(dir.to_owned()));
        }
        Ok(control::Tree { view, point, device, id })
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

    #[cfg(test)]
    pub(crate) fn monitor(&self) -> &Monitor {
        &self.monitor
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
        fault_point::reach("main");
        self.monitor.notes.info(&format!("stopping: {why}"));
    }

    /// Waits until somebody asks it to end: a [`Stopper`], a control client, an unmount. Gives the reason.
    /// The node still runs then; drop it.
    pub fn wait(&self) -> String {
        let why = self.stop.wait();
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
        self.fence.close();
        for (_, mounted) in self.monitor.take_views() {
            if let Err(error) = mounted.unmount() {
                let dir = mounted.path().display();
                self.monitor.notes.warn(&format!("{dir}: not unmounted: {error}"));
            }
        }
        for thread in [self.timer.take(), self.signals.take()].into_iter().flatten() {
            let _ = thread.join();
        }
        if let Some(record) = self.monitor.record.get() {
            record.close();
        }
        self.monitor.notes.info("stopped");
        self.monitor.notes.flush(FLUSH);
        fence::wait_if_ending();
        // Last: a client that asked for the end takes the end of its connection for the end of the node.
        self.server = None;
    }
}
