//! The command as an ordinary user, which only root can become.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use super::{World, not_run};

/// Whether an ordinary user could mount here; says so where not.
pub fn nobody_can_mount(what: &str) -> bool {
    let mode = fs::metadata("/dev/fuse").map_or(0, |fuse| fuse.permissions().mode());
    let missing = match () {
        () if !rustix::process::geteuid().is_root() => "becoming that user needs root",
        () if mode & 0o006 != 0o006 => "/dev/fuse is not open to everybody",
        () if Command::new("fusermount3").arg("-V").output().is_err() => "there is no fusermount3",
        () => return true,
    };
    not_run(&format!("{what} as an ordinary user: {missing}"));
    false
}

impl World {
    /// A world that belongs to nobody, with a copy of the command in it.
    pub fn of_nobody() -> Self {
        let world = Self::new();
        let folder = world.folder.path();
        // By another process: a copy of ours, still open in a child of another test, would be "text file busy".
        let copied = Command::new("cp").arg(super::program()).arg(folder.join("uo2cb")).status();
        assert!(copied.unwrap().success());
        fs::set_permissions(folder.join("uo2cb"), Permissions::from_mode(0o755)).unwrap();
        for path in [folder, &world.mount] {
            chown(path, Some(65534), Some(65534)).unwrap();
        }
        world
    }

    /// The command as nobody.
    pub fn nobody(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(self.folder.path().join("uo2cb")).args(arguments);
        command.env("UO2CB_RUNTIME_DIR", self.run_dir()).env_remove("UO2CB_MOUNT").env("LC_ALL", "C");
        command.current_dir(self.folder.path()).stdin(std::process::Stdio::null());
        command
    }
}

/// What is mounted below a folder.
pub fn mounts_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let folder = fs::canonicalize(folder).unwrap();
    let mounts = uo2cb::mountpoint::Tree::all();
    mounts.into_iter().map(|(point, _)| point).filter(|point| point.starts_with(&folder)).collect()
}
