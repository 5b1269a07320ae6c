//! Plays a run with a choice of who the nodes are.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use uo2cb_tests::cut::run::{Run, Step};
use uo2cb_tests::cut::{End, Record};
use uo2cb_tests::guest::Error;
use uo2cb_tests::lines::{self, Line};
use uo2cb_tests::program::format_disk;
use uo2cb_tests::switch::{Switch, frame, pcap};

use crate::blocks::{Block, Blocks};
use crate::wire;
use uo2cb_tests::nodes::{Kernel, Kind, Node, Ours, numbers, wait};

/// For nodes to see and reach each other.
const SOON: Duration = Duration::from_secs(90);
/// From the start of the regions to time 0, where that must be known beforehand: all are up and connected by then, also
/// on a busy machine.
const ZERO: f64 = 40.0;
/// Between two looks whether a node has ended.
const LOOK: Duration = Duration::from_millis(20);

struct Cluster {
    nodes: Vec<Box<dyn Node>>,
    switch: Switch,
    blocks: Blocks,
    ours: Vec<u8>,
    holders: Vec<u8>,
    // Dropped last: all others have files there.
    _folders: [TempDir; 2],
}

pub(crate) fn play(run: &Run, kinds: &[Kind], uo2cb: &Path) -> Result<Record, Error> {
    let mut cluster = Cluster::make(run, kinds, uo2cb)?;
    for step in run.before {
        cluster.apply(*step)?;
    }
    let begin = Instant::now();
    cluster.start()?;
    let zero = if run.before.is_empty() {
        cluster.connected()?;
        let planned = begin + Duration::from_secs_f64(ZERO);
        if (1..=run.nodes)
            .zip(kinds)
            .any(|(node, kind)| *kind == Kind::Ours && run.fault(node, ZERO).is_some())
        {
            if Instant::now() > planned {
                return Err(format!("not connected within {ZERO} s").into());
            }
            planned
        } else {
            Instant::now()
        }
    } else {
        begin
    };
    let mut ends = Vec::new();
    for (at, step) in run.steps {
        cluster.watch(zero + Duration::from_secs_f64(*at), zero, &mut ends)?;
        cluster.apply(*step)?;
    }
    cluster.watch(zero + Duration::from_secs_f64(run.until), zero, &mut ends)?;
    cluster.record(zero, ends)
}

impl Cluster {
    fn make(run: &Run, kinds: &[Kind], uo2cb: &Path) -> Result<Self, Error> {
        // The image not in /tmp: that may be in memory, where there is no direct I/O. But paths of sockets are short.
        let folders = [tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?, tempfile::tempdir()?];
        let (image, folder) = (folders[0].path().join("image"), folders[1].path());
        format_disk(uo2cb, &image)?;
        let switch = Switch::start(folder)?;
        let blocks = Blocks::watch(&image, run.nodes)?;
        let make = |node: u8, kind: Kind| -> Result<Box<dyn Node>, Error> {
            let fault = run.fault(node, ZERO);
            Ok(match kind {
                Kind::Kernel => {
                    Box::new(Kernel::boot(node, run.nodes, &switch, &image, folder, run.hangs())?)
                }
                Kind::Ours if run.user => {
                    Box::new(Ours::start_user(uo2cb, node, run.nodes, &switch, &image, folder)?)
                }
                Kind::Ours => Box::new(Ours::start(uo2cb, node, run.nodes, &switch, &image, folder, fault)?),
            })
        };
        let nodes = thread::scope(|scope| {
            let nodes = (1..=run.nodes).zip(kinds).map(|(node, kind)| scope.spawn(move || make(node, *kind)));
            let nodes: Vec<_> = nodes.collect();
            let joined = nodes.into_iter().map(|node| node.join().unwrap_or_else(|_| Err(panicked())));
            joined.collect::<Result<_, _>>()
        })?;
        let ours = (1..=run.nodes).zip(kinds).filter(|(_, kind)| **kind == Kind::Ours).map(|(node, _)| node);
        let ours = ours.collect();
        let mut cluster = Self { nodes, switch, blocks, ours, holders: Vec::new(), _folders: folders };
        cluster.nodes.iter_mut().try_for_each(|node| node.show_quorum())?;
        Ok(cluster)
    }

    fn node(&mut self, node: u8) -> Result<&mut Box<dyn Node>, Error> {
        let node = usize::from(node).checked_sub(1).and_then(|at| self.nodes.get_mut(at));
        node.ok_or_else(|| "no such node".to_owned().into())
    }

