//! A guest with a real kernel as a node.

use std::path::Path;
use std::time::{Duration, Instant};

use uo2cb_tests::guest::{Error, Guest, TREE};
use uo2cb_tests::nodes::cluster::{self, Call};

use crate::cluster::{Cluster, REGION};
use crate::events::{Event, Side};
use crate::network;
use crate::setup::short;

const BOOT: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(30);
/// A line that the test writes into the kernel's log, to learn the kernel's clock.
const MARK: &str = "mixed: what time is it?";
/// How often that is written at most, until one is answered within `CLOSE`.
const MARKS: usize = 4;
const CLOSE: Duration = Duration::from_millis(100);

pub(crate) struct Peer {
    guest: Guest,
    log: Vec<Line>,
}

/// A line of the kernel's log.
pub(crate) struct Line {
    pub(crate) at: Instant,
    pub(crate) text: String,
}

impl Peer {
    /// A guest with the cluster, but without a region yet.
    ///
    /// All timeouts of o2net are the kernel's own. As long as ours closes every connection before the handshake,
    /// a peer is never connected: it stays on hold in the guest's quorum, and no decision is asked for, so the
    /// guest does not fence. To be looked at again when there is an o2net here.
    pub(crate) fn boot(image: &Path, cluster: Cluster, dead_threshold: u32) -> Result<Self, Error> {
        let guest = network::attach(Guest::builder()).module("ocfs2_nodemanager").disk(image);
        let mut peer = Self { guest: guest.boot(BOOT)?, log: Vec::new() };
        peer.run("for mask in HEARTBEAT QUORUM; do echo allow > /sys/fs/o2cb/logmask/$mask; done")?;
        peer.apply(&cluster.make(cluster.theirs, dead_threshold))?;
        Ok(peer)
    }

    /// Makes the region and starts it on the image. Returns when that began and how long it took.
    pub(crate) fn join(&mut self) -> Result<(Instant, Duration), Error> {
        self.apply(&Cluster::make_region())?;
        let begin = Instant::now();
        self.run(&format!("exec 7<>/dev/vda; echo 7 > {TREE}/{REGION}/dev && exec 7>&-"))?;
        Ok((begin, begin.elapsed()))
    }

    /// Removes the region. Returns when that began.
    pub(crate) fn leave(&mut self) -> Result<Instant, Error> {
        let begin = Instant::now();
        self.run(&format!("rmdir {TREE}/{REGION}"))?;
        Ok(begin)
    }

    /// Ends the guest at once. Returns when.
    pub(crate) fn kill(self) -> Instant {
        let begin = Instant::now();
        drop(self.guest);
        begin
    }

    /// The kernel's log so far, by the host's clock.
    pub(crate) fn log(&mut self) -> Result<&[Line], Error> {
        // The mark was written between the start and the end of the command: the closer the two, the better.
        let mut marks = Vec::new();
        while marks.len() < MARKS && marks.last().is_none_or(|(took, _)| *took > CLOSE) {
            let begin = Instant::now();
            self.run(&format!("echo '{MARK}' > /dev/kmsg"))?;
            marks.push((begin.elapsed(), begin + begin.elapsed() / 2));
        }
        // Clears it as well: the kernel's buffer is small.
        let lines = self.run("dmesg -c")?;
        let timed = |line: &str| {
            let (time, text) = line.strip_prefix('[')?.split_once("] ")?;
            Some((time.trim().parse::<f64>().ok()?, text.to_owned()))
        };
        let lines: Vec<_> = lines.iter().filter_map(|line| timed(line)).collect();
        let times = lines.iter().filter(|(_, text)| text == MARK).map(|(time, _)| *time);
        let best = marks.into_iter().zip(times).min_by_key(|((took, _), _)| *took);
        let ((_, asked), mark) = best.ok_or_else(|| "the mark is not in the guest's log".to_owned())?;
        for (time, text) in lines.iter().filter(|(_, text)| text != MARK) {
            let before = Duration::try_from_secs_f64((mark - time).abs()).unwrap_or_default();
            let at = if *time > mark { asked.checked_add(before) } else { asked.checked_sub(before) };
            let at = at.unwrap_or(asked);
            self.log.push(Line { at, text: text.clone() });
        }
        Ok(&self.log)
    }

    fn apply(&mut self, calls: &[Call]) -> Result<(), Error> {
        self.run(&cluster::command(calls)).map(drop)
    }

    fn run(&mut self, command: &str) -> Result<Vec<String>, Error> {
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
    fn events(&mut self) -> Result<Vec<Event>, Error> {
        Ok(self.log()?.iter().filter_map(event).collect())
    }

    fn restarted(&mut self, node: u8, generations: [&str; 2]) -> Result<bool, Error> {
        let [old, new] = generations.map(short);
        let said = format!("Node {node} changed generation ({old} to {new})");
        Ok(self.log()?.iter().any(|line| line.text.contains(&said)))
    }

    fn debug(&mut self, file: &str) -> Result<String, Error> {
        let lines = self.run(&format!("cat /sys/kernel/debug/o2hb/{file}"))?;
        Ok(lines.iter().map(|line| format!("{line}\n")).collect())
    }
}
