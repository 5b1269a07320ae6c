//! The shell on the guest's second serial port.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::Error;

/// Starts the line that ends a command's output.
const DONE: &str = "@@done ";
/// How much of the console an error shows.
const TAIL_LINES: usize = 80;

/// Sends commands, collects what they print.
#[derive(Debug)]
pub(super) struct Shell {
    input: ChildStdin,
    lines: Receiver<String>,
    stderr: Option<ChildStderr>,
    console: PathBuf,
}

impl Shell {
    /// Takes over the pipes of a QEMU whose standard input and output are the serial port.
    pub(super) fn new(child: &mut Child, console: PathBuf) -> Result<Self, Error> {
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
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
        Ok(Self { input, lines, stderr: child.stderr.take(), console })
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

    pub(super) fn console(&self) -> String {
        fs::read(&self.console).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// The guest is gone: QEMU's own words say why it refused to start, the console why the kernel stopped.
    fn ended(&mut self, during: &str) -> Error {
        let mut words = String::new();
        if let Some(stderr) = self.stderr.as_mut() {
            // Without words the console has to do.
            let _ = stderr.read_to_string(&mut words);
        }
        Error::new(format!("the guest ended during: {during}\n{words}{}", self.tail()))
    }

    fn tail(&self) -> String {
        let console = self.console();
        let lines: Vec<&str> = console.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}
