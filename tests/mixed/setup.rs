//! What a scenario has: one image, a daemon of ours, a guest, and the network between the two.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use uo2cb_tests::guest::{Builder, Error, Guest};
use uo2cb_tests::lines::{self, Line};
use uo2cb_tests::program::format_disk;

use crate::capture;
use crate::cluster::{Cluster, IDLE_MS, Region};
use crate::events::{Event, POLL_INTERVAL, Side, WAIT_LIMIT};
use crate::figures::{BEAT, Figures, LATE};
use crate::network::{self, Network};
use crate::ours::{self, Ours, Told};
use crate::peer::Peer;
use crate::talk::Talk;

/// Two keepalive requests are at most so far apart, but for a busy machine, in seconds.
const KEEPALIVE_PACE: f64 = 1.5;

pub(crate) struct Setup {
    pub(crate) cluster: Cluster,
    pub(crate) region: Region,
    pub(crate) image: PathBuf,
    pub(crate) network: Network,
    pub(crate) figures: Figures,
    pub(crate) talk: Talk,
    /// A volume is mounted in the guest, so its region is in use.
    pub(crate) pinned: bool,
    uo2cb: PathBuf,
    told: Arc<Told>,
    folder: TempDir,
    good: bool,
}

impl Drop for Setup {
    fn drop(&mut self) {
        if !self.good {
            self.told.lines().iter().for_each(|line| println!("{}", line.text));
        }
    }
}

impl Setup {
    pub(crate) fn new(name: &str, uo2cb: &Path, cluster: Cluster) -> Result<Self, Error> {
        // Writes every byte, without which QEMU would write more than the guest's own slot.
        let region = Region { name: "R".into(), start_block: 1, blocks: 8 };
        Self::with_image(name, uo2cb, cluster, |image| format_disk(uo2cb, image).map(|()| region))
    }

    /// `make` makes the image, and says where the region is.
    pub(crate) fn with_image(
        name: &str,
        uo2cb: &Path,
        cluster: Cluster,
        make: impl FnOnce(&Path) -> Result<Region, Error>,
    ) -> Result<Self, Error> {
        // Not in /tmp: that may be in memory, where there is no direct I/O.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let image = folder.path().join("image");
        Ok(Self {
            cluster,
            region: make(&image)?,
            image,
            network: Network::new(cluster)?,
            figures: Figures::new(name),
            talk: Talk::default(),
            pinned: false,
            uo2cb: uo2cb.to_owned(),
            told: Arc::default(),
            folder,
            good: false,
        })
    }

    pub(crate) fn start_ours(&self, dead_threshold: u32) -> Result<Ours, Error> {
        let settings = (self.cluster, &self.region);
        Ours::start(&self.uo2cb, self.folder.path(), &self.network, settings, dead_threshold, &self.told)
    }

    pub(crate) fn boot(&self, dead_threshold: u32) -> Result<Peer, Error> {
        self.boot_as(Guest::builder(), self.cluster.theirs, dead_threshold)
    }

    /// The same as any node, with more in the guest.
    pub(crate) fn boot_as(&self, guest: Builder, node: u8, dead_threshold: u32) -> Result<Peer, Error> {
        let settings = (self.cluster, node, &self.region);
        Peer::boot(guest, &self.image, &self.network, settings, dead_threshold)
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
        let dump = ours::dump(&self.uo2cb, &self.image, options)?;
        let slot = dump["slots"].as_array().and_then(|slots| slots.iter().find(|slot| slot["slot"] == node));
        Ok(slot.cloned().ok_or_else(|| format!("slot {node} was never written"))?)
    }

    pub(crate) fn generation(&self, node: u8) -> Result<String, Error> {
        Ok(word(&self.slot(node)?, "generation"))
    }

