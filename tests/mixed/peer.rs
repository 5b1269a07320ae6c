//! A guest with a real kernel as a node.

use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use uo2cb_tests::guest::{Builder, DEBUGFS, Error, Guest, TREE};
use uo2cb_tests::lines::{self, Line};
use uo2cb_tests::nodes::cluster::{self, Call};

use crate::cluster::{Cluster, Region};
use crate::events::{Event, Side};
use crate::network::Network;
use crate::setup::short;

const BOOT: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Peer {
    guest: Guest,
    region: Region,
}

impl Peer {
    /// A guest with the cluster, but without a region yet. `guest` may have more in it than a node needs.
    pub(crate) fn boot(
        guest: Builder,
        image: &Path,
        network: &Network,
        (cluster, node, region): (Cluster, u8, &Region),
        dead_threshold: u32,
    ) -> Result<Self, Error> {
        // The console gets all that the kernel says, but for what is for debugging.
        let guest = guest.module("ocfs2_nodemanager").disk(image).setup("dmesg -n 7");
        let guest = network.attach(guest.setup(&format!("hostname n{node}")), node)?;
        let mut peer = Self { guest: guest.boot(BOOT)?, region: region.clone() };
        peer.run("for mask in HEARTBEAT QUORUM; do echo allow > /sys/fs/o2cb/logmask/$mask; done")?;
        peer.apply(&cluster.make(node, dead_threshold))?;
        Ok(peer)
    }

    /// Makes the region and starts it on the image. Returns when that began and how long it took.
    pub(crate) fn join(&mut self) -> Result<(Instant, Duration), Error> {
        self.apply(&self.region.make())?;
        let begin = Instant::now();
        self.run(&format!("exec 7<>/dev/vda; echo 7 > {TREE}/{}/dev && exec 7>&-", self.region.path()))?;
        Ok((begin, begin.elapsed()))
    }

    /// Removes the region. Returns when that began.
    pub(crate) fn leave(&mut self) -> Result<Instant, Error> {
        let begin = Instant::now();
        self.run(&format!("rmdir {TREE}/{}", self.region.path()))?;
        Ok(begin)
    }

    /// Ends the guest at once. Returns when.
    pub(crate) fn kill(self) -> Instant {
        let begin = Instant::now();
        drop(self.guest);
        begin
    }

    /// How QEMU ended, if it has: in order when the kernel has restarted.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.guest.ended()
    }

    /// What it has found wrong, or decided.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let lines = self.guest.console().into_iter().map(|line| line.text);
        let bad = |line: &String| {
            // Its handshake into a connection that ours has closed already, as it did not see the kernel yet.
            let early = line.contains("o2net_sendpage") && line.contains("failed with -");
            // It says so after half of its time in which this machine was too busy to write.
            let busy = ["hb write hung", "o2hb_nego_timeout"].iter().any(|word| line.contains(word));
            let words = ["ERROR", "fencing", "BUG", "WARNING:", "blocked for more"];
            words.iter().any(|word| line.contains(word)) && !early && !busy
        };
        lines.filter(bad).collect()
    }

    fn apply(&mut self, calls: &[Call]) -> Result<(), Error> {
        self.run(&cluster::command(calls)).map(drop)
    }

    pub(crate) fn run(&mut self, command: &str) -> Result<Vec<String>, Error> {
        self.guest.run(command, SOON)
    }
}

/// `... Node UP event for 1`.
fn event(line: &Line) -> Option<Event> {
    let (before, node) = line.text.split_once(" event for ")?;
    let up = match before.rsplit_once("Node ")?.1 {
        "UP" => true,
        "DOWN" => false,
        _ => return None,
    };
    Some(Event { at: line.at, up, node: node.parse().ok()?, cause: None })
}

impl Side for Peer {
    fn name(&self) -> &'static str {
        "the kernel"
    }

    fn events(&mut self) -> Result<Vec<Event>, Error> {
        Ok(self.lines().iter().filter_map(event).collect())
    }

    fn lines(&self) -> Vec<Line> {
        let text = |line: Line| Some(Line { at: line.at, text: lines::of_kernel(&line.text)?.to_owned() });
        self.guest.console().into_iter().filter_map(text).collect()
    }

    fn restarted(&mut self, node: u8, generations: [&str; 2]) -> Result<bool, Error> {
        let [old, new] = generations.map(short);
        let said = format!("Node {node} changed generation ({old} to {new})");
        Ok(self.lines().iter().any(|line| line.text.contains(&said)))
    }

    fn debug(&mut self, file: &str) -> Result<String, Error> {
        let lines = self.run(&format!("cat {DEBUGFS}/{file}"))?;
        Ok(lines.iter().map(|line| format!("{line}\n")).collect())
    }
}
