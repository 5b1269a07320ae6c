//! What a whole node costs that beats on many disks, and how late its beats are.
//!
//! `cargo bench -p uo2cb --bench beats` takes about fifteen minutes, on files in the folder for temporary files (for the
//! costs) and in memory (for lateness, which is to be that of processors, not of a disk), or both in `BEATS_DIR`. With
//! the word `cost` or `lateness` behind `--`, only one half. Everything that is measured is a process of its own, one
//! after the other; only the two of the last table run side by side, so that both suffer from the same load
//! (stress-ng). The figures that are wanted stand beside those measured; nothing fails.
//!
//! With `BEATS_DIR` on ext4 lateness is not the node's alone: the end of every asynchronous direct write to a file there
//! passes through an ordinary thread of the kernel (`iomap_dio_complete_work` of Linux 6.18, which the tracepoint
//! workqueue_queue_work counts once a beat), and that one waits behind the load. Measured with stress-ng: 99 % of the
//! beats of nodes with real-time priority late by up to 191 ms, of a plain loop of pread and pwrite with the same
//! priority, at the same time, by up to 4.4 ms.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../../blockio/benches/support/loops.rs"]
mod loops;
mod node;
mod watch;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use self::loops::Phases;
use self::watch::Watch;

/// Between two beats.
const PERIOD: Duration = Duration::from_secs(2);
/// Beats of every disk that are counted in one turn of the table of costs, and its turns: the median of them is printed,
/// as single ones differ by a half on machines that others use, too.
const BEATS: usize = 10;
const TURNS: usize = 3;
/// How long beats are watched for the table of lateness, and nodes of each kind there.
const LONG: Duration = Duration::from_secs(80);
const LATE_NODES: usize = 8;
/// Files there are in memory.
const MEMORY: &str = "/dev/shm";
/// Says to a process of this program what it is.
const ROLE: &str = "BEATS_ROLE";
const FOLDER: &str = "BEATS_FOLDER";

fn main() {
    let folder = || std::env::var(FOLDER).unwrap();
    match std::env::var(ROLE) {
        Ok(role) => play(&role, Path::new(&folder())),
        Err(_) => {
            // As with any benchmark, words choose among them.
            let words: Vec<String> =
                std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
            let wanted =
                |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
            if wanted("cost") {
                costs();
            }
            if wanted("lateness") {
                lateness();
            }
        }
    }
}

/// `KIND DISKS SLOTS`.
fn play(role: &str, folder: &Path) {
    let words: Vec<&str> = role.split(' ').collect();
    let (disks, slots) = (words[1].parse().unwrap(), words[2].parse().unwrap());
    match words[0] {
        "nodes" => node::many(folder, disks),
        "node" => node::one(&loops::files(folder, disks), slots),
        "threads" | "threads-at-once" => {
            let phases = if words[0] == "threads" { Phases::Own } else { Phases::Common };
            let paths = loops::files(folder, disks);
            report(loops::thread_per_disk(&paths, phases, PERIOD, BEATS, slots), "");
        }
        _ => {
            let mut bare = loops::Bare::new(&loops::files(folder, disks));
            bare.beat(slots);
            let (before, started) = (loops::cpu(), std::time::Instant::now());
            for round in 0..BEATS {
                loops::sleep_until(started, PERIOD, round);
                bare.beat(slots);
            }
            report(loops::cpu() - before, "");
        }
    }
}

/// How a process says what it has spent for [`BEATS`] beats, and what else there is to say.
fn report(spent: Duration, more: &str) {
    println!("{} {more}", spent.as_secs_f64());
}

fn fresh_folder(otherwise: &Path) -> tempfile::TempDir {
    let folder = std::env::var_os("BEATS_DIR").map_or(otherwise.into(), std::path::PathBuf::from);
    tempfile::tempdir_in(folder).unwrap()
}

