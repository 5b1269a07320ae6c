//! `uo2cb demo`: a session of a cluster stack with three nodes, in a real shell, through a real mount.

mod cut;
mod disk;
pub(super) mod lifeline;
mod namespace;
mod script;
mod shell;

use std::fs::{self, DirBuilder};
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use clap::Args;
use uo2cb::{Error, mountpoint};

use self::script::Step;
use self::shell::{Ended, Shell};
use super::{Fail, say};

/// How long a step takes at least for its time to be shown.
const SLOW: Duration = Duration::from_millis(500);
/// How long clearing away may take.
const CLEAR: Duration = Duration::from_secs(5);

/// Play a whole session in a fresh folder, and leave nothing behind
///
/// Shows the shell commands that a user or a cluster stack would type, as they run through a real mount, with
/// the heartbeat events that they cause. Needs no rights where /dev/fuse may be opened: without fusermount3 it
/// goes into a user name space of its own. Exit status 0 when everything came out as it should, else 1.
#[derive(Args)]
pub(crate) struct Demo {
    /// Heartbeat on a disk instead: three daemons on one file, one of which is killed; takes half a minute
    #[arg(long)]
    disk: bool,
    /// The network is cut instead: two daemons with a disk and a switch between them, one of which must go; takes a minute
    /// and a half, and the commands ip, unshare and nsenter
    #[arg(long, conflicts_with = "disk")]
    cut: bool,
    /// Already in a name space of its own
    #[arg(long, hide = true)]
    in_namespace: bool,
}

/// The nodes, by number. Each has a daemon with a mount of this name where there are several.
const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

impl Demo {
    fn session(&self) -> Session {
        match (self.disk, self.cut) {
            (true, _) => Session::Disk,
            (_, true) => Session::Cut,
            (false, false) => Session::User,
        }
    }

    pub(crate) fn run(self) -> Result<(), Fail> {
        // Before any thread: a process with threads cannot enter a user name space.
        let session = self.session();
        if self.in_namespace {
            namespace::enter()?;
        }
        match mountpoint::may_mount(false) {
            Err(Error::NoFusermount) if !self.in_namespace => {
                say("# no fusermount3 here: this goes into a user name space of its own\n");
                return namespace::again(session.option());
            }
            other => other?,
        }
        if session == Session::Cut {
            cut::missing()?;
            // Its nodes have networks of their own, and so has what lies between them.
            if !namespace::enter_network()? {
                say("# only root may make networks: this goes into a user name space of its own\n");
                return namespace::again(session.option());
            }
        }
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))
            .map_err(|error| Fail::new(format!("no signal handler: {error}")))?;
        let stage = Stage::new()?;
        let mut played = play(&stage, session, &interrupted);
        if played.is_err() && interrupted.load(Ordering::SeqCst) {
            // The shell and what runs in it were interrupted too: whatever they did not do is no failure.
            played = Err(Played::Failed("interrupted".into()));
        }
        let cleared = stage.clear();
        match played {
            Err(Played::NotMounted(_)) if !self.in_namespace && cleared.is_ok() => {
                say("# mounting is refused here: this goes into a user name space of its own\n");
                namespace::again(session.option())
            }
            Err(Played::NotMounted(why)) => {
                Err(Fail::new(format!("demo: the tree cannot be mounted: {why}")))
            }
            Err(Played::Failed(why)) => Err(Fail::new(format!("demo: {why}"))),
            Ok(()) => {
                cleared?;
                say("\n# everything came out as it should, and nothing is left behind\n");
                Ok(())
            }
        }
    }
}

/// What is played.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Session {
    User,
    Disk,
    Cut,
}

impl Session {
    /// How it is asked for.
    fn option(self) -> Option<&'static str> {
        match self {
            Self::User => None,
            Self::Disk => Some("--disk"),
            Self::Cut => Some("--cut"),
        }
    }

    fn steps(self) -> Vec<Step> {
        match self {
            Self::User => script::steps(free_port()),
            Self::Disk => disk::steps(free_port()),
            Self::Cut => cut::steps(),
        }
    }
}

/// Why a demonstration did not get to its end.
enum Played {
    NotMounted(String),
    Failed(String),
}

