//! A shell that is fed one command at a time. What it and its background jobs write comes through one pipe, so
//! the order on the screen is the order in which it was written.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};

/// Begins the line that tells the exit status of a command: ASCII's record separator.
const MARK: char = '\u{1e}';
/// How often an interruption is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// A running shell. Dropping it kills it.
pub(super) struct Shell {
    child: Child,
    lines: Receiver<String>,
}

/// What a command must show.
pub(super) struct Expected {
    /// Exit status 0?
    pub(super) succeeds: bool,
    /// Each of these somewhere in its output (or in that of jobs in the background).
    pub(super) shows: Vec<&'static str>,
    /// So many lines about events.
    pub(super) events: usize,
    /// In this time.
    pub(super) within: Duration,
}

/// How a command went.
pub(super) struct Ran {
    pub(super) success: bool,
    pub(super) output: String,
}

/// Why it did not.
pub(super) enum Ended {
    Interrupted,
    Missing(String),
}

impl Shell {
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (send, lines) = unbounded();
        if let Some(out) = child.stdout.take() {
            thread::Builder::new().name("shell".into()).spawn(move || {
                for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
                    if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                        return;
                    }
                }
            })?;
        }
        let mut shell = Self { child, lines };
        shell.feed("exec 2>&1")?;
        Ok(shell)
    }

    fn feed(&mut self, line: &str) -> io::Result<()> {
        let stdin = self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(stdin, "{line}")
    }

    /// Runs a command, and waits until it has ended and all that is expected has been seen.
    pub(super) fn run(
        &mut self,
        command: &str,
        expected: &Expected,
        interrupted: &AtomicBool,
        mut show: impl FnMut(&str),
    ) -> Result<Ran, Ended> {
        let fed = self.feed(command).and_then(|()| self.feed(r#"printf '\036%d\n' $?"#));
        fed.map_err(|_| Ended::Missing("a living shell".into()))?;
        let deadline = Instant::now() + expected.within;
        let mut success = None;
        let mut output = String::new();
        let mut events = 0;
        loop {
            let missing = expected.shows.iter().find(|text| !output.contains(**text));
            let complete = missing.is_none() && events >= expected.events;
            if let Some(success) = success.filter(|success| complete || *success != expected.succeeds) {
                if complete && events != expected.events {
                    return Err(Ended::Missing(format!("{} events (but {events})", expected.events)));
                }
                return Ok(Ran { success, output });
            }
            if interrupted.load(Ordering::SeqCst) {
                return Err(Ended::Interrupted);
            }
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => match line.strip_prefix(MARK) {
                    Some(status) => success = Some(status == "0"),
                    None => {
                        show(&line);
                        events += usize::from(is_event(&line));
                        output.push_str(&line);
                        output.push('\n');
                    }
                },
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(_) => {
                    let events = || format!("{} events", expected.events);
                    return Err(Ended::Missing(missing.map_or_else(events, |text| format!("`{text}`"))));
                }
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_event(line: &str) -> bool {
    line.contains(", linked by pid") || line.contains(", unlinked by pid")
}
