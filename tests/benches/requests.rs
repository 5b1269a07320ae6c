//! What a call on our mount costs, beside a file system that does nothing and lets the kernel cache the same.
//!
//! Both are mounted by this process, and the calls are made by a child process; all threads share one processor:
//! across two a benchmark measures the scheduler. The calls take turns in short rounds, so that whatever else the
//! machine does hits both alike. What is compared is the lower quartile of the rounds: interruptions only ever add
//! time, so the quickest rounds are the undisturbed ones; the minimum itself would be one lucky round.
//!
//! The number of requests is exact, so too many of them are a failure. Times are not: they are only marked.

#[path = "support/client.rs"]
mod client;
#[path = "support/nothing.rs"]
mod nothing;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use uo2cb::Node;

use self::client::{Calls, Client};

/// How much slower than nothing we may be.
const RATIO: f64 = 1.1;
/// Rounds of each call on each mount, and calls in a round.
const ROUNDS: usize = 400;
const CALLS: u32 = 50;

fn main() -> ExitCode {
    let done = match std::env::var_os(client::ROLE) {
        Some(_) => client::serve(),
        None => measure(),
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

fn measure() -> Result<bool, Box<dyn Error>> {
    let processor = pin()?;
    let (ours, nothing) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let node = node(ours.path())?;
    let session = nothing::mount(nothing.path())?;
    let mut client = Client::start(ours.path(), nothing.path())?;
    println!(
        "client and servers on processor {processor}, {ROUNDS} rounds of {CALLS} calls, lower quartiles\n"
    );
    println!("{:16} {:>10} {:>10} {:>6} {:>13}", "", "ours, us", "none, us", "ratio", "requests");
    // As with any benchmark, words choose among them; options are for harnesses.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let wanted = |calls: &Calls| words.is_empty() || words.iter().any(|word| calls.name().contains(word));
    let mut good = true;
    for calls in Calls::ALL.into_iter().filter(wanted) {
        good &= one(calls, &node, &mut client)?;
    }
    // The mounts must not be in use any more when they go.
    drop(client);
    drop(node);
    session.umount_and_join()?;
    println!(
        "\nratio: at most {RATIO} is wanted; requests: kernel's questions to us for one operation, and their limit"
    );
    println!("{}", if good { "all request counts are within their limits" } else { "too many requests" });
    Ok(good)
}

/// Prints a line; false when an operation took too many requests.
fn one(calls: Calls, node: &Node, client: &mut Client) -> Result<bool, Box<dyn Error>> {
    let (mut ours, mut none) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS / 20 {
        client.run(calls, true, CALLS)?;
        client.run(calls, false, CALLS)?;
    }
    let mut requests = 0;
    for round in 0..ROUNDS {
        // Whoever goes second finds warm caches: take turns.
        for first in [round % 2 == 0, round % 2 != 0] {
            let before = node.requests();
            let took = client.run(calls, first, CALLS)?;
            requests += node.requests() - before;
            if first { ours.push(took) } else { none.push(took) }
        }
    }
    let (ours, none) = (quartile(ours), quartile(none));
    let ratio = ours / none;
    let requests = requests as f64 / (ROUNDS as f64 * f64::from(CALLS));
    let good = requests <= f64::from(calls.limit());
    let slow = if ratio > RATIO { "  slow" } else { "" };
    let many = if good { "" } else { "  TOO MANY REQUESTS" };
    println!(
        "{:16} {ours:10.2} {none:10.2} {ratio:6.3} {requests:8.2} of {}{slow}{many}",
        calls.name(),
        calls.limit()
    );
    Ok(good)
}

fn quartile(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 4).copied().unwrap_or(f64::NAN)
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

/// The tree that the other one pretends to have, mounted by the daemon's library.
fn node(dir: &Path) -> Result<Node, uo2cb::Error> {
    let node = Node::builder().user_heartbeat().mount(dir).start()?;
    node.mkdir("cluster/c")?;
    node.mkdir("cluster/c/node/n1")?;
    node.write("cluster/c/node/n1/ipv4_address", "127.0.0.1")?;
    node.write("cluster/c/node/n1/ipv4_port", "7777")?;
    node.write("cluster/c/node/n1/num", "1")?;
    node.mkdir("cluster/c/heartbeat/R")?;
    Ok(node)
}
