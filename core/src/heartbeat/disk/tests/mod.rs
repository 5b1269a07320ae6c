//! Engines over disks in memory, in virtual time.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::event::{Action, Input};
use crate::testing::Bench;

mod starting;

/// One engine with one region on a disk of its own.
struct World {
    bench: Bench,
    disk: Vec<u8>,
    seen: usize,
}

const BYTES: usize = 512;
const REGION: &str = "cluster/c/heartbeat/R";

impl World {
    /// Node n0 is local and one of four; region R is complete but not started.
    fn new() -> Self {
        let mut bench = Bench::new();
        bench.mkdir("cluster/c").unwrap();
        (0..4).for_each(|num| bench.node(num));
        bench.local("n0");
        bench.mkdir(REGION).unwrap();
        for (file, value) in [("block_bytes", "512"), ("start_block", "1"), ("blocks", "8")] {
            bench.write(&alloc::format!("{REGION}/{file}"), value).unwrap();
        }
        Self { bench, disk: alloc::vec![0; 8 * BYTES], seen: 0 }
    }

    fn start(&mut self) -> RequestId {
        let request = self.bench.ask_write(&alloc::format!("{REGION}/dev"), "3\n");
        self.serve();
        request
    }

    /// Carries out what the engine wants of the disk, at once.
    fn serve(&mut self) {
        while let Some(action) = self.bench.log.get(self.seen).cloned() {
            self.seen += 1;
            match action {
                Action::OpenDisk { disk, .. } => {
                    let info = DiskInfo {
                        name: "vda".to_string(),
                        sector_bytes: 512,
                        regular_file: false,
                        generation: 0xabcd,
                        pid: 77,
                    };
                    self.bench.input(Input::DiskOpened { disk, result: Ok(info) });
                }
                Action::ReadDisk { disk, op, first, count } => {
                    let range = first as usize * BYTES..(first + count) as usize * BYTES;
                    let bytes = self.disk[range].to_vec();
                    self.bench.input(Input::DiskRead { disk, op, result: Ok(&bytes) });
                }
                Action::WriteDisk { disk, op, slot, block } => {
                    let at = slot as usize * BYTES;
                    block.encode(&mut self.disk[at..at + BYTES]);
                    self.bench.input(Input::DiskWritten { disk, op, result: Ok(()) });
                }
                _ => {}
            }
        }
    }

    fn wait(&mut self, ms: u64) {
        let end = self.bench.mono + Duration::from_millis(ms);
        while let Some(next) = self.bench.engine.poll_timeout().filter(|next| next.since_start() <= end) {
            self.bench.wait(next.since_start().saturating_sub(self.bench.mono).as_millis() as u64);
            self.serve();
        }
        self.bench.mono = end;
    }

    fn slot(&self, num: usize) -> Found {
        Block::decode(&self.disk[num * BYTES..][..BYTES])
    }

    fn put(&mut self, num: usize, block: Block) {
        block.encode(&mut self.disk[num * BYTES..][..BYTES]);
    }
}

use super::super::method::DiskInfo;
