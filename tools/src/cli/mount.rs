//! `uo2cb mount`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};
use uo2cb::core::View;
use uo2cb::core::heartbeat::{mainline_methods, methods};
use uo2cb::{Builder, Faults, FenceAction, LogFormat, LogTarget, Node, Stopper, control, mountpoint};

use super::{Fail, background, demo};

/// Start a node and mount its trees
///
/// Returns when the tree is usable; the node goes on in the background until `uo2cb umount DIR`, a SIGTERM,
/// or an umount from outside. As an ordinary user this needs fusermount3 (package fuse3).
#[derive(Args)]
#[command(after_help = "\
Examples:
  uo2cb mount /tmp/o2cb --heartbeat-mode user
  uo2cb mount /tmp/o2cb --fault hang=write@30s..
  uo2cb mount /tmp/o2cb --fence exec /usr/local/sbin/fenced
  uo2cb mount /tmp/o2cb --foreground --log-format json 2> log
  sudo uo2cb mount /sys/kernel/config --allow-other")]
pub(crate) struct Mount {
    /// Empty directory for the tree of /sys/kernel/config
    #[arg(value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    /// Also mount what o2cb has in /sys, on another empty directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    sysfs: Option<PathBuf>,
    /// Also mount what o2cb has in /sys/kernel/debug, on another empty directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    debugfs: Option<PathBuf>,
    /// Show exactly what kernel 6.1 shows: no choice of heartbeat methods
    #[arg(long)]
    mainline: bool,
    /// Stay in the foreground
    #[arg(long)]
    foreground: bool,
    /// Let other users in; as an ordinary user only with user_allow_other in /etc/fuse.conf
    #[arg(long)]
    allow_other: bool,
    /// Heartbeat method to start with, as if written to cluster/heartbeat_mode
    #[arg(long, value_name = "METHOD", default_value = "disk", value_parser = heartbeat_mode, long_help = mode_help())]
    heartbeat_mode: &'static str,
    /// Take block devices only for disks, as the kernel does, and no regular files
    #[arg(long)]
    strict: bool,
    /// Let every disk suffer from faults, to see what becomes of it
    #[arg(long, value_name = "SPEC", long_help = fault_help())]
    fault: Option<Faults>,
    /// What a fence does beside ending the daemon
    #[arg(long, value_name = "ACTION", default_value = "exit", long_help = FENCE_HELP)]
    fence: FenceAction,
    /// Where the log goes: a file, or - for standard output (in the foreground only); otherwise a file beside
    /// the control socket, in the foreground standard error
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// What the log looks like: lines of text, or JSON objects, one a line
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    log_format: Format,
    /// Report on standard output and leave the terminal
    #[arg(long, hide = true, value_name = "SEEN")]
    report: Option<String>,
    /// For tests: fail at this place inside
    #[arg(long, value_name = "PLACE", hide = true)]
    panic_at: Option<String>,
}

const FENCE_HELP: &str = "\
What a fence does beside ending the daemon with status 86

  exit              nothing else
  exec PROGRAM      also starts PROGRAM, which is looked for when the
                    daemon starts, and does not wait for it; variables
                    that begin with UO2CB_FENCE_ (CLUSTER, NODE,
                    NODE_NUM, METHOD, REASON) tell it about the fence
  watchdog DEVICE   a watchdog restarts the machine, also when the
                    daemon is killed, stopped or hung; armed while a
                    region of disk heartbeat is steady
  machine           restarts the machine or has its kernel panic, as
                    fence_method says; for root, and only while the
                    local node is up in a region";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// A node that runs, where its log is, and the log again, for what the process itself may have to say.
struct Started {
    node: Node,
    log: Option<PathBuf>,
    file: Option<File>,
}

impl Mount {
    pub(crate) fn run(self) -> Result<(), Fail> {
        let mainline = mainline_methods().iter().any(|method| method.name() == self.heartbeat_mode);
        if self.mainline && !mainline {
            return Err(Fail::usage(format!(
                "--mainline has no heartbeat mode {}: kernel 6.1 has none",
                self.heartbeat_mode
            )));
        }
        if !self.foreground && self.log.as_deref() == Some(Path::new("-")) {
            return Err(Fail::usage("--log - needs --foreground: a daemon has no standard output"));
        }
        if self.report.is_some() || self.foreground {
            uo2cb::dedicate_process();
        }
        if self.report.is_some() {
            return background::child(|| self.start(), |started| run(started.node));
        }
        if !self.foreground {
            // Told at once, whatever else a daemon might miss here.
            let dirs = [Some(&self.dir), self.sysfs.as_ref(), self.debugfs.as_ref()].into_iter().flatten();
            let seen = dirs.map(|dir| mountpoint::identity(dir)).collect::<Result<Vec<_>, _>>()?;
            mountpoint::may_mount(self.allow_other)?;
            return background::start(&seen.join(","));
        }
        let started = self.start()?;
        run(started.node)
    }

