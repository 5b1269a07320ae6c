//! A daemon in the background: this program again, which reports when it is ready, and leaves the terminal.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use serde_json::{Value, json};

use super::{Fail, arguments, say, text};

/// How long a daemon may take to be ready. What it does until then has limits of its own, which are shorter.
const READY: Duration = Duration::from_secs(60);

/// What runs once the daemon is ready, and what there is to say of it.
pub(super) struct Ready<T> {
    pub(super) node: T,
    /// For the user who started it.
    pub(super) text: String,
    /// Takes the place of standard error.
    pub(super) log: Option<File>,
}

/// Starts this program again with `--report SEEN` and waits for its report. `seen` tells it which directories it is to
/// mount on, whatever their names lead to by then.
pub(super) fn start(seen: &str) -> Result<(), Fail> {
    let failed = |error: std::io::Error| Fail::new(format!("no daemon could be started: {error}"));
    let mut arguments = arguments();
    let subcommand = arguments.next().unwrap_or_default();
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .arg(subcommand)
        .args(["--report", seen])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let Some(line) = child.stdout.take().and_then(|out| first_line(out, Instant::now() + READY)) else {
        let pid = child.id();
        return Err(Fail::new(format!(
            "the daemon, pid {pid}, is not ready after {} s; `kill -KILL {pid}` ends it",
            READY.as_secs()
        )));
    };
    // Nothing is the report of a daemon that ended, below.
    let report: Value = serde_json::from_slice(&line).unwrap_or_default();
    if report.get("ready").is_some() {
        say(text(&report, "ready"));
        return Ok(());
    }
    let status = child.wait().map_err(failed)?;
    if report.get("error").is_some() {
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        return Err(Fail { code, message: text(&report, "error").to_owned() });
    }
    let how = match status.signal() {
        Some(signal) => format!("killed by signal {signal}"),
        None => status.to_string(),
    };
    Err(Fail::new(format!("the daemon ended before it was ready ({how})")))
}

/// What comes until the end of a line, or of all. None when that takes too long.
fn first_line(mut out: ChildStdout, deadline: Instant) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    while !line.contains(&b'\n') {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = Timespec::try_from(left).ok();
        let mut fds = [PollFd::new(&out, PollFlags::IN)];
        if poll(&mut fds, limit.as_ref()) == Ok(0) {
            return None;
        }
        if fds[0].revents().is_empty() {
            continue;
        }
        match out.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => line.extend_from_slice(&buffer[..count]),
        }
    }
    Some(line)
}

/// Body of the program started so: a session of its own, the report, and then nothing of the caller's any more.
pub(super) fn child<T>(
    start: impl FnOnce() -> Result<Ready<T>, Fail>,
    run: impl FnOnce(Ready<T>) -> Result<(), Fail>,
) -> Result<(), Fail> {
    close_inherited();
    // Fails only where it has been done already.
    let _ = rustix::process::setsid();
    let ready = match start() {
        Ok(ready) => ready,
        Err(fail) => {
            if !say(&format!("{}\n", json!({"error": fail.message}))) {
                return Err(fail);
            }
            std::process::exit(fail.code.into());
        }
    };
    // A log of the caller's directory must not keep that file system busy.
    let _ = std::env::set_current_dir("/");
    let told = say(&format!("{}\n", json!({"ready": ready.text})));
    let null = OpenOptions::new().write(true).open("/dev/null");
    let null = null.map_err(|error| Fail::new(format!("/dev/null: {error}")))?;
    let left = rustix::stdio::dup2_stdout(&null)
        .and_then(|()| rustix::stdio::dup2_stderr(ready.log.as_ref().unwrap_or(&null)));
    match left {
        // Whoever wanted the mount is gone: it would be nobody's.
        Ok(()) if !told => Err(Fail::new("nobody waits for this daemon any more")),
        Ok(()) => run(ready),
        Err(errno) => Err(Fail::new(format!("standard output: {errno}"))),
    }
}

/// Descriptors above standard error are the caller's: kept, they would keep its pipes open.
fn close_inherited() {
    // SAFETY: the very first thing this process does: no descriptor above 2 is anybody's here yet.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, 0 as libc::c_uint);
    }
}
