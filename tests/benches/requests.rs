//! What a call on our mount costs, beside file systems that do nothing and let the kernel cache the same.
//!
//! Measured is the daemon as users run it: the release program, a process of its own, with its log on. Beside it stand
//! a file system in C on libfuse3 and one in Rust on fuser, each a process of its own; the calls are made by a further
//! process. All of them share one processor: across two a benchmark measures the scheduler.
//!
//! Servers take turns in short rounds, so that whatever else the machine does hits all alike. Of the rounds of one turn
//! the lower quartile counts: interruptions only ever add time, so the quickest rounds are the undisturbed ones; the
//! minimum itself would be one lucky round. Ratios are taken in each turn; what is shown is their median and range.
//!
//! The number of requests is exact, so more of them than libfuse3 gets are a failure. Times are not: they are only
//! marked.

#[path = "support/calls.rs"]
mod calls;
#[path = "support/client.rs"]
mod client;
#[path = "support/listing.rs"]
mod listing;
#[path = "support/nothing.rs"]
mod nothing;
#[path = "support/servers.rs"]
mod servers;

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use self::calls::Calls;
use self::client::Client;
use self::servers::{Server, Used};

/// How much slower than libfuse3 we may be.
const RATIO: f64 = 1.1;
/// Turns of each operation, rounds on each mount in a turn, and calls in a round.
const TURNS: usize = 9;
const ROUNDS: usize = 40;
const CALLS: u32 = 50;
/// The variable that gives a process another role: "client" or "fuser".
const ROLE: &str = "REQUESTS_ROLE";
/// Requests that one operation may take more than with libfuse3: the kernel sends its forgets when it likes.
const SLACK: f64 = 0.5;

fn main() -> ExitCode {
    let role = std::env::var(ROLE).unwrap_or_default();
    let mut arguments = std::env::args_os().skip(1);
    let done = match (&*role, arguments.next()) {
        ("client", first) => client::serve(first.into_iter().chain(arguments)).map(|()| true),
        ("fuser", Some(dir)) => nothing::serve(Path::new(&dir)).map(|()| true).map_err(Into::into),
        (_, first) => measure(first.into_iter().chain(arguments)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("requests: {error}");
            ExitCode::FAILURE
        }
    }
}

/// This program in another role.
fn as_role(role: &str) -> Result<Command, Box<dyn Error>> {
    let mut program = Command::new(std::env::current_exe()?);
    program.env(ROLE, role);
    Ok(program)
}

fn measure(arguments: impl Iterator<Item = OsString>) -> Result<bool, Box<dyn Error>> {
    let chosen = chosen(arguments);
    if chosen.is_empty() {
        println!("requests: nothing measured, as no operation has one of these words in its name");
        return Ok(true);
    }
    let processor = pin()?;
    let folder = tempfile::tempdir()?;
    let servers = [
        Server::uo2cb(&folder.path().join("log"))?,
        Server::libfuse(folder.path())?,
        Server::fuser(as_role("fuser")?)?,
    ];
    let mut client = Client::start(as_role("client")?, servers.iter().map(Server::root))?;
    println!(
        "all on processor {processor}; {TURNS} turns of {ROUNDS} rounds of {CALLS} calls, lower quartiles"
    );
    println!("mount: uo2cb, libfuse3 in C, fuser; both of the latter do nothing\n");
    println!(
        "{:14} | {:^26} | {:^29} | {:^26} | {:^17}",
        "", "microseconds", "ratio to libfuse3 and fuser", "of these, server's", "requests"
    );
    let [ours, libfuse, fuser] = servers.each_ref().map(|server| server.name);
    println!(
        "{:14} | {ours:>8} {libfuse:>8} {fuser:>8} | {:>6} {:>13} {:>8} | {ours:>8} {libfuse:>8} {fuser:>8} | \
         {ours:>8} {libfuse:>8}",
        "", "median", "range", "median"
    );
    let mut good = true;
    for calls in chosen {
        let taken = Taken::measure(calls, &servers, &mut client)?;
        good &= taken.print(calls);
    }
    // The mounts must not be in use any more when they go.
    drop(client);
    println!(
        "\nratio: at most {RATIO} of libfuse3 is wanted; requests: kernel's questions for one operation"
    );
    println!("{}", if good { "no more requests than libfuse3 gets" } else { "too many requests" });
    Ok(good)
}