    fn start(&self) -> Result<background::Ready<Node>, Fail> {
        if let Some(place) = &self.panic_at {
            uo2cb::panic_at(place);
        }
        handle_signals()?;
        let socket =
            control::new_socket().map_err(|error| Fail::new(format!("no control socket: {error}")))?;
        let dir = mountpoint::canonical(&self.dir)?;
        let started = self.begin(&socket)?;
        let mut text = format!("mounted on {}, pid {}\n", dir.display(), std::process::id());
        if let Some(log) = &started.log {
            text += &format!("log in {}\n", log.display());
        }
        Ok(background::Ready { node: started.node, text, log: started.file })
    }

    fn begin(&self, socket: &Path) -> Result<Started, Fail> {
        let format = match self.log_format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        };
        let path = match &self.log {
            Some(path) if path == Path::new("-") => None,
            Some(path) => Some(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
            None if self.foreground => None,
            None => Some(socket.with_extension("log")),
        };
        let mut file = None;
        let target = match (&path, &self.log) {
            (Some(path), _) => {
                let opened = open_log(path)?;
                file = opened.try_clone().ok();
                LogTarget::File(opened)
            }
            (None, Some(_)) => LogTarget::Stdout,
            (None, None) => LogTarget::Stderr,
        };
        let builder = self.builder(socket).log(target, format);
        let _ = STOPPER.set(builder.stopper());
        let node = builder.start().inspect_err(|_| {
            // A log that nobody asked for, of a node that never was.
            if let (Some(path), None) = (&path, &self.log) {
                let _ = std::fs::remove_file(path);
            }
        })?;
        Ok(Started { node, log: path, file })
    }

    fn builder(&self, socket: &Path) -> Builder {
        let mut builder = Node::builder().control(socket).allow_other(self.allow_other).mount(&self.dir);
        builder = builder.strict(self.strict).fence(self.fence.clone());
        if let Some(seen) = &self.report {
            builder = builder.seen(seen.split(',').map(str::to_owned).collect());
        }
        if let Some(faults) = &self.fault {
            builder = builder.faults(faults.clone());
        }
        if self.mainline {
            builder = builder.mainline();
        }
        if !self.mainline {
            builder = builder.heartbeat_mode(self.heartbeat_mode);
        }
        for (view, dir) in [(View::Sysfs, &self.sysfs), (View::Debugfs, &self.debugfs)] {
            if let Some(dir) = dir {
                builder = builder.mount_view(view, dir);
            }
        }
        builder
    }
}

/// The name of any registered method.
fn heartbeat_mode(name: &str) -> Result<&'static str, String> {
    let methods = methods();
    let mut names = methods.iter().map(|method| method.name());
    names.find(|known| *known == name).ok_or_else(|| format!("the methods are {}", mode_names()))
}

fn mode_names() -> String {
    methods().iter().map(|method| method.name()).collect::<Vec<_>>().join(", ")
}

fn mode_help() -> String {
    format!(
        "Heartbeat method to start with, as if written to cluster/heartbeat_mode: {}\n\n\
         disk: blocks on a shared disk say who is alive; user: a cluster stack says by symlinks who is in the group",
        mode_names()
    )
}

fn fault_help() -> String {
    format!("Let every disk suffer from faults, to see what becomes of it\n\n{}", Faults::HELP)
}

fn open_log(path: &Path) -> Result<File, Fail> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        // A pipe that nobody reads is not waited for.
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .and_then(|file| {
            rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::APPEND)?;
            Ok(file)
        })
        .map_err(|error| Fail::new(format!("log {}: {error}", path.display())))
}

static STOPPER: OnceLock<Stopper> = OnceLock::new();
static ASKED: AtomicBool = AtomicBool::new(false);

const SIGNAL: &str = "a signal";
/// How long taking the mounts away may take after a second signal.
const HURRY: Duration = Duration::from_secs(5);

fn handle_signals() -> Result<(), Fail> {
    ctrlc::set_handler(|| {
        // The second time somebody is in a hurry.
        if ASKED.swap(true, Ordering::SeqCst) {
            leave();
        }
        if let Some(stopper) = STOPPER.get() {
            stopper.stop(SIGNAL);
        }
    })
    .map_err(|error| Fail::new(format!("no signal handler: {error}")))
}

/// Ends this process now. Its mounts must not stay: nobody could enter or remove them.
fn leave() -> ! {
    if let Some(stopper) = STOPPER.get() {
        stopper.detach(HURRY);
    }
    std::process::exit(1)
}

/// Runs a node until somebody asks it to end.
fn run(node: Node) -> Result<(), Fail> {
    // A signal that came before there was anything to stop.
    if ASKED.load(Ordering::SeqCst) {
        node.stopper().stop(SIGNAL);
    }
    demo::lifeline::watch(&node.stopper())?;
    node.finish();
    Ok(())
}
