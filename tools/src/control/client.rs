//! The other end: a program that asks a node. It never waits without end for one that does not answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{error, fmt, fs, io};

use rustix::net::sockopt::socket_peercred;
use serde_json::{Value, json};

use super::socket::reach;

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a node that has said that it stops may take for it: its disks and its clients have some seconds each.
const END: Duration = Duration::from_secs(15);

/// A connection to a node.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    lines: BufReader<Timed>,
    pid: Option<u32>,
    limit: Option<Duration>,
}

/// Reads until a moment, not for so long with each byte.
#[derive(Debug)]
struct Timed {
    stream: UnixStream,
    deadline: Option<Instant>,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.stream.set_read_timeout(left)?;
        self.stream.read(buffer)
    }
}

/// Why a node could not be asked.
#[derive(Debug)]
pub enum Failure {
    /// None, or more than one, fits.
    Choice(String),
    /// It refused: message and errno.
    Refused(String, Option<String>),
    /// It does not answer.
    Silent {
        /// Its process, where known.
        pid: Option<u32>,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The connection failed.
    Connection(io::Error),
    /// It ended the connection.
    Closed,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Choice(message) => f.write_str(message),
            Self::Refused(message, Some(errno)) => write!(f, "{message} ({errno})"),
            Self::Refused(message, None) => f.write_str(message),
            Self::Silent { pid: None, waited } => {
                write!(f, "the daemon does not answer (waited {} s)", waited.as_secs())
            }
            Self::Silent { pid: Some(pid), waited } => {
                write!(f, "the daemon, pid {pid}, does not answer (waited {} s)", waited.as_secs())?;
                if is_stopped(*pid) {
                    write!(f, ": it is stopped, `kill -CONT {pid}` lets it go on")?;
                }
                write!(f, "; `kill -KILL {pid}` and then `uo2cb umount DIR` end it and its mounts")
            }
            Self::Connection(error) => write!(f, "the daemon cannot be reached: {error}"),
            Self::Closed => f.write_str("the daemon ended the connection"),
        }
    }
}

impl error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

/// Stopped by a signal or a debugger.
fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before may have brackets of its own.
    stat.rsplit(')').next().is_some_and(|rest| matches!(rest.trim_start().bytes().next(), Some(b'T' | b't')))
}

impl Client {
    /// Connects. Nothing is removed, whatever is at the path.
    pub fn connect(socket: &Path) -> Result<Self, Failure> {
        let stream = match reach(socket, ANSWER) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(Failure::Silent { pid: None, waited: ANSWER });
            }
            other => other?,
        };
        stream.set_write_timeout(Some(ANSWER))?;
        let pid =
            socket_peercred(&stream).ok().and_then(|peer| peer.pid.as_raw_nonzero().get().try_into().ok());
        let lines = BufReader::new(Timed { stream: stream.try_clone()?, deadline: None });
        Ok(Self { stream, lines, pid, limit: Some(ANSWER) })
    }

    /// The node's process, as the system knows it.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Sends a line. That the node has ended the connection shows with [`receive`](Self::receive).
    pub fn send(&mut self, line: &Value) -> Result<(), Failure> {
        match self.stream.write_all(format!("{line}\n").as_bytes()) {
            Ok(()) => Ok(()),
            // It has ended the connection: why stands in what it has sent before, which is still to be received.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
            {
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(self.silent(ANSWER)),
            Err(error) => Err(error.into()),
        }
    }

    fn silent(&self, waited: Duration) -> Failure {
        Failure::Silent { pid: self.pid, waited }
    }

    /// The next line; an error line as [`Failure::Refused`].
    pub fn receive(&mut self) -> Result<Value, Failure> {
        self.lines.get_mut().deadline = self.limit.map(|limit| Instant::now() + limit);
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => return Err(Failure::Closed),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(self.silent(self.limit.unwrap_or_default()));
            }
            Err(error) => return Err(error.into()),
        }
        let line: Value =
            serde_json::from_str(&line).map_err(|error| Failure::Connection(io::Error::other(error)))?;
        let Some(error) = line.get("error") else { return Ok(line) };
        let text = |key| error.get(key).and_then(Value::as_str).map(str::to_owned);
        Err(Failure::Refused(text("message").unwrap_or_default(), text("errno")))
    }

    /// Lets [`receive`](Self::receive) wait as long as it takes.
    pub fn patient(&mut self) -> Result<(), Failure> {
        self.limit = None;
        Ok(())
    }

    /// Who it is: version, process, mounts and their device numbers. Answered also while the stack is busy.
    pub fn node(&mut self) -> Result<Value, Failure> {
        self.ask("node")
    }

    /// The node's status.
    pub fn status(&mut self) -> Result<Value, Failure> {
        self.ask("status")
    }

    fn ask(&mut self, what: &str) -> Result<Value, Failure> {
        self.send(&json!({"request": what}))?;
        Ok(self.receive()?.get_mut(what).map(Value::take).unwrap_or_default())
    }

    /// Ends the node; returns when its mounts are gone.
    pub fn stop(&mut self) -> Result<(), Failure> {
        self.send(&json!({"request": "stop"}))?;
        self.receive()?;
        self.limit = Some(END);
        loop {
            match self.receive() {
                Ok(_) => {}
                Err(Failure::Closed) => return Ok(()),
                Err(Failure::Connection(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(());
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Another handle on the connection, to send from elsewhere.
    pub fn sender(&self) -> Result<UnixStream, Failure> {
        Ok(self.stream.try_clone()?)
    }
}
