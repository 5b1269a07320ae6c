//! `uo2cb umount`.

use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::ArgValueCompleter;
use uo2cb::control::{Found, choose, running, shown};
use uo2cb::mountpoint::{self, Tree, side_by_side};

use super::{Fail, completions, say};

/// End nodes and take their mounts away
///
/// Whoever waits for an answer gets one, consumers are told, all trees of a node go together. Returns when they are
/// gone. Also takes away what a killed daemon left. A daemon that does not answer is not waited for longer than some
/// seconds: its pid is told then, and what to do.
#[derive(Args)]
pub(crate) struct Umount {
    /// Where a node is mounted (any of its trees)
    #[arg(add = ArgValueCompleter::new(completions::mounts), required_unless_present = "all", conflicts_with = "all")]
    dirs: Vec<PathBuf>,
    /// End all nodes of yours, and take away all that killed daemons left
    #[arg(long)]
    all: bool,
}

impl Umount {
    pub(crate) fn run(self) -> Result<(), Fail> {
        let mut failed =
            if self.all { all() } else { self.dirs.iter().filter_map(|dir| one(dir).err()).collect() };
        match failed.len() {
            0 => Ok(()),
            1 => Err(failed.remove(0)),
            _ => {
                let messages: Vec<_> = failed.into_iter().map(|fail| fail.message).collect();
                Err(Fail::new(messages.join("\nuo2cb: ")))
            }
        }
    }
}

fn one(dir: &Path) -> Result<(), Fail> {
    let named = |why: &dyn std::fmt::Display| Fail::new(format!("{}: {why}", shown(dir)));
    if mountpoint::recover(dir)? {
        say(&format!("{}: took away what a killed daemon left\n", shown(dir)));
        return Ok(());
    }
    let found = choose(Some(dir))?;
    found.client().stop().map_err(|failure| named(&failure))
}

/// All at the same time: one that does not answer costs the others nothing.
fn all() -> Vec<Fail> {
    let end = |found: Found| {
        let name = found.name();
        let mut client = found.client();
        // Nothing is left in the socket of one that does not answer.
        let ended = client.node().and_then(|_| client.stop());
        ended.err().map(|failure| Fail::new(format!("{name}: {failure}")))
    };
    let mut failed: Vec<Fail> = side_by_side(running(), end).into_iter().flatten().collect();
    for point in Tree::all_dead() {
        match mountpoint::recover(&point) {
            Ok(true) => say(&format!("{}: took away what a killed daemon left\n", shown(&point))),
            Ok(false) => true,
            Err(error) => {
                failed.push(error.into());
                true
            }
        };
    }
    failed
}
