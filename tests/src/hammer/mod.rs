//! A process that makes and removes names of its own in a mounted tree, at random, and knows what must come of each
//! call; a few names it shares with others of its kind.
//!
//! It tells what it does, a line each: `> NAME` before a call that may change a name of its own, then `+ NAME` (it is
//! there now), `- NAME` (gone) or `.` (as before). So whoever reads this knows the state after each call, and which
//! name a killed process was about to change. A process in its place is told: on standard input come lines
//! `have NAME` and at most one `cut NAME`, then `go`. It looks whether that is what is there.
//!
//! Other lines: `looked N` (calls so far), `gone ERRNO` (the server is, and so is this process), `wrong TEXT`,
//! and at the end of standard input `end CALLS SLOWEST-MICROSECONDS`.

mod calls;
mod names;

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::rng::Rng;

pub use self::names::{SHARED, SHARED_NODE, is_below, is_of};

/// Why a process ends early.
pub(crate) enum Stop {
    /// The server is gone.
    Gone(Errno),
    /// Something is not as it must be.
    Wrong(String),
}

type Step<T = ()> = Result<T, Stop>;

/// One process.
pub(crate) struct Hammer {
    root: PathBuf,
    number: u32,
    rng: Rng,
    /// Own names that are there; `NODE#` stands for a node's number.
    have: BTreeSet<String>,
    calls: u64,
    slowest: Duration,
}

/// Runs one process.
pub fn main(mut args: impl Iterator<Item = String>) -> ExitCode {
    let mut word = || args.next().unwrap_or_default();
    let (root, number, seed) = (PathBuf::from(word()), word().parse(), word().parse());
    let (Ok(number), Ok(seed)) = (number, seed) else {
        eprintln!("usage: hammer ROOT NUMBER SEED");
        return ExitCode::from(2);
    };
    let have = BTreeSet::new();
    let mut hammer = Hammer { root, number, rng: Rng::new(seed), have, calls: 0, slowest: Duration::ZERO };
    match hammer.run() {
        Ok(()) => say(&format!("end {} {}", hammer.calls, hammer.slowest.as_micros())),
        Err(Stop::Gone(errno)) => say(&format!("gone {}", errno.raw_os_error())),
        Err(Stop::Wrong(text)) => {
            say(&format!("wrong {text}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// One line in one piece: a killed process leaves no half of it.
fn say(line: &str) {
    let done = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
    if done.is_err() {
        // Nobody listens any more.
        std::process::exit(1);
    }
}

impl Hammer {
    fn run(&mut self) -> Step {
        self.settle()?;
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        std::thread::spawn(move || {
            std::io::stdin().lines().for_each(drop);
            end.store(true, Ordering::Relaxed);
        });
        while !ended.load(Ordering::Relaxed) {
            self.step()?;
            if self.calls % 64 == 0 {
                say(&format!("looked {}", self.calls));
            }
        }
        Ok(())
    }

    /// Compares what one before it left with what is there.
    fn settle(&mut self) -> Step {
        let (mut told, mut cut) = (BTreeSet::new(), None);
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(|error| Stop::Wrong(error.to_string()))?;
            match line.split_once(' ') {
                Some(("have", name)) => drop(told.insert(name.to_owned())),
                Some(("cut", name)) => cut = Some(name.to_owned()),
                _ => break,
            }
        }
        self.have = self.look()?;
        let unsure = |name: &&String| cut.as_ref().is_some_and(|cut| is_below(name, cut));
        if let Some(name) = self.have.symmetric_difference(&told).find(|name| !unsure(name)) {
            return Err(Stop::Wrong(format!("{name} is not as it was left; cut off: {cut:?}")));
        }
        for name in told.difference(&self.have) {
            say(&format!("- {name}"));
        }
        for name in self.have.difference(&told) {
            say(&format!("found {name}"));
        }
        say(".");
        Ok(())
    }

    /// Makes a call and notes how long it took.
    pub(crate) fn timed<T>(
        &mut self,
        call: impl FnOnce() -> rustix::io::Result<T>,
    ) -> Step<Result<T, Errno>> {
        let start = Instant::now();
        let result = call();
        self.slowest = self.slowest.max(start.elapsed());
        self.calls += 1;
        match result {
            Err(errno @ (Errno::NOTCONN | Errno::CONNABORTED)) => Err(Stop::Gone(errno)),
            // The mount is gone altogether.
            Err(errno @ Errno::NOENT) if !self.root.join("cluster").exists() => Err(Stop::Gone(errno)),
            other => Ok(other),
        }
    }
}
