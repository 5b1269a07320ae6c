//! Whether /proc can be believed.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, getpid, test_kill_process};

/// `f_type` of /proc.
pub(super) const PROC: u64 = 0x9fa0;

/// Does /proc show the PID name space of this process? Where it shows another (after `unshare --pid` without
/// `--mount-proc`), the numbers of callers are in there those of strangers.
#[must_use]
pub fn proc_is_own() -> bool {
    rustix::fs::openat(CWD, "/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).is_ok_and(is_own)
}

/// The same of a given /proc.
pub(super) fn is_own(proc: impl AsFd) -> bool {
    let is_proc = rustix::fs::fstatfs(&proc).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(PROC));
    let Ok(status) = read(proc, "self/status") else { return false };
    // From the name space of that /proc inwards, the number in each: one means that it is that of this process.
    let numbers = field(&status, "NSpid:").or_else(|| field(&status, "Pid:")).unwrap_or_default();
    is_proc && numbers.trim() == getpid().as_raw_nonzero().to_string()
}

/// Is there no such thread? What /proc does not show may merely be hidden.
pub(super) fn is_gone(thread: u32) -> bool {
    let thread = i32::try_from(thread).ok().and_then(Pid::from_raw);
    thread.is_none_or(|thread| test_kill_process(thread) == Err(Errno::SRCH))
}

/// A file of /proc.
pub(super) fn read(proc: impl AsFd, path: &str) -> rustix::io::Result<String> {
    let fd = rustix::fs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    File::from(fd)
        .read_to_end(&mut text)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What follows `name` in the lines of a file of /proc.
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}
