//! What a beat costs: CPU time of reading all slots of a disk, summing each, and writing one block, on many
//! disks at once. Prints a table of ratios; all numbers of a table are from one run, in alternating turns.
//!
//! `cargo bench -p uo2cb-blockio` measures on files in the folder for temporary files, or in `BEATS_DIR`.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/loops.rs"]
mod loops;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use self::loops::{Bare, Phases, SLOT, cpu, judge, sleep_until, thread_per_disk};
use uo2cb_blockio::{DirectFile, DiskKey, Op, Queue, Room, Threads, Uring};

const DISKS: usize = 200;
const SLOTS: usize = 255;
const FEW: usize = 32;
const ROUNDS: usize = 20;
const TURNS: usize = 5;
/// From tick to tick, whichever way: a beat comes after a sleep, not hot on the heels of the last one.
const PERIOD: Duration = Duration::from_millis(50);

/// A queue as the stack drives it.
struct Driven {
    queue: Box<dyn Queue>,
    disks: Vec<DiskKey>,
}

impl Driven {
    fn new(mut queue: Box<dyn Queue>, paths: &[PathBuf]) -> Self {
        let room = Room { read: SLOTS * SLOT, write: SLOT };
        let mut add = |path: &PathBuf| {
            let device = DirectFile::open(path, false).unwrap();
            queue.add(Arc::new(device), room).unwrap()
        };
        let disks = paths.iter().map(&mut add).collect();
        Self { queue, disks }
    }

    fn beat(&mut self, slots: usize) {
        for &disk in &self.disks {
            self.queue.read(disk, 0, 0, slots * SLOT).unwrap();
        }
        let mut left = 2 * self.disks.len();
        let mut judged = Vec::with_capacity(self.disks.len());
        while left > 0 {
            judged.clear();
            left -= self
                .queue
                .complete(None, &mut |done| match done.op {
                    Op::Read => {
                        assert_eq!(done.result, Ok(slots * SLOT));
                        judge(done.bytes);
                        judged.push(done.disk);
                    }
                    Op::Write => assert_eq!(done.result, Ok(SLOT)),
                })
                .unwrap();
            for &disk in &judged {
                self.queue.write(disk, 1, 0, &[0; SLOT]).unwrap();
            }
        }
    }
}

fn main() {
    let folder = match std::env::var_os("BEATS_DIR") {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let paths = loops::files(folder.path(), DISKS);
    let bare = Mutex::new(Bare::new(&paths));
    let ring = Mutex::new(Driven::new(Box::new(Uring::new().unwrap()), &paths));
    let threads = Mutex::new(Driven::new(Box::new(Threads::new().unwrap()), &paths));
    let rounds = |beat: &mut dyn FnMut()| {
        beat();
        let before = cpu();
        let started = Instant::now();
        for round in 0..ROUNDS {
            sleep_until(started, PERIOD, round);
            beat();
        }
        cpu() - before
    };
    type Way<'a> = (&'a str, usize, Box<dyn Fn() -> Duration + 'a>);
    let ways: [Way<'_>; 7] = [
        ("bare io_uring loop", SLOTS, Box::new(|| rounds(&mut || bare.lock().unwrap().beat(SLOTS)))),
        ("Uring", SLOTS, Box::new(|| rounds(&mut || ring.lock().unwrap().beat(SLOTS)))),
        ("Uring", FEW, Box::new(|| rounds(&mut || ring.lock().unwrap().beat(FEW)))),
        ("Threads", SLOTS, Box::new(|| rounds(&mut || threads.lock().unwrap().beat(SLOTS)))),
        ("Threads", FEW, Box::new(|| rounds(&mut || threads.lock().unwrap().beat(FEW)))),
        ("thread per disk", SLOTS, Box::new(|| thread_per_disk(&paths, Phases::Own, PERIOD, ROUNDS, SLOTS))),
        ("all at once", SLOTS, Box::new(|| thread_per_disk(&paths, Phases::Common, PERIOD, ROUNDS, SLOTS))),
    ];
    let mut best = [Duration::MAX; 7];
    for _ in 0..TURNS {
        for (best, (_, _, run)) in best.iter_mut().zip(&ways) {
            *best = run().min(*best);
        }
    }
    println!(
        "CPU time for 1000 beats, {DISKS} files of {SLOTS} slots of {SLOT} bytes, best of {TURNS} turns"
    );
    println!("{:<20} {:>5} {:>9} {:>9} {:>12}", "", "slots", "seconds", "x bare", "x per disk");
    for (time, (name, slots, _)) in best.iter().zip(&ways) {
        let seconds = time.as_secs_f64() * 1000.0 / (ROUNDS * DISKS) as f64;
        let ratio = |to: Duration| time.as_secs_f64() / to.as_secs_f64();
        let (bare, per_disk) = (ratio(best[0]), ratio(best[5]));
        println!("{name:<20} {slots:>5} {seconds:>9.4} {bare:>9.2} {per_disk:>12.2}");
    }
    let few = best[2].as_secs_f64() / best[1].as_secs_f64();
    println!("Uring: {FEW} slots cost {few:.2} x {SLOTS} slots");
}