/// As with any benchmark, words choose among the operations; options are for harnesses. The benchmark's own name chooses
/// all.
fn chosen(arguments: impl Iterator<Item = OsString>) -> Vec<Calls> {
    let words: Vec<_> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<_> = words.iter().filter(|word| !word.starts_with("--")).collect();
    let named =
        |calls: &Calls| words.iter().any(|word| *word == "requests" || calls.name().contains(&**word));
    Calls::ALL.into_iter().filter(|calls| words.is_empty() || named(calls)).collect()
}

/// What one operation has taken, by server.
struct Taken {
    /// Microseconds of each turn.
    times: [Vec<f64>; 3],
    /// Microseconds of processor, and requests, for one.
    used: [(f64, f64); 3],
}

impl Taken {
    fn measure(calls: Calls, servers: &[Server; 3], client: &mut Client) -> Result<Self, Box<dyn Error>> {
        for mount in 0..servers.len() {
            client.run(calls, mount, CALLS)?;
        }
        let mut times = [const { Vec::new() }; 3];
        let mut used = [Used::default(); 3];
        for _ in 0..TURNS {
            let mut rounds = [const { Vec::new() }; 3];
            for round in 0..ROUNDS {
                // Whoever goes second finds warm caches: take turns.
                for mount in (0..servers.len()).map(|mount| (mount + round) % servers.len()) {
                    let before = servers[mount].used()?;
                    rounds[mount].push(client.run(calls, mount, CALLS)?);
                    let after = servers[mount].used()?;
                    used[mount].nanos += after.nanos - before.nanos;
                    used[mount].reads += after.reads - before.reads;
                }
            }
            for (times, rounds) in times.iter_mut().zip(rounds) {
                times.push(quartile(rounds));
            }
        }
        let count = (TURNS * ROUNDS) as f64 * f64::from(CALLS);
        let used = used.map(|used| (used.nanos as f64 / 1000.0 / count, used.reads as f64 / count));
        Ok(Self { times, used })
    }

    /// Prints a line; false when an operation took too many requests.
    fn print(self, calls: Calls) -> bool {
        let ratios = |other: usize| {
            let mut ratios: Vec<_> =
                self.times[0].iter().zip(&self.times[other]).map(|(ours, theirs)| ours / theirs).collect();
            ratios.sort_by(f64::total_cmp);
            (ratios[ratios.len() / 2], ratios[0], ratios[ratios.len() - 1])
        };
        let (ratio, least, most) = ratios(1);
        let (to_fuser, ..) = ratios(2);
        let [ours, libfuse, fuser] = self.times.clone().map(median);
        let [(cpu, requests), (libfuse_cpu, libfuse_requests), (fuser_cpu, _)] = self.used;
        let good = requests <= libfuse_requests + SLACK;
        let slow = if ratio > RATIO { "  slow" } else { "" };
        let many = if good { "" } else { "  TOO MANY REQUESTS" };
        println!(
            "{:14} | {ours:8.2} {libfuse:8.2} {fuser:8.2} | {ratio:6.3} {:>13} {to_fuser:8.3} | \
             {cpu:8.2} {libfuse_cpu:8.2} {fuser_cpu:8.2} | {requests:8.2} {libfuse_requests:8.2}{slow}{many}",
            calls.name(),
            format!("{least:.3}-{most:.3}"),
        );
        good
    }
}

fn quartile(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 4).copied().unwrap_or(f64::NAN)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Keeps this thread, and all that it will start, on the last processor that it may use: interrupts like the first.
fn pin() -> Result<usize, Box<dyn Error>> {
    let all = sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|processor| all.is_set(*processor)).ok_or("no processor")?;
    let mut set = CpuSet::new();
    set.set(last);
    sched_setaffinity(None, &set)?;
    Ok(last)
}
