//! Loop devices that go by themselves.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::guest::Error;
use crate::program;

/// A loop device on a file. It goes with its last user, even when this program is killed.
#[derive(Debug)]
pub struct Loop {
    path: PathBuf,
    _held: File,
}

impl Loop {
    /// A new one on `file`, with sectors of that many bytes.
    ///
    /// # Errors
    /// The machine gives none (no root, no /dev/loop-control, a container, all in use).
    pub fn new(file: &Path, sector_bytes: u32, read_only: bool) -> Result<Self, Error> {
        let mut losetup = Command::new("losetup");
        losetup.args(["--find", "--show", "--sector-size", &sector_bytes.to_string()]);
        if read_only {
            losetup.arg("--read-only");
        }
        let path = PathBuf::from(program::output(losetup.arg(file))?.trim_end());
        let held = File::open(&path);
        // It is in use: so this only marks it, and it goes with the last descriptor.
        program::output(Command::new("losetup").arg("--detach").arg(&path))?;
        let device = Self { path, _held: held? };
        if !read_only {
            // What somebody before has set outlives the device.
            device.set_writable();
        }
        Ok(device)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn set_writable(&self) {
        // Where this fails, the writes will tell.
        let _ = program::output(Command::new("blockdev").arg("--setrw").arg(&self.path));
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.set_writable();
    }
}
