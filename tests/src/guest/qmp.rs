//! QEMU's control socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::Error;

/// Commands are short; on a busy machine they wait for their turn.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection to a guest that was booted with [`argument`].
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

/// The arguments of QEMU for a socket at this path.
pub fn argument(path: &Path) -> [String; 2] {
    ["-qmp".into(), format!("unix:{},server=on,wait=off", path.display())]
}

impl Qmp {
    /// Connects to a guest that runs.
    ///
    /// # Errors
    /// There is none, or it does not answer.
    pub fn connect(path: &Path) -> Result<Self, Error> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        qmp.command(r#"{"execute":"qmp_capabilities"}"#)?;
        Ok(qmp)
    }

    /// Lets the writes of the disk with this number hang, or end: reads go on. The first write after it still passes.
    ///
    /// # Errors
    /// QEMU refuses or is gone.
    pub fn hang_writes(&mut self, disk: usize, hang: bool) -> Result<(), Error> {
        // One byte a second; 0 is no limit.
        let rate = u8::from(hang);
        let others = r#""bps":0,"bps_rd":0,"iops":0,"iops_rd":0,"iops_wr":0"#;
        self.command(&format!(
            r#"{{"execute":"block_set_io_throttle","arguments":{{"device":"disk{disk}","bps_wr":{rate},{others}}}}}"#
        ))
    }

    /// Runs one command. Events that come meanwhile are passed over.
    fn command(&mut self, json: &str) -> Result<(), Error> {
        writeln!(self.stream.get_mut(), "{json}")?;
        let mut line = String::new();
        while self.stream.read_line(&mut line)? > 0 {
            if line.starts_with(r#"{"return""#) {
                return Ok(());
            }
            if line.starts_with(r#"{"error""#) {
                return Err(Error::new(format!("{json}: {}", line.trim())));
            }
            line.clear();
        }
        Err(Error::new(format!("{json}: QEMU is gone")))
    }
}
