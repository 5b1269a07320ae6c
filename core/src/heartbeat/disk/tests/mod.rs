//! Engines over disks in memory, in virtual time.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::error::Errno;
use crate::fence::Beats;
use crate::ids::{NodeNum, RequestId, View};
use crate::message::{Action, Input};
use crate::testing::{Bench, Registration};

mod beats;
mod clock;
mod duration;
mod ending;
mod global;
mod good;
mod random;
mod several;
mod starting;
mod status;
mod timeout;

/// What a disk does with requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// It does them.
    None,
    /// Reads fail.
    Read,
    /// Writes fail.
    Write,
    /// Neither is ever done.
    Hang,
    /// It is done so many milliseconds later.
    Slow(u64),
}

/// One engine over a disk of which each of its regions has a part.
struct World {
    bench: Bench,
    /// By letter of the region.
    disks: BTreeMap<char, Vec<u8>>,
    ids: BTreeMap<ItemId, char>,
    fault: BTreeMap<char, Fault>,
    info: DiskInfo,
    seen: usize,
    /// Requests on their way, with the time of their end.
    late: Vec<(Duration, Action)>,
    /// Which slots were read and written: region, first, how many.
    reads: Vec<(char, u32, u32)>,
    writes: Vec<(char, u32)>,
    opened: u64,
}

const BYTES: usize = 512;
const REGION: &str = "cluster/c/heartbeat/R";
const BLOCKS: usize = 8;

impl World {
    /// Node n0 is local and one of four; region R is complete but not started.
    fn new() -> Self {
        let mut world = Self::local("n0", &[0, 1, 2, 3]);
        world.region('R');
        world
    }

    fn local(local: &str, nodes: &[u8]) -> Self {
        let mut bench = Bench::new();
        bench.mkdir("cluster/c").unwrap();
        nodes.iter().for_each(|num| bench.node(*num));
        bench.local(local);
        let info = DiskInfo {
            name: "vda".to_string(),
            sector_bytes: 512,
            regular_file: false,
            generation: 0xabcd,
            pid: 77,
        };
        Self {
            bench,
            disks: BTreeMap::new(),
            ids: BTreeMap::new(),
            fault: BTreeMap::new(),
            info,
            seen: 0,
            late: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            opened: 0,
        }
    }

    /// Global mode, and complete regions.
    fn global(regions: &str) -> Self {
        let mut world = Self::local("n0", &[0, 1, 2, 3]);
        world.bench.write("cluster/c/heartbeat/mode", "global").unwrap();
        regions.chars().for_each(|region| world.region(region));
        world
    }

    fn path(region: char) -> String {
        alloc::format!("cluster/c/heartbeat/{region}")
    }

    fn region(&mut self, region: char) {
        let dir = Self::path(region);
        self.bench.mkdir(&dir).unwrap();
        for (file, value) in [("block_bytes", "512"), ("start_block", "1"), ("blocks", "8")] {
            self.bench.write(&alloc::format!("{dir}/{file}"), value).unwrap();
        }
        self.ids.insert(self.bench.dir(&dir), region);
        self.disks.entry(region).or_insert_with(|| alloc::vec![0; BLOCKS * BYTES]);
    }

    fn ask(&mut self, region: char) -> RequestId {
        self.bench.ask_write(&alloc::format!("{}/dev", Self::path(region)), "3\n")
    }

    fn start(&mut self) -> RequestId {
        self.start_of('R')
    }

    fn start_of(&mut self, region: char) -> RequestId {
        let request = self.ask(region);
        self.serve();
        request
    }

    /// Starts a region and waits for it: how many milliseconds.
    fn steady(&mut self, region: char) -> u64 {
        let request = self.start_of(region);
        let (took, result) = self.until_done(request);
        assert_eq!(result, Ok(()));
        took
    }

    fn until_done(&mut self, request: RequestId) -> (u64, Result<(), Refusal>) {
        for ms in (0..100_000).step_by(100) {
            if let Some(result) = self.bench.done(request) {
                return (ms, result);
            }
            self.wait(100);
        }
        panic!("never done");
    }

    /// The disk that is to be opened.
    fn opening(&self) -> ItemId {
        match self.bench.log.last() {
            Some(Action::Disk(disk, DiskRequest::Open { .. })) => *disk,
            other => panic!("{other:?}"),
        }
    }