    /// Both sides list both nodes, and beat.
    pub(crate) fn both_list_both(
        &mut self,
        ours: &mut Ours,
        peer: &mut Peer,
        connected: bool,
    ) -> Result<(), Error> {
        let Cluster { ours: our_num, theirs: their_num, .. } = self.cluster;
        let region = format!("o2hb/{}", self.region.name);
        let kernel_pinned = if self.pinned { "1\n" } else { "0\n" };
        for (side, other, pinned) in
            [(ours as &mut dyn Side, their_num, "0\n"), (peer, our_num, kernel_pinned)]
        {
            let name = side.name();
            for (file, expected) in [
                ("o2hb/livenodes", "0 1 \n"),
                (&format!("{region}/livenodes"), "0 1 \n"),
                ("o2hb/live_regions", "\n"),
                ("o2hb/quorum_regions", "\n"),
                ("o2hb/failed_regions", "\n"),
                (&format!("{region}/num"), "0\n"),
                (&format!("{region}/pinned"), pinned),
            ] {
                self.figures.equal(&format!("{name}: {file}"), &side.debug(file)?, expected);
            }
            let found = side.debug("o2net/connected_nodes")?;
            let expected = if connected { format!("{other} \n") } else { "\n".to_owned() };
            self.figures.equal(&format!("{name}: connected_nodes"), &found, &expected);
            let elapsed = side.debug(&format!("{region}/elapsed_time_in_ms"))?;
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
                    seen = peer.lines().iter().any(|line| line.text.contains(&expected));
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
        let told = self.told.events();
        self.figures.equal(&format!("node {node}, as ours reported it"), &edges(&told, node), ours);
        self.figures.equal(&format!("node {node}, as the kernel reported it"), &edges(peer, node), kernel);
    }

    /// What our daemons have logged, with time and level.
    pub(crate) fn log(&self) -> Vec<Line> {
        self.told.lines()
    }

    /// Both see each other, and are connected now. `before`: what ours and the kernel may have to say of before.
    pub(crate) fn connected(
        &mut self,
        what: &str,
        ours: &mut Ours,
        peer: &mut Peer,
        before: [&str; 2],
    ) -> Result<(), Error> {
        let Cluster { ours: our_num, theirs: their_num, .. } = self.cluster;
        let up = ours.last_up(their_num)?.max(peer.last_up(our_num)?);
        let mut sides: [(&dyn Side, u8, &str); 2] =
            [(ours, our_num, before[0]), (peer, their_num, before[1])];
        sides.sort_by_key(|(_, num, _)| *num);
        self.talk.connected(&mut self.figures, what, sides, up);
        Ok(())
    }

    /// What each side has said about the other since the last time; see [`Talk::said`].
    pub(crate) fn both_said(
        &mut self,
        what: &str,
        ours: &dyn Side,
        peer: &dyn Side,
        patterns: [impl AsRef<str>; 2],
    ) {
        let Cluster { ours: our_num, theirs: their_num, .. } = self.cluster;
        self.talk.said(&mut self.figures, what, ours, their_num, patterns[0].as_ref());
        self.talk.said(&mut self.figures, what, peer, our_num, patterns[1].as_ref());
    }

    /// Only keepalives have been on the wire since then, on one connection, and often enough.
    pub(crate) fn only_keepalives(&mut self, from: Duration) -> Result<(), Error> {
        let to = capture::now();
        let capture =
            capture::read(&self.network.delivered(), network::address(self.cluster.ours), from, to)?;
        self.figures.equal("segments that begin or end a connection", &capture.edges.to_string(), "0");
        self.figures.equal("messages but keepalives", &capture.others().count().to_string(), "0");
        let Cluster { ours, theirs, .. } = self.cluster;
        let [[our_requests, our_answers], [their_requests, their_answers]] =
            [ours, theirs].map(|node| capture.keepalives(network::address(node)));
        // The last request may not have been answered yet, and the first answer be that of one before.
        for (what, requests, answers) in
            [("ours", &our_requests, &their_answers), ("the kernel's", &their_requests, &our_answers)]
        {
            let answered = requests.len().abs_diff(answers.len()) <= 1;
            let what = format!("{what}: {} keepalive requests, {} answered", requests.len(), answers.len());
            self.figures.note(&what);
            self.figures.check(&what, answered);
        }
        // Whoever has heard nothing for the delay sends one, and the other one has heard something then.
        let mut all = [our_requests, their_requests].concat();
        all.sort_unstable();
        let edges = [vec![from], all, vec![to]].concat();
        let longest = edges.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default();
        let most = f64::from(IDLE_MS) / 1000.0;
        let what = format!("longest time without a keepalive request: {:.2} s", longest.as_secs_f64());
        self.figures.note(&what);
        self.figures.check(&what, longest.as_secs_f64() < most);
        let least = (to.saturating_sub(from).as_secs_f64() / KEEPALIVE_PACE) as usize;
        let count = edges.len() - 2;
        self.figures.check(&format!("{count} keepalive requests, at least {least}"), count >= least);
        Ok(())
    }

    /// Neither side has had anything to complain about beside the connection, and nobody has made a decision.
    pub(crate) fn no_complaint(&mut self, peer: Option<&Peer>) {
        for line in peer.map(Peer::complaints).unwrap_or_default() {
            self.figures.check(&format!("no complaint of the kernel: {line}"), false);
        }
        for line in self.log() {
            // That something has been silent for half of its time is said of busy machines as well.
            let early = line.text.contains("half of its");
            let text = lines::of_ours(&line.text);
            let connection = text.starts_with("o2net: ") || text.starts_with("last line ");
            let bad = line.text.contains(" WARN ") && !early && !connection;
            self.figures.check(&format!("no complaint of ours: {}", line.text), !bad);
        }
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
