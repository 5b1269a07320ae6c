//! The other end: a program that asks a node.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use std::{error, fmt, fs, io};

use serde_json::{Value, json};

use super::within_limit;

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A connection to a node.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

/// Why a node could not be asked.
#[derive(Debug)]
pub enum Failure {
    /// None, or more than one, fits.
    Choice(String),
    /// It refused: message and errno.
    Refused(String, Option<String>),
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
            Self::Connection(error) if error.kind() == io::ErrorKind::WouldBlock => {
                write!(f, "the daemon does not answer (waited {} s)", ANSWER.as_secs())
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

impl Client {
    /// Connects. A socket that nobody listens on any more is removed.
    pub fn connect(socket: &Path) -> Result<Self, Failure> {
        let stream = within_limit(socket, |path| UnixStream::connect(path)).inspect_err(|error| {
            if error.kind() == io::ErrorKind::ConnectionRefused {
                let _ = fs::remove_file(socket);
            }
        })?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        let lines = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, lines })
    }

    /// Sends a line.
    pub fn send(&mut self, line: &Value) -> Result<(), Failure> {
        Ok(self.stream.write_all(format!("{line}\n").as_bytes())?)
    }

    /// The next line; an error line as [`Failure::Refused`].
    pub fn receive(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            return Err(Failure::Closed);
        }
        let line: Value =
            serde_json::from_str(&line).map_err(|error| Failure::Connection(io::Error::other(error)))?;
        let Some(error) = line.get("error") else { return Ok(line) };
        let text = |key| error.get(key).and_then(Value::as_str).map(str::to_owned);
        Err(Failure::Refused(text("message").unwrap_or_default(), text("errno")))
    }

    /// Lets [`receive`](Self::receive) wait as long as it takes.
    pub fn patient(&self) -> Result<(), Failure> {
        Ok(self.stream.set_read_timeout(None)?)
    }

    /// The node's status.
    pub fn status(&mut self) -> Result<Value, Failure> {
        self.send(&json!({"request": "status"}))?;
        Ok(self.receive()?.get_mut("status").map(Value::take).unwrap_or_default())
    }

    /// Ends the node; returns when its mounts are gone.
    pub fn stop(&mut self) -> Result<(), Failure> {
        self.send(&json!({"request": "stop"}))?;
        self.receive()?;
        self.patient()?;
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
