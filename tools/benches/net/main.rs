//! What connections cost.
//!
//! `cargo bench -p uo2cb --bench net` takes five minutes. With the word `cost` behind `--`: 32 nodes on one disk, the
//! processor time of each while nothing happens, with connections between all of them and without any. With `latency`:
//! the time of a keepalive's round trip to a node, beside that of as many bytes to a thread that only echoes them. What is
//! compared runs in turns, in one run; the figures that are wanted stand beside those measured, and nothing fails.
#![allow(clippy::unwrap_used, missing_docs)]

mod cluster;
mod latency;

use std::process::Command;

/// Says to a process of this program what it is.
const ROLE: &str = "NET_ROLE";

fn main() {
    if let Ok(role) = std::env::var(ROLE) {
        return cluster::play(role == "connected");
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    if wanted("latency") {
        latency::measure();
    }
    if wanted("cost") {
        cluster::measure();
    }
}

/// Has a process of its own play a role. What it printed, in its last line.
fn process(role: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).env(ROLE, role).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
