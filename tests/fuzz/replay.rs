//! The fuzzer's inputs once more, without the fuzzer: what it found worth keeping, and what it once failed on.
//! `tests/fuzz/run` runs the fuzzer itself.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod check;

use std::fs;
use std::path::Path;

fn replay(name: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut count = 0;
    for entry in fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        if std::panic::catch_unwind(|| check(&input)).is_err() {
            panic!("fails: {}", path.display());
        }
        count += 1;
    }
    assert!(count > 10, "only {count} inputs in {}", corpus.display());
    println!("{name}: {count} inputs");
}

#[test]
fn slots() {
    replay("slots", check::slots);
}

#[test]
fn beats() {
    replay("beats", check::beats);
}

#[test]
fn messages() {
    replay("messages", check::messages);
}

#[test]
fn peers() {
    replay("peers", check::peers);
}

#[test]
fn orders_at_one_instant() {
    replay("peers", check::orders);
}

/// Inputs that nobody chose: so the checks are used, and run, also where there is no fuzzer.
#[test]
fn anything() {
    let mut rng = uo2cb_tests::rng::Rng::new(7);
    for _ in 0..2000 {
        let input: Vec<u8> = (0..rng.below(200)).map(|_| rng.number() as u8).collect();
        check::slots(&input);
        check::beats(&input);
        check::messages(&input);
        check::peers(&input);
        check::orders(&input);
    }
}
