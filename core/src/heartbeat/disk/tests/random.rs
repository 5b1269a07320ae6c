//! Random bytes, results and orders: nothing panics, and what must always hold does.
//! `UO2CB_RANDOM` sets how many thousand steps are made (default 20).

extern crate std;

use super::*;
use crate::ids::OpId;

struct Rng(u64);

impl Rng {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }
}

fn thousands() -> u64 {
    std::env::var("UO2CB_RANDOM").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

#[test]
fn random_slots_never_panic_and_are_judged_sensibly() {
    let mut rng = Rng(1);
    let mut bytes = [0; BYTES];
    let mut state = Slot::default();
    for _ in 0..thousands() * 1000 {
        for _ in 0..rng.below(6) {
            bytes[rng.below(32) as usize] = rng.number() as u8;
        }
        let length = if rng.below(8) == 0 { rng.below(BYTES as u64 + 1) as usize } else { BYTES };
        let mut found = Block::decode(&bytes[..length]);
        assert!(!found.good || length >= 28);
        if rng.below(4) != 0 {
            found.block.encode(&mut bytes);
            let again = Block::decode(&bytes);
            assert!(again.good && again.block == found.block);
            found = again;
        }
        state.check_own(rng.number() as u8, &found);
        let before = state.live();
        match state.judge(&found, rng.below(40) as u32 + 3) {
            Verdict::Same => assert_eq!(state.live(), before),
            Verdict::Joined => assert!(!before && state.live()),
            Verdict::Left(_) => assert!(before && !state.live()),
        }
    }
}

/// An engine with regions A and B whose driver answers anything, in any order.
struct Chaos {
    world: World,
    rng: Rng,
    /// What the driver was asked for and has not answered.
    asked: Vec<Action>,
    at: usize,
    opened: u32,
    closed: u32,
    fenced: bool,
    /// One request in so many fails.
    fails: u64,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let mut world = World::local("n0", &[0, 1, 2, 3]);
        let group = "cluster/c/heartbeat";
        world
            .bench
            .write(&alloc::format!("{group}/mode"), ["local", "global"][rng.below(2) as usize])
            .unwrap();
        world
            .bench
            .write(&alloc::format!("{group}/dead_threshold"), ["4", "31"][rng.below(2) as usize])
            .unwrap();
        world.region('A');
        world.region('B');
        let fails = [3, 20, 200][rng.below(3) as usize];
        Self { world, rng, asked: Vec::new(), at: 0, opened: 0, closed: 0, fenced: false, fails }
    }

    fn listen(&mut self) {
        while let Some(action) = self.world.bench.log.get(self.at).cloned() {
            self.at += 1;
            match &action {
                Action::Disk(_, DiskRequest::Read { first, count, .. }) => {
                    assert!(*count > 0 && first + count <= BLOCKS as u32);
                    self.asked.push(action);
                }
                Action::Disk(_, DiskRequest::Write { slot, block, .. }) => {
                    assert!(!self.fenced, "written behind a fence");
                    assert!(*slot < BLOCKS as u32 && block.seq > 0 && u32::from(block.node) == *slot);
                    self.asked.push(action);
                }
                Action::Disk(_, DiskRequest::Open { .. }) => self.asked.push(action),
                Action::Disk(disk, DiskRequest::Close) => {
                    self.closed += 1;
                    let disk = *disk;
                    if self.rng.below(4) > 0 {
                        self.asked.retain(|action| match action {
                            Action::Disk(of, DiskRequest::Read { .. } | DiskRequest::Write { .. }) => {
                                *of != disk
                            }
                            _ => true,
                        });
                    }
                }
                Action::Fence { .. } => self.fenced = true,
                _ => {}
            }
        }
    }

    /// Mostly what was written, with other nodes that come and go; at times anything.
    fn slots(&mut self, disk: ItemId, first: u32, count: u32) -> Vec<u8> {
        let whole = self.world.disks.get_mut(&self.world.ids[&disk]).unwrap();
        let anybody = self.rng.below(20) == 0;
        for (num, slot) in whole.chunks_exact_mut(BYTES).enumerate().skip(usize::from(!anybody)) {
            let (seq, generation) = (self.rng.below(50), self.rng.below(50) / 20);
            let node = self.rng.below(5) as u8;
            match self.rng.below(60) {
                0 => slot[self.rng.below(40) as usize] = self.rng.number() as u8,
                1 => Block { seq, node, generation, dead_ms: 14_000 }.encode(slot),
                2..5 => Block { seq, node: num as u8, generation, dead_ms: 62_000 }.encode(slot),
                _ => {}
            }
        }
        let mut bytes = whole[first as usize * BYTES..][..count as usize * BYTES].to_vec();
        if self.rng.below(50) == 0 {
            bytes.resize(self.rng.below(bytes.len() as u64 + 600) as usize, 0);
        }
        bytes
    }

    fn answer(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let at = self.rng.below(self.asked.len() as u64) as usize;
        let action = self.asked[at].clone();
        let again = self.rng.below(16) == 0 && !matches!(action, Action::Disk(_, DiskRequest::Open { .. }));
        if !again {
            self.asked.remove(at);
        }
        let fails = self.rng.below(self.fails) == 0;
        match action {
            Action::Disk(disk, DiskRequest::Open { .. }) => {
                let result = if fails { Err(Refusal::NotABlockDevice) } else { Ok(self.world.info.clone()) };
                self.opened += u32::from(!fails);
                self.world.bench.input(Input::Disk(disk, DiskResult::Opened(result)));
            }
            Action::Disk(disk, DiskRequest::Read { op, first, count }) => {
                let bytes = self.slots(disk, first, count);
                let result = if fails { Err(Errno::EIO) } else { Ok(&bytes[..]) };
                self.world.bench.input(Input::Disk(disk, DiskResult::Read(op, result)));
            }
            Action::Disk(disk, DiskRequest::Write { op, slot, block }) => {
                if !fails {
                    self.world.put_in(self.world.ids[&disk], slot as usize, block);
                }
                let result = if fails { Err(Errno::EIO) } else { Ok(()) };
                self.world.bench.input(Input::Disk(disk, DiskResult::Written(op, result)));
            }
            _ => {}
        }
    }

    fn step(&mut self) {
        let region = ['A', 'B'][self.rng.below(2) as usize];
        let path = World::path(region);
        let bench = &mut self.world.bench;
        let exists = bench.find(View::Config, &path).is_some();
        match self.rng.below(60) {
            0..36 => self.answer(),
            36..42 => bench.wait(self.rng.below(1000)),
            42 => bench.wait(self.rng.below(12_000)),
            43..46 if exists && self.rng.below(8) == 0 => drop(self.world.ask(region)),
            46 if exists && self.rng.below(8) == 0 => drop(bench.ask_rmdir(&path)),
            // Refused once the engine has ended.
            47 if !exists && bench.mkdir(&path).is_ok() => {
                self.world.ids.insert(bench.dir(&path), region);
                for (file, value) in [("block_bytes", "512"), ("start_block", "1"), ("blocks", "8")] {
                    bench.write(&alloc::format!("{path}/{file}"), value).unwrap();
                }
            }
            48 => {
                let request = RequestId(self.rng.below(200));
                bench.input(Input::Cancel(request));
            }
            49 if self.rng.below(8) == 0 => drop(bench.ask_local("n0", "0")),
            50..53 => {
                let request = bench.ask_local("n0", "1");
                bench.listening(request, Ok(()));
            }
            53 => {
                let (disk, op) = (ItemId(self.rng.below(60)), OpId(self.rng.below(60)));
                bench.input(Input::Disk(disk, DiskResult::Read(op, Ok(&[]))));
                bench.input(Input::Disk(disk, DiskResult::Written(op, Err(Errno::EIO))));
            }
            54 => {
                let consumer = self.rng.below(1 << 40);
                let region = if region == 'A' { "A" } else { "B" };
                drop(
                    bench
                        .subscribe(Registration { patience: Some(50), ..Registration::of(consumer, region) }),
                );
            }
            55 if self.rng.below(40) == 0 => bench.input(Input::Shutdown),
            _ => {}
        }
        self.listen();
    }
}