    /// Starts all regions at once, and waits until all are steady.
    fn start(&mut self) -> Result<(), Error> {
        thread::scope(|scope| {
            let starts: Vec<_> = self.nodes.iter_mut().map(|node| scope.spawn(|| node.start())).collect();
            starts.into_iter().try_for_each(|start| start.join().unwrap_or_else(|_| Err(panicked())))
        })
    }

    /// Waits until every node lists all others as connected.
    fn connected(&mut self) -> Result<(), Error> {
        let all: Vec<u8> = (1..).take(self.nodes.len()).collect();
        for (node, own) in self.nodes.iter_mut().zip(1..) {
            let others: Vec<u8> = all.iter().copied().filter(|node| *node != own).collect();
            wait(&format!("node {own} is connected to {others:?}"), SOON, || {
                let live = numbers(&node.debug("o2hb/livenodes")?);
                Ok(live == all && numbers(&node.debug("o2net/connected_nodes")?) == others)
            })?;
        }
        Ok(())
    }

    /// Waits until then, and notes who ends.
    fn watch(&mut self, until: Instant, zero: Instant, ends: &mut Vec<(f64, u8, End)>) -> Result<(), Error> {
        loop {
            for (node, number) in self.nodes.iter_mut().zip(1..) {
                if ends.iter().any(|(_, known, _)| *known == number) {
                    continue;
                }
                if let Some(end) = node.ended()? {
                    ends.push((seconds(zero, Instant::now()), number, end));
                }
            }
            let now = Instant::now();
            if now >= until {
                return Ok(());
            }
            thread::sleep(LOOK.min(until - now));
        }
    }

    fn apply(&mut self, step: Step) -> Result<(), Error> {
        match step {
            Step::Cut(pairs) => self.switch.cut(pairs.iter().copied()),
            Step::Part(groups) => self.switch.part(groups),
            Step::Heal => self.switch.heal_all(),
            Step::Filter(node, filter) => self.switch.filter(node, Some(filter)),
            Step::Open(node) => self.switch.filter(node, None),
            Step::Hang(nodes) => self.hang(nodes, true)?,
            Step::Release(nodes) => self.hang(nodes, false)?,
            Step::Kill(node) => self.node(node)?.kill()?,
            // By the fault that it was started with.
            Step::Fail(_) => {}
            Step::Leave(node) => self.node(node)?.leave()?,
            Step::Start(node) => self.node(node)?.start()?,
            Step::BeginToLeave(node) => self.node(node)?.begin_to_leave()?,
            Step::Call(nodes, calls) => {
                for node in nodes {
                    calls().iter().try_for_each(|call| self.node(*node)?.call(call))?;
                }
            }
            Step::Hold(nodes) => {
                for node in nodes {
                    if self.node(*node)?.hold()? {
                        self.holders.push(*node);
                    }
                }
            }
            Step::Address(node, other) => self.node(node)?.address(frame::address(other))?,
        }
        Ok(())
    }

    /// Those that have ended have no disk.
    fn hang(&mut self, nodes: &[u8], hang: bool) -> Result<(), Error> {
        for node in nodes {
            let node = self.node(*node)?;
            if node.ended()?.is_none() {
                node.hang(hang)?;
            }
        }
        Ok(())
    }

    fn record(&mut self, zero: Instant, ends: Vec<(f64, u8, End)>) -> Result<Record, Error> {
        let mut record =
            Record { ends, ours: self.ours.clone(), holders: self.holders.clone(), ..Record::default() };
        for (node, number) in self.nodes.iter_mut().zip(1..) {
            if node.ended()?.is_none() {
                let [live, connected] =
                    ["o2hb/livenodes", "o2net/connected_nodes"].map(|file| node.debug(file));
                record.lists.push((number, numbers(&live?), numbers(&connected?)));
            }
            let timed = |line: Line| {
                let text = lines::of_hold(&line.text).unwrap_or(line.text);
                (seconds(zero, line.at), number, text)
            };
            record.lines.extend(node.lines().into_iter().map(timed));
            record.told.extend(node.told().into_iter().map(timed));
        }
        record.lines.sort_by(|one, other| one.0.total_cmp(&other.0));
        record.blocks =
            self.blocks.found().into_iter().map(|Block { at, node }| (seconds(zero, at), node)).collect();
        // Captures have the time of the day.
        let zero =
            SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64() - zero.elapsed().as_secs_f64();
        for delivered in [true, false] {
            let frames = pcap::read(&self.switch.capture(!delivered))?;
            record.syns.extend(wire::syns(&frames, zero, delivered));
            if delivered {
                record.messages = wire::messages(&frames, zero);
            }
        }
        Ok(record)
    }
}

/// From one moment to another, which may be before it.
fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() - from.saturating_duration_since(to).as_secs_f64()
}

fn panicked() -> Error {
    "a thread of the run has panicked".to_owned().into()
}