    /// Carries out what the engine wants of the disks, as far as they are willing.
    fn serve(&mut self) {
        while let Some(action) = self.bench.log.get(self.seen).cloned() {
            self.seen += 1;
            match &action {
                Action::Disk(disk, DiskRequest::Open { .. }) => {
                    self.opened += 1;
                    let generation = self.info.generation + self.opened - 1;
                    let info = DiskInfo { generation, ..self.info.clone() };
                    self.bench.input(Input::Disk(*disk, DiskResult::Opened(Ok(info))));
                }
                Action::Disk(disk, DiskRequest::Read { .. } | DiskRequest::Write { .. }) => {
                    match self.fault.get(&self.ids[disk]) {
                        Some(Fault::Hang) => self.late.push((Duration::MAX, action)),
                        Some(Fault::Slow(ms)) => {
                            self.late.push((self.bench.mono + Duration::from_millis(*ms), action));
                        }
                        Some(Fault::None | Fault::Read | Fault::Write) | None => self.carry_out(&action),
                    }
                }
                Action::Disk(disk, DiskRequest::Close) => self.late.retain(|(_, action)| {
                    !matches!(action, Action::Disk(other, DiskRequest::Read { .. } | DiskRequest::Write { .. })
                        if other == disk)
                }),
                _ => {}
            }
        }
    }

    fn carry_out(&mut self, action: &Action) {
        match *action {
            Action::Disk(disk, DiskRequest::Read { op, first, count }) => {
                let region = self.ids[&disk];
                self.reads.push((region, first, count));
                if self.fault.get(&region) == Some(&Fault::Read) {
                    return self.bench.input(Input::Disk(disk, DiskResult::Read(op, Err(Errno::EIO))));
                }
                let whole = &self.disks[&region];
                let end = ((first + count) as usize * BYTES).min(whole.len());
                let bytes = whole.get(first as usize * BYTES..end).unwrap_or_default().to_vec();
                self.bench.input(Input::Disk(disk, DiskResult::Read(op, Ok(&bytes))));
            }
            Action::Disk(disk, DiskRequest::Write { op, slot, block }) => {
                let region = self.ids[&disk];
                self.writes.push((region, slot));
                if self.fault.get(&region) == Some(&Fault::Write) {
                    return self.bench.input(Input::Disk(disk, DiskResult::Written(op, Err(Errno::EIO))));
                }
                self.put_in(region, slot as usize, block);
                self.bench.input(Input::Disk(disk, DiskResult::Written(op, Ok(()))));
            }
            _ => {}
        }
    }

    fn wait(&mut self, ms: u64) {
        let end = self.bench.mono + Duration::from_millis(ms);
        loop {
            let timer = self.bench.engine.poll_timeout().map(Instant::since_start);
            let late = self.late.iter().map(|(at, _)| *at).min();
            let Some(next) = timer.into_iter().chain(late).min().filter(|next| *next <= end) else { break };
            if late.is_some_and(|late| late <= next) {
                let at = self.late.iter().position(|(at, _)| *at == next).unwrap();
                let (_, action) = self.late.remove(at);
                self.bench.mono = self.bench.mono.max(next);
                self.carry_out(&action);
            } else {
                self.bench.wait(next.saturating_sub(self.bench.mono).as_millis() as u64);
            }
            self.serve();
        }
        self.bench.mono = end;
    }

    /// Another node beats in a region for so many periods.
    fn beats_of(&mut self, region: char, node: u8, generation: u64, seqs: core::ops::Range<u64>) {
        for seq in seqs {
            self.put_in(region, usize::from(node), Block { seq, node, generation, dead_ms: 62_000 });
            self.wait(2000);
        }
    }

    fn slot(&self, num: usize) -> Found {
        self.slot_in('R', num)
    }

    fn slot_in(&self, region: char, num: usize) -> Found {
        Block::decode(&self.disks[&region][num * BYTES..][..BYTES])
    }

    fn put(&mut self, num: usize, block: Block) {
        self.put_in('R', num, block);
    }

    fn put_in(&mut self, region: char, num: usize, block: Block) {
        block.encode(&mut self.disks.get_mut(&region).unwrap()[num * BYTES..][..BYTES]);
    }

    fn spoil(&mut self, num: usize) {
        self.disks.get_mut(&'R').unwrap()[num * BYTES + 300] ^= 1;
    }

    /// A file of o2hb in debugfs.
    fn debug(&mut self, file: &str) -> String {
        self.bench.read_in(View::Debugfs, &alloc::format!("o2hb/{file}"))
    }

    fn fences(&self) -> usize {
        self.bench.log.iter().filter(|action| matches!(action, Action::Fence { .. })).count()
    }

    fn closed(&self) -> usize {
        self.bench.log.iter().filter(|action| matches!(action, Action::Disk(_, DiskRequest::Close))).count()
    }

    /// Lines of the log that contain `words`.
    fn said(&self, words: &str) -> Vec<String> {
        let lines = self.bench.notes().into_iter().map(ToString::to_string);
        lines.filter(|line| line.contains(words)).collect()
    }
}