#[test]
fn a_driver_that_answers_anything_in_any_order_breaks_nothing() {
    let (mut steady, mut fenced, mut opened) = (0, 0, 0);
    for seed in 0..thousands() * 5 {
        let mut chaos = Chaos::new(seed);
        for _ in 0..1000 {
            chaos.step();
        }
        steady += usize::from(chaos.world.bench.log.iter().any(
            |action| matches!(action, Action::Note(note) if note.to_string().contains("quorum device")),
        ));
        (fenced, opened) = (fenced + u32::from(chaos.fenced), opened + chaos.opened);
        if chaos.fenced {
            continue;
        }
        // In the end everything is asked to close, and is.
        chaos.world.bench.input(Input::Shutdown);
        for _ in 0..10_000 {
            chaos.listen();
            if chaos.asked.is_empty() {
                break;
            }
            chaos.answer();
        }
        assert_eq!(chaos.closed, chaos.opened, "seed {seed}");
        assert_eq!(chaos.world.bench.logged(&Action::Stopped), 1, "seed {seed}");
        assert_eq!(chaos.world.bench.engine.waiting(), 0, "seed {seed}");
    }
    assert!(steady > 0 && fenced > 0 && opened > 0);
    std::println!("{opened} devices, {steady} lists with a quorum device, {fenced} fences");
}
