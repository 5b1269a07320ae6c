//! A mixed cluster: our daemon on the host and a real kernel in a guest heartbeat on one raw image.
//!
//! Each scenario has an image, a guest, and a network of its own; all run at the same time. Words after `--` choose
//! the scenarios whose names contain them; `long` lets those with a mounted volume be quiet
//! for ten minutes, makes all of their steps in both, and adds one with two kernels. Needs root and tun devices, for the networks. What failed is on lines that
//! begin with `failed: `, which `tests/failures` looks for.

mod arrangement;
mod capture;
mod cluster;
mod events;
mod figures;
mod mounted;
mod network;
mod ours;
mod peer;
mod restart;
mod setup;
mod talk;
mod two;
mod volume;

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use cluster::Cluster;
use uo2cb_tests::guest::Error;
use uo2cb_tests::program;
use uo2cb_tests::switch::space;

const OURS_LOWER: Cluster = Cluster { ours: 0, theirs: 1, second: None };
const OURS_HIGHER: Cluster = Cluster { ours: 1, theirs: 0, second: None };

/// The word for runs that take longer.
const LONG: &str = "long";

/// Only with that word.
const MORE: [(&str, Run); 1] = [("two kernels, mounted", |name, uo2cb, _| two::run(name, uo2cb))];

/// What was wrong, or why the scenario could not run.
type Result = std::result::Result<Vec<String>, Error>;

/// Runs a scenario: its name, our program, and whether there is time.
type Run = fn(&str, &Path, bool) -> Result;

// The longest first.
const SCENARIOS: [(&str, Run); 7] = [
    ("ours higher, mounted", |name, uo2cb, long| {
        mounted::run(name, uo2cb, OURS_HIGHER, Duration::from_secs(if long { 600 } else { 120 }), long)
    }),
    ("ours lower, mounted", |name, uo2cb, long| {
        mounted::run(name, uo2cb, OURS_LOWER, Duration::from_secs(if long { 600 } else { 30 }), true)
    }),
    ("ours lower, first", |name, uo2cb, _| arrangement::run(name, uo2cb, OURS_LOWER, true)),
    ("ours lower, second", |name, uo2cb, _| arrangement::run(name, uo2cb, OURS_LOWER, false)),
    ("ours higher, first", |name, uo2cb, _| arrangement::run(name, uo2cb, OURS_HIGHER, true)),
    ("ours higher, second", |name, uo2cb, _| arrangement::run(name, uo2cb, OURS_HIGHER, false)),
    ("thresholds and restarts", |name, uo2cb, _| restart::run(name, uo2cb, OURS_LOWER)),
];

fn main() -> ExitCode {
    if let Err(why) = can_run() {
        uo2cb_tests::not_run(&format!("mixed: {why}"));
        return ExitCode::SUCCESS;
    }
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let long = words.iter().any(|word| word == LONG);
    words.retain(|word| word != LONG);
    let chosen = |name: &str| words.iter().all(|word| name.contains(word));
    let scenarios: Vec<_> = SCENARIOS
        .into_iter()
        .chain(MORE.into_iter().filter(|_| long))
        .filter(|(name, _)| chosen(name))
        .collect();
    if scenarios.is_empty() {
        println!("mixed: no scenario chosen");
        return ExitCode::SUCCESS;
    }
    let begin = Instant::now();
    // Once, not in each scenario.
    let uo2cb = match program::uo2cb() {
        Ok(uo2cb) => uo2cb,
        Err(error) => {
            println!("failed: {error}");
            return ExitCode::FAILURE;
        }
    };
    let running: Vec<_> = scenarios
        .into_iter()
        .map(|(name, run)| {
            let uo2cb = uo2cb.clone();
            (name, thread::spawn(move || run(name, &uo2cb, long)))
        })
        .collect();
    let mut failed = 0;
    for (name, scenario) in running {
        match scenario.join() {
            Ok(Ok(wrong)) if wrong.is_empty() => println!("mixed: {name}: good"),
            Ok(Ok(wrong)) => {
                failed += 1;
                println!("failed: {name}: {} wrong: {}", wrong.len(), wrong.join("; "));
            }
            Ok(Err(error)) => {
                failed += 1;
                println!("failed: {name}: {error}");
            }
            Err(_) => {
                failed += 1;
                println!("failed: {name}: panicked");
            }
        }
    }
    println!("mixed: {failed} scenarios failed, {:.0} s", begin.elapsed().as_secs_f64());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn can_run() -> std::result::Result<(), String> {
    space::can_run()?;
    uo2cb::mountpoint::may_mount(false).map_err(|error| error.to_string())
}
