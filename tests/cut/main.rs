//! Networks that are cut, and disks that hang: clusters of real kernels, of our daemons and of both play the same runs.
//!
//! A run is data (`uo2cb_tests::cut`): what is done, and what kernels were seen to do then. All chosen runs play at the same time,
//! each with a switch, an image and nodes of its own. Words after `--` choose: the names of runs (`all`: every one), and
//! who plays the nodes, one letter each (`k` a kernel, `o` ours), as in
//!
//! ```text
//! cargo test -p uo2cb-tests --test cut -- 3a kkkk ooko
//! ```
//!
//! A run is played once for each word of letters that is as long as it has nodes, with kernels if there is none.
//! `lines` also prints all lines; `strict` judges hung disks to half a second, which wants a quiet machine. Guests take a
//! fifth of a processor each, our daemons much less: `guests=N` plays as many runs at the same time as have together at
//! most that many guests, four daemons counted as one. Needs root and tun devices. What was seen: `RESULTS.md` beside this.

mod blocks;
mod play;
mod wire;

use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use uo2cb_tests::cut::judge::{Judgement, judge};
use uo2cb_tests::cut::run::Run;
use uo2cb_tests::cut::{Record, runs};
use uo2cb_tests::guest::Error;
use uo2cb_tests::nodes::Kind;
use uo2cb_tests::program;
use uo2cb_tests::switch::space;

/// What is played without any words.
const CHOICE: &[(&str, &str)] =
    &[("5", "oo"), ("4a", "ko"), ("4b", "ok"), ("2b", "ooo"), ("3a", "oooo"), ("1f", "oo"), ("u", "ooo")];
/// As many guests at the same time as two processors bear.
const GUESTS: usize = 12;
/// So many of our daemons cost as much as a guest.
const DAEMONS: usize = 4;

struct Play {
    run: &'static Run,
    kinds: Vec<Kind>,
}

/// What the words ask for.
struct Words {
    plays: Vec<Play>,
    lines: bool,
    strict: bool,
    guests: usize,
}

fn main() -> ExitCode {
    let words = match words(std::env::args().skip(1)) {
        Ok(words) => words,
        Err(error) => {
            println!("cut: {error}");
            return ExitCode::from(2);
        }
    };
    if let Err(why) = can_run() {
        uo2cb_tests::not_run(&format!("cut: {why}"));
        return ExitCode::SUCCESS;
    }
    let begin = Instant::now();
    let uo2cb = match program::uo2cb() {
        Ok(uo2cb) => uo2cb,
        Err(error) => {
            println!("cut: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut failed, mut rest) = (0, words.plays.as_slice());
    while !rest.is_empty() {
        let mut nodes = 0;
        let fits = rest.iter().take_while(|play| {
            let cost = |kind: &Kind| if *kind == Kind::Kernel { DAEMONS } else { 1 };
            nodes += play.kinds.iter().map(cost).sum::<usize>();
            nodes <= words.guests * DAEMONS
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        let results: Vec<_> = thread::scope(|scope| {
            let plays = now.iter().map(|play| scope.spawn(|| play::play(play.run, &play.kinds, &uo2cb)));
            let plays: Vec<_> = plays.collect();
            plays.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        for (play, result) in now.iter().zip(results) {
            let result = result.unwrap_or_else(|_| Err("panicked".to_owned().into()));
            failed += usize::from(!report(play, result, &words));
        }
        rest = later;
    }
    println!("cut: {failed} of {} failed, {:.0} s", words.plays.len(), begin.elapsed().as_secs_f64());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn words(arguments: impl Iterator<Item = String>) -> Result<Words, String> {
    let (mut names, mut letters) = (Vec::new(), Vec::new());
    let (mut lines, mut strict, mut guests) = (false, false, GUESTS);
    for word in arguments.filter(|word| !word.starts_with('-')) {
        let kinds: Option<Vec<Kind>> = word.chars().map(Kind::from_letter).collect();
        if let Some(number) = word.strip_prefix("guests=") {
            guests = number.parse().map_err(|_| format!("no number of guests: {number}"))?;
        } else if word == "lines" {
            lines = true;
        } else if word == "strict" {
            strict = true;
        } else if let Some(kinds) = kinds {
            letters.push(kinds);
        } else if word == "all" {
            names.extend(runs::all().map(|run| run.name.to_owned()));
        } else {
            names.push(word);
        }
    }
    let find = |name: &str| runs::all().find(|run| run.name == name).ok_or_else(|| format!("no run {name}"));
    let mut plays = Vec::new();
    if names.is_empty() && letters.is_empty() {
        for (name, kinds) in CHOICE {
            plays.push(Play {
                run: find(name)?,
                kinds: kinds.chars().filter_map(Kind::from_letter).collect(),
            });
        }
    }
    for name in &names {
        let run = find(name)?;
        let fitting = letters.iter().filter(|kinds| kinds.len() == usize::from(run.nodes));
        let fitting = fitting.filter(|kinds| !run.is_ours() || !kinds.contains(&Kind::Kernel));
        let mut kinds: Vec<_> = fitting.cloned().collect();
        if letters.is_empty() {
            let kind = if run.is_ours() { Kind::Ours } else { Kind::Kernel };
            kinds.push(vec![kind; usize::from(run.nodes)]);
        }
        plays.extend(kinds.into_iter().map(|kinds| Play { run, kinds }));
    }
    if plays.is_empty() {
        return Err("nothing chosen: no run has as many nodes as letters were given".into());
    }
    Ok(Words { plays, lines, strict, guests })
}

/// Prints what was seen beside what kernels did. Returns if all was as it must be.
fn report(play: &Play, result: Result<Record, Error>, words: &Words) -> bool {
    let letters: String = play.kinds.iter().map(|kind| kind.letter()).collect();
    let Run { name, what, .. } = play.run;
    println!("\ncut: {name} {letters}: {what}");
    let record = match result {
        Ok(record) => record,
        Err(error) => {
            println!("cut: {name} {letters}: {error}");
            return false;
        }
    };
    let judgements = judge(play.run, &record, words.strict);
    for Judgement { what, kernel, seen, good } in &judgements {
        let verdict = if *good { "" } else { "  <-- WRONG" };
        println!("  {what:<100.100} | {kernel:<44} | {seen}{verdict}");
    }
    let good = judgements.iter().all(|judgement| judgement.good);
    if words.lines || !good {
        for (at, node, line) in record.lines.iter().filter(|(at, ..)| *at > -30.0) {
            println!("  {at:>8.2}  {node}  {line}");
        }
    }
    println!("cut: {name} {letters}: {}", if good { "good" } else { "WRONG" });
    good
}

fn can_run() -> Result<(), String> {
    space::can_run()?;
    uo2cb::mountpoint::may_mount(false).map_err(|error| error.to_string())
}
