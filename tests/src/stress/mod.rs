//! A process that makes and removes names of its own in a mounted tree, at random, and checks the result of each call.
//! A few names it shares with other such processes.
//!
//! It reports what it does in lines: `> NAME` before a call that may change a name of its own, then `+ NAME` (it
//! exists now), `- NAME` (removed) or `.` (as before). So its reader knows the state after each call, and which name a
//! killed process was about to change. Its successor reads that from standard input, as lines `have NAME` and at most
//! one `cut NAME`, then `go`, and compares it with the tree.
//!
//! Other lines: `looked N` (calls so far), `gone ERRNO` (the server is gone, and this process ends), `wrong TEXT`, and
//! at the end of standard input `end CALLS SLOWEST-MICROSECONDS`.

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
    /// A call had a wrong result.
    Wrong(String),
}

type Step<T = ()> = Result<T, Stop>;

/// One process.
pub(crate) struct Process {
    root: PathBuf,
    number: u32,
    rng: Rng,
    /// Own names that exist; `NODE#` stands for a node's number.
    have: BTreeSet<String>,
    calls: u64,
    slowest: Duration,
}

/// Runs one process.
pub fn main(mut args: impl Iterator<Item = String>) -> ExitCode {
    let mut word = || args.next().unwrap_or_default();
    let (root, number, seed) = (PathBuf::from(word()), word().parse(), word().parse());
    let (Ok(number), Ok(seed)) = (number, seed) else {
        eprintln!("usage: stress ROOT NUMBER SEED");
        return ExitCode::from(2);
    };
    let have = BTreeSet::new();
    let mut process = Process { root, number, rng: Rng::new(seed), have, calls: 0, slowest: Duration::ZERO };
    match process.run() {
        Ok(()) => say(&format!("end {} {}", process.calls, process.slowest.as_micros())),
        Err(Stop::Gone(errno)) => say(&format!("gone {}", errno.raw_os_error())),
        Err(Stop::Wrong(text)) => {
            say(&format!("wrong {text}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Writes a line at once: a killed process leaves no part of it.
fn say(line: &str) {
    let done = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
    if done.is_err() {
        // The reader is gone.
        std::process::exit(1);
    }
}

impl Process {
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

    /// Compares the tree with what its predecessor reported.
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
            // Nothing is mounted any more.
            Err(errno @ Errno::NOENT) if !self.root.join("cluster").exists() => Err(Stop::Gone(errno)),
            other => Ok(other),
        }
    }
}