fn start(role: &str, folder: &Path, before: &[&str]) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = match before.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.env(ROLE, role).env(FOLDER, folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

/// A row of the table of costs: its name, its role, and so many disks and slots.
const ROWS: [(&str, &str, usize, usize); 6] = [
    ("bare io_uring loop", "bare", 200, 255),
    ("thread per disk", "threads", 200, 255),
    ("  all at once", "threads-at-once", 200, 255),
    ("uo2cb, a whole node", "node", 200, 255),
    ("uo2cb, a whole node", "node", 200, 32),
    ("uo2cb, a whole node", "node", 1000, 255),
];

fn costs() {
    let mut turns: [Vec<(f64, String)>; ROWS.len()] = Default::default();
    for _ in 0..TURNS {
        for ((_, kind, disks, slots), turns) in ROWS.iter().zip(&mut turns) {
            let folder = fresh_folder(&std::env::temp_dir());
            let mut child = start(&format!("{kind} {disks} {slots}"), folder.path(), &[]);
            let line = line(&mut child);
            assert!(child.wait().unwrap().success());
            let (spent, more) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            turns.push((spent.parse().unwrap(), more.to_owned()));
        }
    }
    println!(
        "{BEATS} beats of every disk, one each {PERIOD:?}: CPU time, and what of one core that is; the median of"
    );
    println!("{TURNS} turns, with what is said of that one, and the cheapest and the dearest\n");
    println!(
        "{:<20} {:>5} {:>5} {:>12} {:>16} {:>6} {:>6} {:>6} {:>9}  mean period, threads",
        "", "disks", "slots", "s/1000 beats", "", "x bare", "x per", "x all", "% of core"
    );
    for turns in &mut turns {
        turns.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    }
    let each = |row: usize, turn: usize| turns[row][turn].0 * 1000.0 / (BEATS * ROWS[row].2) as f64;
    for (row, (name, _, disks, slots)) in ROWS.iter().enumerate() {
        let median = each(row, TURNS / 2);
        let (spent, more) = &turns[row][TURNS / 2];
        let range = format!("{:.4} to {:.4}", each(row, 0), each(row, TURNS - 1));
        let [bare, threads, at_once] = [0, 1, 2].map(|other| median / each(other, TURNS / 2));
        let share = 100.0 * spent / (BEATS as f64 * PERIOD.as_secs_f64());
        println!(
            "{name:<20} {disks:>5} {slots:>5} {median:>12.4} {range:>16} {bare:>6.2} {threads:>6.2} {at_once:>6.2} \
             {share:>9.2}  {more}"
        );
    }
    println!(
        "\nwanted of a node: 200 disks: at most 1.5 x bare, 0.25 x thread per disk; 32 slots at most 0.7 x 255; 1000 \
         disks: at most 2 % of a core; mean period: off by at most 0.1 %"
    );
}

/// Beats under load, with real-time priority and without, at the same time.
fn lateness() {
    println!(
        "\nbeats of {LATE_NODES} nodes of each kind: how much later than {PERIOD:?} after the one before, in ms\n"
    );
    let plain_by: &[&str] = &["setpriv", "--bounding-set=-sys_nice"];
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let stress =
        Command::new("stress-ng").arg("--version").output().is_ok_and(|output| output.status.success());
    if !stress {
        println!("not measured under load: no stress-ng (package stress-ng)");
    }
    println!(
        "{:<10} {:<22} {:>6} {:>9} {:>9} {:>9} {:>9} {:>12}",
        "load", "", "beats", "p50", "p90", "p99", "max", "mean period"
    );
    for load in [false, true].into_iter().take(if stress { 2 } else { 1 }) {
        let folders = [fresh_folder(Path::new(MEMORY)), fresh_folder(Path::new(MEMORY))];
        let role = format!("nodes {LATE_NODES} 2");
        let mut nodes = [start(&role, folders[0].path(), &[]), start(&role, folders[1].path(), plain_by)];
        let kinds: Vec<String> = nodes.iter_mut().map(|child| line(child).trim().to_owned()).collect();
        let stress = load.then(|| {
            let mut command = Command::new("stress-ng");
            command.args([
                "--cpu",
                &(2 * processors).to_string(),
                "--switch",
                "2",
                "--vm",
                "1",
                "--vm-bytes",
                "64M",
            ]);
            command.args(["--quiet", "--timeout", &(LONG.as_secs() + 20).to_string()]);
            command.stdout(Stdio::null()).spawn().unwrap()
        });
        let paths: Vec<_> = folders
            .iter()
            .flat_map(|folder| (0..LATE_NODES).map(|number| folder.path().join(number.to_string())))
            .collect();
        let mut watch = Watch::new(&paths);
        watch::first_of_all();
        watch.run(LONG);
        if let Some(mut stress) = stress {
            let _ = stress.kill();
            let _ = stress.wait();
        }
        for (number, (child, kind)) in nodes.iter_mut().zip(kinds).enumerate() {
            let files = number * LATE_NODES..(number + 1) * LATE_NODES;
            let late = watch.lateness(files.clone());
            let part = |share: f64| late[((late.len() - 1) as f64 * share) as usize] * 1e3;
            println!(
                "{:<10} {kind:<22} {:>6} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>+10.4} %",
                if load { "stress-ng" } else { "none" },
                late.len(),
                part(0.5),
                part(0.9),
                part(0.99),
                part(1.0),
                100.0 * watch.mean_error(files)
            );
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
        }
    }
}
