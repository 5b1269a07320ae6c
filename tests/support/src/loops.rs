//! Loop devices for tests.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A loop device on a file. It goes with its last user, even when this program is killed.
#[derive(Debug)]
pub struct Loop {
    path: PathBuf,
    _held: File,
}

impl Loop {
    /// A new one on `file`, with sectors of that many bytes. `options`: further ones of losetup, as `--read-only`.
    ///
    /// # Errors
    /// The machine gives none (no root, no /dev/loop-control, a container, all in use).
    pub fn new(file: &Path, sector_bytes: u32, options: &[&str]) -> io::Result<Self> {
        let mut losetup = Command::new("losetup");
        losetup.args(["--find", "--show", "--sector-size", &sector_bytes.to_string()]).args(options);
        let path = PathBuf::from(output(losetup.arg(file))?.trim_end());
        let held = File::open(&path);
        // It is in use: so this only marks it, and it goes with the last descriptor.
        output(Command::new("losetup").arg("--detach").arg(&path))?;
        let device = Self { path, _held: held? };
        if !options.contains(&"--read-only") {
            // What an earlier user has set outlives the device.
            device.set_writable();
        }
        Ok(device)
    }

    /// Its path below /dev.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn set_writable(&self) {
        // Where this fails, the writes will tell.
        let _ = output(Command::new("blockdev").arg("--setrw").arg(&self.path));
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.set_writable();
    }
}

fn output(command: &mut Command) -> io::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output =
        output.map_err(|error| io::Error::new(error.kind(), format!("cannot run {name}: {error}")))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{name}: {}: {}", output.status, words.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
