//! A real kernel under QEMU, with a shell to run commands in it.
//!
//! The guest boots an unpacked kernel package and an initramfs made on the spot. Its first serial port is the
//! console, whose lines are kept with their times; the second carries a shell: [`Guest::run`] sends one command and returns what it printed.
//! Software emulation only, so it works for any user; dropping the guest ends it.

mod initramfs;
mod kernel;
pub mod qmp;
mod shell;

use std::fmt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::lines::Line;
use crate::program;
use initramfs::Initramfs;
use kernel::Kernel;
use shell::{REST, Shell};

/// Where the kernel's tree is mounted in the guest.
pub const TREE: &str = "/sys/kernel/config";
/// Where the kernel shows its inside in the guest.
pub const DEBUGFS: &str = "/sys/kernel/debug";

/// Whether guests can be booted here. Fetches their kernel.
///
/// # Errors
/// What is missing, and in which package it is.
pub fn can_boot() -> Result<(), Error> {
    let qemu = Command::new("qemu-system-x86_64").arg("-version").stdout(Stdio::null()).status();
    qemu.map_err(|error| Error::new(format!("no qemu-system-x86_64 (package qemu-system-x86): {error}")))?;
    program::busybox()?;
    Kernel::get().map(drop)
}

/// Two boots at a time: they take all of a processor each, and have a deadline. What comes after mostly waits.
static BOOTING: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// What went wrong with a guest, in words.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<String> for Error {
    fn from(what: String) -> Self {
        Self(what)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// What a guest is to have.
#[derive(Debug, Default)]
pub struct Builder {
    modules: Vec<String>,
    files: Vec<(String, u32, Vec<u8>)>,
    disks: Vec<(PathBuf, String, String)>,
    setup: Vec<String>,
    arguments: Vec<String>,
}

impl Builder {
    /// A kernel module to load, after those that it needs.
    #[must_use]
    pub fn module(mut self, name: &str) -> Self {
        self.modules.push(name.to_owned());
        self
    }

    /// A file to put at `path` (relative to the root) with these permissions.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, content: Vec<u8>) -> Self {
        self.files.push((path.to_owned(), mode, content));
        self
    }

    /// A raw image as the next virtio disk (`/dev/vda` first), read and written directly and without locking, since
    /// others may use it at the same time.
    #[must_use]
    pub fn disk(self, image: impl Into<PathBuf>) -> Self {
        self.disk_with(image, "", "")
    }

    /// The same with properties of QEMU's `-drive` and `virtio-blk-pci`, each after a comma.
    #[must_use]
    pub fn disk_with(mut self, image: impl Into<PathBuf>, drive: &str, device: &str) -> Self {
        self.disks.push((image.into(), drive.to_owned(), device.to_owned()));
        self
    }

    /// A shell command for the boot, after the modules are loaded and the tree is mounted.
    #[must_use]
    pub fn setup(mut self, command: &str) -> Self {
        self.setup.push(command.to_owned());
        self
    }

    /// A further argument for QEMU.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Boots the guest and waits until its shell answers. Its turn to boot is waited for before that. It ends with
    /// this thread.
    ///
    /// # Errors
    /// A missing tool or package, or a guest that does not come up before the deadline.
    pub fn boot(self, deadline: Duration) -> Result<Guest, Error> {
        let kernel = Kernel::get()?;
        let _turn = BOOTING[NEXT.fetch_add(1, Ordering::Relaxed) % BOOTING.len()].lock();
        let folder = tempfile::tempdir()?;
        let initrd = folder.path().join("initrd");
        std::fs::write(&initrd, self.initramfs(&kernel)?)?;
        let mut child = self.qemu(&kernel, &initrd).spawn().map_err(|error| {
            Error::new(format!("cannot start qemu-system-x86_64 (package qemu-system-x86): {error}"))
        })?;
        let shell = Shell::new(&mut child)?;
        let mut guest = Guest { child, shell, _folder: folder };
        guest.shell.wait_ready(deadline)?;
        Ok(guest)
    }

    fn initramfs(&self, kernel: &Kernel) -> Result<Vec<u8>, Error> {
        let mut image = Initramfs::new();
        image.file("bin/busybox", 0o755, &program::busybox()?);
        let mut modules = self.modules.clone();
        if !self.disks.is_empty() {
            modules.splice(0..0, ["virtio_pci".to_owned(), "virtio_blk".to_owned()]);
        }
        let mut order = String::new();
        for (name, content) in kernel.modules(&modules)? {
            image.file(&format!("modules/{name}.ko"), 0o644, &content);
            order.push_str(&format!("{name}\n"));
        }
        image.file("modules/order", 0o644, order.as_bytes());
        for (path, mode, content) in &self.files {
            image.file(path, *mode, content);
        }
        image.file("setup", 0o644, self.setup.join("\n").as_bytes());
        image.file("init", 0o755, include_bytes!("init.sh"));
        Ok(image.finish())
    }

    fn qemu(&self, kernel: &Kernel, initrd: &std::path::Path) -> Command {
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args([
            "-accel",
            "tcg",
            "-m",
            "256M",
            "-smp",
            "1",
            "-nodefaults",
            "-no-reboot",
            "-display",
            "none",
        ]);
        qemu.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(initrd);
        // On a loaded machine the emulated timer is too late for the kernel's test of it, and the boot would end.
        qemu.args(["-append", "console=ttyS0 panic=-1 quiet no_timer_check"]);
        // Its standard error, a pipe: each line is here as soon as it is printed, and QEMU's own words are among them.
        qemu.args(["-serial", "file:/proc/self/fd/2"]);
        qemu.args(["-chardev", "stdio,id=shell,signal=off", "-serial", "chardev:shell"]);
        for (at, (disk, drive, device)) in self.disks.iter().enumerate() {
            let options = "format=raw,if=none,cache=none,file.locking=off";
            qemu.arg("-drive").arg(format!("file={},id=disk{at},{options}{drive}", disk.display()));
            qemu.arg("-device").arg(format!("virtio-blk-pci,drive=disk{at}{device}"));
        }
        qemu.args(&self.arguments);
        program::ends_with_us(&mut qemu, Signal::KILL);
        qemu.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        qemu
    }
}

/// A running guest.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    shell: Shell,
    _folder: TempDir,
}

impl Guest {
    /// A guest with nothing but a busybox.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs one shell command and returns the lines that it printed.
    ///
    /// # Errors
    /// The command failed, the guest died, or the deadline passed; with the end of the guest's console.
    pub fn run(&mut self, command: &str, deadline: Duration) -> Result<Vec<String>, Error> {
        self.shell.run(command, deadline)
    }

    /// What the kernel has printed on its console so far.
    pub fn console(&self) -> Vec<Line> {
        self.shell.console().so_far()
    }

    /// How QEMU ended, if it has: when the kernel has restarted, with success. The console is complete then.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        let ended = self.child.try_wait()?;
        if ended.is_some() {
            self.shell.console().complete(REST);
        }
        Ok(ended)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only for a process that has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests;
