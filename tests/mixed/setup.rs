//! What a scenario has: one image, a daemon of ours, a guest, and the network between the two.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use uo2cb_tests::guest::Error;

use crate::cluster::Cluster;
use crate::events::{Event, POLL_INTERVAL, Side, WAIT_LIMIT};
use crate::figures::{BEAT, Figures, LATE};
use crate::network;
use crate::ours::{self, Ours};
use crate::peer::Peer;

pub(crate) struct Setup {
    pub(crate) cluster: Cluster,
    pub(crate) image: PathBuf,
    uo2cb: PathBuf,
    pub(crate) figures: Figures,
    events: Arc<Mutex<Vec<Event>>>,
    folder: TempDir,
    good: bool,
}

impl Drop for Setup {
    fn drop(&mut self) {
        if !self.good {
            println!("{}", self.log());
        }
    }
}

impl Setup {
    /// Moves this thread into a network of its own.
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
            events: Arc::default(),
            folder,
            good: false,
        })
    }

    pub(crate) fn start_ours(&self, dead_threshold: u32) -> Result<Ours, Error> {
        Ours::start(&self.uo2cb, self.folder.path(), self.cluster, dead_threshold, &self.events)
    }

    pub(crate) fn boot(&self, dead_threshold: u32) -> Result<Peer, Error> {
        Peer::boot(&self.image, self.cluster, dead_threshold)
    }

    /// A slot as `uo2cb dump` decodes it.
    pub(crate) fn slot(&self, node: u8) -> Result<Value, Error> {
        self.slot_by(node, &["--once"])
    }

    /// `alive`, `silent` and the like, as `uo2cb dump` finds it by looking twice.
    pub(crate) fn state(&self, node: u8) -> Result<String, Error> {
        Ok(word(&self.slot_by(node, &[])?, "state"))
    }

    fn slot_by(&self, node: u8, options: &[&str]) -> Result<Value, Error> {
        let mut slots = ours::dump(&self.uo2cb, &self.image, options)?.into_iter();
        let slot = slots.find(|slot| slot["slot"] == node);
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
                self.figures.equal(&format!("{name}: {file}"), &side.debug(file)?, expected);
            }
            let elapsed = side.debug("R/elapsed_time_in_ms")?;
            let beats = elapsed.trim().parse::<f64>().is_ok_and(|elapsed| elapsed < (BEAT + LATE) * 1000.0);
            self.figures.check(&format!("{name}: the last good beat was {} ms ago", elapsed.trim()), beats);
        }
        Ok(())
    }

    /// What `uo2cb dump` decodes is what the kernel decoded from the same block: see its line `Slot N gen G ...`.
    pub(crate) fn dump_is_what_the_kernel_reads(&mut self, peer: &mut Peer) -> Result<(), Error> {
        let until = Instant::now() + WAIT_LIMIT;
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
                    std::thread::sleep(if seen { Duration::ZERO } else { POLL_INTERVAL });
                }
                if seen {
                    self.figures.note(&format!("dump and the kernel agree: {}", expected.trim()));
                    break;
                }
                if Instant::now() > until {
                    self.figures.check(&format!("the kernel reads what dump does: {expected}"), false);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Checks all edges of `node`, as our daemons reported them and as the kernel did.
    pub(crate) fn histories(&mut self, node: u8, peer: &[Event], ours: &str, kernel: &str) {
        let told = self.events.lock().map(|told| edges(&told, node)).unwrap_or_default();
        self.figures.equal(&format!("node {node}, as ours reported it"), &told, ours);
        self.figures.equal(&format!("node {node}, as the kernel reported it"), &edges(peer, node), kernel);
    }

    /// What our daemons have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Returns what was wrong.
    pub(crate) fn conclude(mut self) -> Vec<String> {
        let wrong = self.figures.wrong().to_vec();
        self.good = wrong.is_empty();
        wrong
    }
}

fn edges(events: &[Event], node: u8) -> String {
    let events = events.iter().filter(|event| event.node == node);
    events.map(|event| if event.up { "up" } else { "down" }).collect::<Vec<_>>().join(" ")
}

/// A text field of a slot.
pub(crate) fn word(slot: &Value, key: &str) -> String {
    slot[key].as_str().unwrap_or_default().to_owned()
}

/// A number in hex as the kernel prints it, without zeros in front.
pub(crate) fn short(text: &str) -> String {
    let number = u64::from_str_radix(text.trim_start_matches("0x"), 16);
    number.map_or(text.to_owned(), |number| format!("{number:#x}"))
}
