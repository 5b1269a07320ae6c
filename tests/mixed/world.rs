//! One image, a daemon of ours, a guest, and the network between the two.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use uo2cb_tests::guest::Error;

use crate::cluster::Cluster;
use crate::events::{Event, LOOK, SOME_BEATS, Side};
use crate::figures::{BEAT, Figures, LATE};
use crate::network;
use crate::ours::{self, Ours};
use crate::peer::Peer;

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) image: PathBuf,
    uo2cb: PathBuf,
    pub(crate) figures: Figures,
    told: Arc<Mutex<Vec<Event>>>,
    folder: TempDir,
    good: bool,
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.good {
            println!("{}", self.log());
        }
    }
}

impl World {
    /// Takes this thread into a network of its own.
    pub(crate) fn new(name: &str, uo2cb: &Path, cluster: Cluster) -> Result<Self, Error> {
        network::enter()?;
        // Not in /tmp: that may be in memory, where there is no direct I/O.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let image = folder.path().join("image");
        // Writes every byte, without which QEMU would write more than the guest's own slot.
        ours::format(uo2cb, &image)?;
        Ok(Self {
            cluster,
            uo2cb: uo2cb.to_owned(),
            image,
            figures: Figures::new(name),
            told: Arc::default(),
            folder,
            good: false,
        })
    }

    pub(crate) fn start_ours(&self, dead_threshold: u32) -> Result<Ours, Error> {
        Ours::start(&self.uo2cb, self.folder.path(), self.cluster, dead_threshold, &self.told)
    }

    pub(crate) fn boot(&self, dead_threshold: u32) -> Result<Peer, Error> {
        Peer::boot(&self.image, self.cluster, dead_threshold)
    }

    /// A slot as `uo2cb dump` tells it.
    pub(crate) fn slot(&self, node: u8) -> Result<Value, Error> {
        let slot = ours::dump(&self.uo2cb, &self.image)?.into_iter().find(|slot| slot["slot"] == node);
        Ok(slot.ok_or_else(|| format!("slot {node} was never written"))?)
    }

    pub(crate) fn generation(&self, node: u8) -> Result<String, Error> {
        Ok(word(&self.slot(node)?, "generation"))
    }

    /// Both sides list both nodes, and beat.
    pub(crate) fn both_list_both(&mut self, ours: &mut Ours, peer: &mut Peer) -> Result<(), Error> {
        let mut lists: [(&str, &mut dyn Side); 2] = [("ours", ours), ("the kernel", peer)];
        for (name, side) in &mut lists {
            for (file, expected) in [
                ("livenodes", "0 1 \n"),
                ("R/livenodes", "0 1 \n"),
                ("live_regions", "\n"),
                ("quorum_regions", "\n"),
                ("failed_regions", "\n"),
                ("R/num", "0\n"),
                ("R/pinned", "0\n"),
            ] {
                self.figures.same(&format!("{name}: {file}"), &side.debug(file)?, expected);
            }
            let elapsed = side.debug("R/elapsed_time_in_ms")?;
            let beats = elapsed.trim().parse::<f64>().is_ok_and(|elapsed| elapsed < (BEAT + LATE) * 1000.0);
            self.figures.so(&format!("{name}: the last good beat was {} ms ago", elapsed.trim()), beats);
        }
        Ok(())
    }

    /// What `uo2cb dump` decodes is what the kernel decoded from the same block: see its line `Slot N gen G ...`.
    pub(crate) fn dump_is_what_the_kernel_reads(&mut self, peer: &mut Peer) -> Result<(), Error> {
        let until = Instant::now() + SOME_BEATS;
        for node in [self.cluster.ours, self.cluster.theirs] {
            loop {
                let slot = self.slot(node)?;
                let seq = slot["seq"].as_u64().unwrap_or_default();
                let parts = ["generation", "cksum"].map(|key| short(&word(&slot, key)));
                let expected = format!("Slot {node} gen {} cksum {} seq {seq} ", parts[0], parts[1]);
                // Written since the kernel's last beat: its next one reads it, if no other block is there by then.
                let read = Instant::now() + Duration::from_secs(3);
                let mut seen = false;
                while !seen && Instant::now() < read {
                    seen = peer.log()?.iter().any(|line| line.text.contains(&expected));
                    std::thread::sleep(if seen { Duration::ZERO } else { LOOK });
                }
                if seen {
                    self.figures.say(&format!("dump and the kernel agree: {}", expected.trim()));
                    break;
                }
                if Instant::now() > until {
                    self.figures.so(&format!("the kernel reads what dump does: {expected}"), false);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Has `node` gone just these ways, as our daemons told it and as the kernel did?
    pub(crate) fn histories(&mut self, node: u8, peer: &[Event], ours: &str, kernel: &str) {
        let told = self.told.lock().map(|told| ways(&told, node)).unwrap_or_default();
        self.figures.same(&format!("node {node}, as ours told it"), &told, ours);
        self.figures.same(&format!("node {node}, as the kernel told it"), &ways(peer, node), kernel);
    }

    /// What our daemons have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What was wrong.
    pub(crate) fn conclude(mut self) -> Vec<String> {
        let wrong = self.figures.wrong().to_vec();
        self.good = wrong.is_empty();
        wrong
    }
}

fn ways(events: &[Event], node: u8) -> String {
    let events = events.iter().filter(|event| event.node == node);
    events.map(|event| if event.up { "up" } else { "down" }).collect::<Vec<_>>().join(" ")
}

/// A text of a slot.
pub(crate) fn word(slot: &Value, key: &str) -> String {
    slot[key].as_str().unwrap_or_default().to_owned()
}

/// A number in hex as the kernel prints it, without zeros in front.
pub(crate) fn short(text: &str) -> String {
    let number = u64::from_str_radix(text.trim_start_matches("0x"), 16);
    number.map_or(text.to_owned(), |number| format!("{number:#x}"))
}
