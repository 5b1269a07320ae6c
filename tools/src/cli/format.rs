//! `uo2cb format`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{Fail, say};

/// Where a region made here begins: block 0 is refused, by the kernel too.
const START: u64 = 1;

/// Make a file that several nodes can share as a disk
///
/// The file has one leading block, since a region cannot begin at block 0, and then the slots, all zero. Prints
/// what to write to the region's files. A file that exists is not touched.
#[derive(Args)]
#[command(after_help = "\
Example, with the printed values in block_bytes, start_block and blocks:
  uo2cb format /tmp/shared
  /bin/echo 7 7<> /tmp/shared > cluster/c/heartbeat/R/dev")]
pub(crate) struct Format {
    /// The file to make
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// How many slots: node numbers are below this
    #[arg(long, value_name = "N", default_value_t = 255, value_parser = clap::value_parser!(u32).range(1..=255))]
    slots: u32,
    /// Size of a slot: a power of two from 512 to 4096
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = super::block_bytes)]
    block_bytes: u32,
}

impl Format {
    pub(crate) fn run(self) -> Result<(), Fail> {
        let length = (START + u64::from(self.slots)) * u64::from(self.block_bytes);
        let failed = |error| Fail::new(format!("{}: {error}", self.file.display()));
        let mut file = OpenOptions::new().write(true).create_new(true).open(&self.file).map_err(failed)?;
        // Written, not only long or allocated. A full file system must not show at the first beat. And where nothing
        // was ever written, QEMU cannot find out the size of a sector: it takes 4096, and a guest's beat puts back
        // the old blocks of its neighbours.
        file.write_all(&vec![0; length as usize])
            .and_then(|()| file.sync_all())
            .map_err(failed)
            .inspect_err(|_| drop(std::fs::remove_file(&self.file)))?;
        say(&format!("block_bytes {}\nstart_block {START}\nblocks {}\n", self.block_bytes, self.slots));
        Ok(())
    }
}
