//! Peers of all kinds, good ones and bad ones, meet a real kernel or our daemon: what it says, answers and closes.
//!
//! The test plays the peers: it writes their heartbeats to the shared disk, and connects or listens at their addresses.
//! What must be seen is what a kernel did. Words after `--` choose scenarios whose names contain one of them, and the
//! subjects: `k` a kernel, `o` our daemon; `capture` is what two of ours say to one another. Needs root and tun devices.

mod beats;
mod capture;
mod peer;
mod scenarios;
mod wire;
mod world;

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use scenarios::{PEER, Scenario};
use uo2cb_tests::guest::Error;
use uo2cb_tests::nodes::Kind;
use uo2cb_tests::program;
use uo2cb_tests::switch::space;
use world::World;

/// The subjects without any words.
const CHOICE: &[Kind] = &[Kind::Kernel, Kind::Ours];
/// Subjects of a kind among whom the scenarios are shared, when there are many: most of them wait.
const SHARE: usize = 2;
/// What is many.
const MANY: usize = 20;
/// The word for what is no scenario.
const CAPTURE: &str = "capture";

fn main() -> ExitCode {
    if let Err(why) = can_run() {
        uo2cb_tests::not_run(&format!("peers: {why}"));
        return ExitCode::SUCCESS;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let kind = |word: &String| word.chars().next().filter(|_| word.len() == 1).and_then(Kind::from_letter);
    let mut kinds: Vec<Kind> = words.iter().filter_map(kind).collect();
    if kinds.is_empty() {
        kinds = CHOICE.to_vec();
    }
    let words: Vec<_> = words.iter().filter(|word| kind(word).is_none()).collect();
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(*word));
    let scenarios: Vec<_> = scenarios::all().into_iter().filter(|(name, _)| chosen(name)).collect();
    let capture = chosen(CAPTURE);
    if scenarios.is_empty() && !capture {
        println!("peers: no scenario chosen");
        return ExitCode::from(2);
    }
    let uo2cb = match program::uo2cb() {
        Ok(uo2cb) => uo2cb,
        Err(error) => {
            println!("peers: {error}");
            return ExitCode::FAILURE;
        }
    };
    let begin = Instant::now();
    let share = if scenarios.len() > MANY { SHARE } else { 1 };
    let parts: Vec<Vec<Scenario>> =
        (0..share).map(|part| scenarios.iter().skip(part).step_by(share).copied().collect()).collect();
    let failed = thread::scope(|scope| {
        let subjects = kinds.iter().flat_map(|kind| parts.iter().map(|part| (*kind, part)));
        let subjects = subjects.filter(|(_, part)| !part.is_empty());
        let uo2cb = &uo2cb;
        let capture = capture.then(|| scope.spawn(move || captured(uo2cb)));
        let subjects = subjects.map(|(kind, part)| scope.spawn(move || subject(kind, uo2cb, part)));
        let subjects: Vec<_> = subjects.chain(capture).collect();
        subjects.into_iter().map(|subject| subject.join().unwrap_or(1)).sum::<usize>()
    });
    let count = scenarios.len() * kinds.len() + usize::from(capture);
    println!("peers: {failed} of {count} scenarios failed, {:.0} s", begin.elapsed().as_secs_f64());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns how many failed.
fn captured(uo2cb: &Path) -> usize {
    match capture::compare(uo2cb) {
        Ok(()) => {
            println!("peers: two of ours say what two kernels say: good");
            0
        }
        Err(error) => {
            println!("peers: two of ours say what two kernels say: {error}");
            1
        }
    }
}

/// Runs all with one subject. Returns how many failed.
fn subject(kind: Kind, uo2cb: &Path, scenarios: &[Scenario]) -> usize {
    let letter = kind.letter();
    let mut world = match World::new(kind, uo2cb).and_then(|mut world| world.up(PEER).map(|()| world)) {
        Ok(world) => world,
        Err(error) => {
            println!("peers: {letter}: {error}");
            return scenarios.len();
        }
    };
    let mut failed = 0;
    for (name, scenario) in scenarios {
        world.mark();
        let begin = Instant::now();
        match scenario(&mut world).and_then(|()| settled(&mut world)) {
            Ok(()) => println!("peers: {letter}: {name}: good, {:.1} s", begin.elapsed().as_secs_f64()),
            Err(error) => {
                failed += 1;
                println!("peers: {letter}: {name}: {error}");
                for line in world.lines() {
                    println!("    {}", line.text);
                }
                if let Err(error) = settled(&mut world) {
                    println!("peers: {letter}: gone or not settled, so no more: {error}");
                    return scenarios.len();
                }
            }
        }
    }
    failed
}

/// As every scenario finds it.
fn settled(world: &mut World) -> Result<(), Error> {
    if let Some(end) = world.subject.ended()? {
        return Err(format!("it has ended: {end:?}").into());
    }
    for node in 1..=4 {
        world.leave(node)?;
    }
    world.settled()?;
    world.alive(PEER, true)
}

fn can_run() -> Result<(), String> {
    space::can_run()?;
    uo2cb::mountpoint::may_mount(false).map_err(|error| error.to_string())
}
