//! Fences that restart a machine: our daemon in a guest, whose machine may be restarted.
//!
//! Each scenario has a guest and a disk of its own; all run at the same time. Words after `--` choose the scenarios whose
//! names contain them. A guest that restarts ends, so that its end is the restart.

mod image;
mod machine;
mod node;
mod watchdog;

use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use uo2cb_tests::guest::{self, Error};
use uo2cb_tests::program;

/// Runs a scenario with our program. What is wrong is a panic.
type Run = fn(&[u8]) -> Result<(), Error>;

const SCENARIOS: [(&str, Run); 10] = [
    ("watchdog: stopped", watchdog::stopped),
    ("watchdog: killed", watchdog::killed),
    ("watchdog: hung disk", watchdog::hung_disk),
    ("watchdog: killed while a beat is overdue", watchdog::killed_while_overdue),
    ("watchdog: fault inside", watchdog::fault),
    ("watchdog: clean ends", watchdog::clean_ends),
    ("watchdog: wrong configuration", watchdog::wrong_configuration),
    ("machine: reset", machine::reset),
    ("machine: panic", machine::panic),
    ("machine: without sysrq", machine::without_sysrq),
];

fn main() -> ExitCode {
    if let Err(why) = guest::can_boot() {
        uo2cb_tests::not_run(&format!("fences that restart a machine: {why}"));
        return ExitCode::SUCCESS;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen = |name: &str| words.iter().all(|word| name.contains(word));
    let scenarios: Vec<_> = SCENARIOS.into_iter().filter(|(name, _)| chosen(name)).collect();
    if scenarios.is_empty() {
        println!("fencing: no scenario chosen");
        return ExitCode::SUCCESS;
    }
    let begin = Instant::now();
    let built = program::uo2cb_for_guests().and_then(|path| Ok(std::fs::read(path)?));
    let uo2cb = match built {
        Ok(uo2cb) => uo2cb,
        Err(error) => {
            println!("fencing: {error}");
            return ExitCode::FAILURE;
        }
    };
    let failed = thread::scope(|scope| {
        let running: Vec<_> = scenarios
            .into_iter()
            .map(|(name, run)| {
                let uo2cb = &uo2cb;
                let body = move || run(uo2cb);
                (name, thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, body))
            })
            .collect();
        let mut failed = 0;
        for (name, scenario) in running {
            let outcome = match scenario.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(Ok(()))) => "good".to_owned(),
                Ok(Ok(Err(error))) => error.to_string(),
                // It has said why.
                Ok(Err(_)) => "wrong".to_owned(),
                Err(error) => error.to_string(),
            };
            failed += u32::from(outcome != "good");
            println!("fencing: {name}: {outcome}");
        }
        failed
    });
    println!("fencing: {failed} scenarios failed, {:.0} s", begin.elapsed().as_secs_f64());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
