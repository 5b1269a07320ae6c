//! Programs: those that the host must have, and those that go into the guest.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::guest::Error;

/// The folder where cargo builds, found from the running program.
///
/// # Errors
/// The program runs from elsewhere and `CARGO_TARGET_DIR` is not set.
pub fn target_dir() -> Result<PathBuf, Error> {
    if let Some(folder) = std::env::var_os("CARGO_TARGET_DIR") {
        return Ok(folder.into());
    }
    let program = std::env::current_exe()?;
    let folder = program.ancestors().find(|folder| folder.join(".rustc_info.json").is_file());
    folder.map(Path::to_path_buf).ok_or_else(|| Error::new("no cargo target folder: set CARGO_TARGET_DIR"))
}

/// The triple for which programs of guests are built: naming it keeps their flags away from build scripts.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// The probe as a program that needs no library, so that it runs in a guest. Built if it is missing or old.
///
/// # Errors
/// The build failed.
pub fn probe() -> Result<PathBuf, Error> {
    without_libraries("uo2cb-tests", "probe")
}

/// The daemon as such a program.
///
/// # Errors
/// The build failed.
pub fn uo2cb_for_guests() -> Result<PathBuf, Error> {
    without_libraries("uo2cb", "uo2cb")
}

fn without_libraries(package: &str, program: &str) -> Result<PathBuf, Error> {
    let mut cargo = cargo(package, program)?;
    cargo.args(["--release", "--target", TRIPLE]).env("RUSTFLAGS", "-C target-feature=+crt-static");
    // Nobody measures it: it need not be linked for minutes.
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    // It goes into a guest's memory.
    cargo.env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
    output(&mut cargo)?;
    Ok(target_dir()?.join(TRIPLE).join("release").join(program))
}

/// The daemon, built if it is missing or old; the variable `UO2CB` names another one.
///
/// # Errors
/// The build failed.
pub fn uo2cb() -> Result<PathBuf, Error> {
    if let Some(path) = std::env::var_os("UO2CB") {
        return Ok(path.into());
    }
    build("uo2cb", "uo2cb")?;
    Ok(target_dir()?.join("debug/uo2cb"))
}

/// The daemon as users have it, for what measures it; the variable `UO2CB` names another one.
///
/// # Errors
/// The build failed.
pub fn release_uo2cb() -> Result<PathBuf, Error> {
    if let Some(path) = std::env::var_os("UO2CB") {
        return Ok(path.into());
    }
    output(cargo("uo2cb", "uo2cb")?.arg("--release"))?;
    Ok(target_dir()?.join("release/uo2cb"))
}

/// Makes an image the disk of a cluster. Writes every byte, without which QEMU would write more than a guest's own slot.
///
/// # Errors
/// The command fails.
pub fn format_disk(uo2cb: &Path, image: &Path) -> Result<(), Error> {
    output(Command::new(uo2cb).arg("format").arg(image)).map(drop)
}

/// Builds another program of this workspace.
pub(crate) fn build(package: &str, program: &str) -> Result<(), Error> {
    output(&mut cargo(package, program)?).map(drop)
}

fn cargo(package: &str, program: &str) -> Result<Command, Error> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", package, "--bin", program]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", target_dir()?);
    Ok(cargo)
}

/// A busybox linked statically: the guest has no libraries.
pub(crate) fn busybox() -> Result<Vec<u8>, Error> {
    let places = ["/bin/busybox", "/usr/bin/busybox", "/usr/bin/busybox.static"];
    let found =
        places.iter().find_map(|place| std::fs::read(place).ok().filter(|program| is_static(program)));
    found.ok_or_else(|| Error::new("no static busybox (package busybox-static)"))
}

/// A program that wants a dynamic loader names it.
fn is_static(program: &[u8]) -> bool {
    !program.windows(9).any(|window| window == b"/ld-linux")
}

/// Makes the program get `signal` when this one ends, even when it is killed; more exactly, when the thread ends that
/// started the program.
pub fn ends_with_us(command: &mut Command, signal: Signal) {
    let tell = move || Ok(set_parent_process_death_signal(Some(signal))?);
    // SAFETY: between fork and exec this makes one system call, and touches no memory but its own.
    unsafe { command.pre_exec(tell) };
}

/// What a program prints; its failure is an error that names it.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Error::new(format!("cannot run {name}: {error}")))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!("{name}: {}: {}", output.status, words.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