fn play(stage: &Stage, session: Session, interrupted: &AtomicBool) -> Result<(), Played> {
    let mut shell = stage.shell().map_err(|error| Played::Failed(format!("no shell: {error}")))?;
    for Step { title, command, succeeds, shows, events, within } in session.steps() {
        // Whoever reads no further wants no more of it.
        let show = |text: &str| {
            if !say(text) {
                interrupted.store(true, Ordering::SeqCst);
            }
        };
        if !title.is_empty() {
            show(&format!("\n# {title}\n"));
        }
        show(&format!("$ {command}\n"));
        let mounts = command.starts_with("uo2cb mount");
        let expected = shell::Expected { succeeds, shows, events, within };
        let begin = Instant::now();
        let ran = shell.run(&command, &expected, interrupted, |line| show(&format!("{line}\n")));
        match ran {
            Ok(ran) if ran.success == succeeds => {
                if session != Session::User && begin.elapsed() > SLOW {
                    say(&format!("# after {:.1} s\n", begin.elapsed().as_secs_f64()));
                }
            }
            Ok(ran) if mounts => return Err(Played::NotMounted(ran.output.trim().to_owned())),
            Ok(ran) => {
                let was = if ran.success { "succeeded" } else { "failed" };
                return Err(Played::Failed(format!("`{command}` {was}; that should not be")));
            }
            Err(Ended::Interrupted) => return Err(Played::Failed("interrupted".into())),
            Err(Ended::Missing(what)) => {
                return Err(Played::Failed(format!("`{command}` did not show {what} as it should")));
            }
        }
    }
    Ok(())
}

/// A port that nobody listens on at this moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_or(7777, |here| here.port())
}

/// The fresh folder.
struct Stage {
    folder: PathBuf,
}

impl Stage {
    fn new() -> Result<Self, Fail> {
        let base = std::env::temp_dir();
        let pid = std::process::id();
        for attempt in 0..100 {
            let folder = base.join(format!("uo2cb-demo-{pid}-{attempt}"));
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => {
                    let folder = fs::canonicalize(&folder).unwrap_or(folder);
                    let stage = Self { folder };
                    stage
                        .furnish()
                        .map_err(|error| Fail::new(format!("{}: {error}", stage.folder.display())))?;
                    return Ok(stage);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Fail::new(format!("{}: {error}", folder.display()))),
            }
        }
        Err(Fail::new(format!("{}: no folder can be made", base.display())))
    }

    /// The command itself, under its name, for the shell's PATH.
    fn furnish(&self) -> io::Result<()> {
        fs::create_dir(self.folder.join("bin"))?;
        std::os::unix::fs::symlink(std::env::current_exe()?, self.folder.join("bin/uo2cb"))
    }

    /// A command with its control socket and log in the folder.
    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        let dirs = [self.folder.join("bin")].into_iter().chain(std::env::split_paths(&path));
        let path = std::env::join_paths(dirs).unwrap_or(path);
        lifeline::tie(command)
            .current_dir(&self.folder)
            .env("PATH", path)
            .env("UO2CB_RUNTIME_DIR", self.folder.join("run"))
            .env("LC_ALL", "C")
            .env_remove("ENV")
            .env_remove("UO2CB_MOUNT")
    }

    fn shell(&self) -> io::Result<Shell> {
        Shell::start(self.environment(&mut Command::new("/bin/sh")))
    }

    /// Ends what may still run, and removes the folder. A daemon that an interruption caught starting or ending
    /// may need a moment for that.
    fn clear(&self) -> Result<(), Fail> {
        let deadline = Instant::now() + CLEAR;
        loop {
            match self.try_clear() {
                Err(error) if Instant::now() > deadline => {
                    return Err(Fail::new(format!("{}: not removed: {error}", self.folder.display())));
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
                Ok(()) => return Ok(()),
            }
        }
    }

    fn try_clear(&self) -> io::Result<()> {
        for place in NODES.into_iter().chain(["config"]) {
            let mount = self.folder.join(place);
            if mountpoint::ours(&mount) {
                // Whether it went well is seen below.
                let _ = self
                    .environment(Command::new(std::env::current_exe()?).args([Path::new("umount"), &mount]))
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
            }
            if mountpoint::ours(&mount) {
                // Never a removal through the mount.
                mountpoint::detach(&mount)?;
            }
        }
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            // Not found is also what another has just removed.
            _ if self.folder.exists() => Err(io::ErrorKind::DirectoryNotEmpty.into()),
            _ => Ok(()),
        }
    }
}
