//! `uo2cb umount`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::ArgValueCompleter;
use uo2cb::control::{Client, choose};
use uo2cb::mountpoint;

use super::{Fail, completions, say};

/// End a node and take its mounts away
///
/// Whoever waits for an answer gets one, consumers are told, all trees of the node go together. Returns when
/// they are gone. Also takes away what a killed daemon left.
#[derive(Args)]
pub(crate) struct Umount {
    /// Where the node is mounted (any of its trees)
    #[arg(add = ArgValueCompleter::new(completions::mounts))]
    dir: PathBuf,
}

impl Umount {
    pub(crate) fn run(self) -> Result<(), Fail> {
        let dir = mountpoint::canonical(&self.dir)?;
        if mountpoint::recover(&dir)? {
            say(&format!("{}: took away what a killed daemon left\n", dir.display()));
            return Ok(());
        }
        match choose(Some(&dir)) {
            Ok(found) => Ok(Client::connect(&found.socket)?.stop()?),
            Err(_) if mountpoint::ours(&dir) => Err(Fail::new(format!(
                "{}: the uo2cb mounted there is another user's, or has lost its control socket; umount {0} \
                 (or fusermount3 -u {0}) ends it too",
                dir.display()
            ))),
            Err(failure) => Err(failure.into()),
        }
    }
}
