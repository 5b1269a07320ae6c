//! Why a node did not start, or a call on it failed: each a line that tells a person what to do.

use std::path::PathBuf;
use std::{error, fmt, io};

use uo2cb_core::{Refusal, View};
use uo2cb_fusefs::mounts::Device;

/// A failure of this library.
#[derive(Debug)]
pub enum Error {
    /// The stack refused, as the kernel would.
    Refused(Refusal),
    /// The mount point does not exist.
    NoMountPoint(PathBuf),
    /// The mount point is something else.
    NotADirectory(PathBuf),
    /// The mount point is in use for something else.
    NotEmpty(PathBuf),
    /// A node is mounted there, by this FUSE connection; of this process, where known.
    Mounted(PathBuf, Device, Option<u32>),
    /// The mount point cannot be looked at.
    MountPoint(PathBuf, io::Error),
    /// A file system on the way to it does not answer.
    Hangs(PathBuf),
    /// On the way to it is a link (by this name) that belongs to another user (of this id).
    Link(PathBuf, PathBuf, u32),
    /// It was replaced while it was being mounted on.
    Replaced(PathBuf),
    /// Two directories for the same view.
    SameView(View),
    /// The same directory for two views.
    SameMountPoint(PathBuf),
    /// There is no /dev/fuse.
    NoFuse,
    /// /dev/fuse cannot be opened.
    FuseDenied(io::Error),
    /// Ordinary users mount through fusermount3, which is not there.
    NoFusermount,
    /// `allow_other` for an ordinary user needs leave from the administrator.
    AllowOther,
    /// What a killed daemon left behind cannot be taken away.
    Stale(PathBuf, io::Error),
    /// Mounting failed for another reason.
    Mount(PathBuf, io::Error),
    /// Only root may restart the machine.
    FenceRoot,
    /// Root may not restart the machine from here, either.
    FenceMachine(io::Error),
    /// The program for a fence cannot be run.
    FenceProgram(PathBuf, io::Error),
    /// The watchdog device cannot be used, and why.
    Watchdog(PathBuf, String),
    /// The control socket cannot be made.
    Control(io::Error),
    /// A device cannot be opened.
    Device(io::Error),
    /// No thread, no memory.
    System(io::Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "{refusal}"),
            Self::NoMountPoint(dir) => write!(f, "{}: no such directory", dir.display()),
            Self::NotADirectory(dir) => write!(f, "{}: not a directory", dir.display()),
            Self::NotEmpty(dir) => {
                write!(f, "{}: the directory is not empty; choose an empty one", dir.display())
            }
            Self::Mounted(dir, _, Some(pid)) => {
                write!(
                    f,
                    "{}: uo2cb is mounted there already, by pid {pid}; end it with: uo2cb umount {0}",
                    dir.display()
                )
            }
            Self::Mounted(dir, _, None) => {
                write!(f, "{}: another user's uo2cb is mounted there already", dir.display())
            }
            Self::MountPoint(dir, error) => write!(f, "{}: {}", dir.display(), plain(error)),
            Self::Hangs(dir) => {
                write!(f, "{}: a file system on the way does not answer; end its server, or unmount it", dir.display())
            }
            Self::Link(dir, link, uid) => write!(
                f,
                "{}: the symbolic link {} belongs to uid {uid}, who may change it at any time: name the directory that \
                 it leads to",
                dir.display(),
                link.display()
            ),
            Self::Replaced(dir) => write!(
                f,
                "{}: was replaced by something else while it was being mounted on; nothing is mounted",
                dir.display()
            ),
            Self::SameView(view) => {
                write!(f, "two directories for the tree {}: a node shows each tree once", view_name(*view))
            }
            Self::SameMountPoint(dir) => {
                write!(f, "{}: named for two trees; each needs a directory of its own", dir.display())
            }
            Self::NoFuse => f.write_str(
                "no /dev/fuse: load the kernel's fuse module (modprobe fuse), or give the container the device",
            ),
            Self::FuseDenied(error) => write!(
                f,
                "/dev/fuse cannot be opened ({}): run as root, or have its mode set to 0666",
                plain(error)
            ),
            Self::NoFusermount => f.write_str(
                "no fusermount3, through which ordinary users mount: install the package fuse3, or run as root",
            ),
            Self::AllowOther => f.write_str(
                "--allow-other is for root unless /etc/fuse.conf has the line user_allow_other",
            ),
            Self::Stale(dir, error) => {
                write!(f, "{}: a dead mount that cannot be taken away: {}", dir.display(), plain(error))
            }
            Self::Mount(dir, error) => write!(f, "{}: cannot be mounted: {}", dir.display(), plain(error)),
            Self::FenceRoot => f.write_str("--fence machine is for root: it restarts the machine"),
            Self::FenceMachine(error) => {
                write!(f, "--fence machine: the machine cannot be restarted from here: {}", plain(error))
            }
            Self::FenceProgram(program, error) => {
                write!(f, "{}: cannot be run at a fence: {}", program.display(), plain(error))
            }
            Self::Watchdog(device, why) => write!(f, "{}: {why}", device.display()),
            Self::Control(error) => write!(f, "no control socket: {}", plain(error)),
            Self::Device(error) => write!(f, "the device cannot be opened: {}", plain(error)),
            Self::System(error) => write!(f, "the system refused: {}", plain(error)),
        }
    }
}

impl error::Error for Error {}

/// The system's words, without its number for them.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or(&text).trim().to_owned()
}

/// The name of a tree for people.
pub(crate) fn view_name(view: View) -> &'static str {
    match view {
        View::Config => "config",
        View::Sysfs => "sysfs",
        View::Debugfs => "debugfs",
    }
}
