//! The stack against a naive reference: random operations, compared after every call.
//!
//! `UO2CB_MODEL_SEQUENCES` sets how many lists of operations are run (default 10000), `UO2CB_MODEL_SEED` where
//! their numbering begins. What fails is printed as a short list to paste into `regressions.rs`.

mod call;
mod ops;
mod reference;
mod regressions;
mod run;
mod values;

use std::panic::{AssertUnwindSafe, catch_unwind};

use uo2cb_tests::rng::Rng;
use uo2cb_tests::shrink::shrink;

use crate::ops::Op;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// List number `seed`. Most begin with a cluster, without which little can happen.
fn list(seed: u64) -> Vec<Op> {
    let mut rng = Rng::new(seed);
    let length = 20 + rng.below(41) as usize;
    let mut ops = match rng.below(8) {
        0 => Vec::new(),
        1 | 2 => vec![Op::Cluster(0), Op::Node(0), Op::Complete(0, 1), Op::Region(0)],
        _ => vec![Op::Mode(1), Op::Cluster(0), Op::Node(0), Op::Complete(0, 1), Op::Region(0)],
    };
    ops.extend((ops.len()..length).map(|_| Op::random(&mut rng)));
    ops
}

/// The same; a panic counts as a difference.
fn attempt(ops: &[Op]) -> Result<u64, String> {
    catch_unwind(AssertUnwindSafe(|| run::run(ops))).unwrap_or_else(|_| Err("panic".to_owned()))
}

#[test]
fn the_engine_does_what_the_reference_does() {
    let (first, count) = (number("UO2CB_MODEL_SEED", 0), number("UO2CB_MODEL_SEQUENCES", 10_000));
    let (began, mut calls) = (std::time::Instant::now(), 0);
    for seed in first..first + count {
        match attempt(&list(seed)) {
            Ok(done) => calls += done,
            Err(_) => {
                // Each step of shrinking may panic once more: one report is enough.
                let hook = std::panic::take_hook();
                std::panic::set_hook(Box::new(|_| {}));
                let short = shrink(list(seed), |ops| attempt(ops).is_err());
                std::panic::set_hook(hook);
                let difference = attempt(&short).err().unwrap_or_default();
                let lines: Vec<_> = short.iter().map(|op| format!("        {op:?},\n")).collect();
                panic!(
                    "list {seed} (after {} others), {} operations left:\n{difference}\n\n    \
                     check(&[\n{}    ]);\n",
                    seed - first,
                    short.len(),
                    lines.concat()
                );
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{count} lists, {calls} calls compared in {seconds:.1} s");
}
