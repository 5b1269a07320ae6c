//! The shell on the guest's second serial port.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::Error;
use crate::lines::Lines;

/// Starts the line that ends a command's output.
const DONE: &str = "@@done ";
/// How much of the console an error shows.
const TAIL_LINES: usize = 80;
/// For the rest of the console, when QEMU has ended.
pub(super) const REST: Duration = Duration::from_secs(5);

/// Sends commands, collects what they print.
#[derive(Debug)]
pub(super) struct Shell {
    input: ChildStdin,
    lines: Receiver<String>,
    console: Lines,
}

impl Shell {
    /// Takes over the pipes of a QEMU whose standard input and output are the serial port, and whose standard error is
    /// the console.
    pub(super) fn new(child: &mut Child) -> Result<Self, Error> {
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(console)) = pipes else {
            return Err(Error::new("qemu was started without pipes"));
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { input, lines, console: Lines::of(console) })
    }

    /// Waits until the boot has come to the shell. Nothing may be sent before: it would be lost.
    pub(super) fn wait_ready(&mut self, deadline: Duration) -> Result<(), Error> {
        self.collect("boot", deadline).map(drop)
    }

    pub(super) fn run(&mut self, command: &str, deadline: Duration) -> Result<Vec<String>, Error> {
        if let Err(error) = writeln!(self.input, "{command}\necho '{DONE}'$?") {
            return Err(self.ended(&format!("{command}: {error}")));
        }
        self.collect(command, deadline)
    }

    /// The lines up to the one that tells how `command` ended.
    fn collect(&mut self, command: &str, deadline: Duration) -> Result<Vec<String>, Error> {
        let until = Instant::now() + deadline;
        let mut printed = Vec::new();
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => match line.strip_prefix(DONE) {
                    Some("0") => return Ok(printed),
                    Some(status) => {
                        return Err(Error::new(format!(
                            "{command}: status {status}: {}",
                            printed.join("\n")
                        )));
                    }
                    None => printed.push(line),
                },
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Error::new(format!("{command}: no end after {deadline:?}\n{}", self.tail())));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended(command)),
            }
        }
    }

    pub(super) fn console(&self) -> &Lines {
        &self.console
    }

    /// The guest is gone: the console says why the kernel stopped, or QEMU why it refused to start.
    fn ended(&mut self, during: &str) -> Error {
        self.console.complete(REST);
        Error::new(format!("the guest ended during: {during}\n{}", self.tail()))
    }

    fn tail(&self) -> String {
        let console = self.console.text();
        let lines: Vec<&str> = console.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}
