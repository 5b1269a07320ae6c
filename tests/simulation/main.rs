//! Clusters in virtual time (`sim` in the library): seeds, regressions, size.
//!
//! `UO2CB_SIM_SEEDS` sets how many seeds are run (default 1000; more is the long mode), `UO2CB_SIM_FIRST` the first,
//! `UO2CB_SIM_NODES` how many nodes a cluster has at most (default 16): hours of small clusters pass fast.
//! What fails is shrunk and printed as a plan to paste into `regressions.rs`.

mod regressions;
mod scenarios;

use uo2cb_tests::sim::faults::{NODES, Plan};
use uo2cb_tests::sim::invariants::Violation;
use uo2cb_tests::sim::world::Figures;
use uo2cb_tests::sim::{MS, SEC, Us, shrink, world};

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

fn plan(seed: u64) -> Plan {
    let limit = number("UO2CB_SIM_NODES", NODES.into()).clamp(2, NODES.into());
    Plan::with_limit(seed, limit as u8)
}

/// Everything there is to say about a plan that fails.
fn report(plan: Plan, violation: &Violation) -> String {
    let seed = plan.seed;
    let small = shrink::shrink(plan, violation);
    let (result, trace) = world::run_traced(&small);
    let found = result.err();
    format!(
        "seed {seed}: {}: {} at {} us\nshrunk: {found:?}\n{small:#?}\n{}\n\
         again: UO2CB_SIM_FIRST={seed} UO2CB_SIM_SEEDS=1 (and UO2CB_SIM_NODES as it was) cargo test -p uo2cb-tests --test simulation\n",
        violation.invariant,
        violation.found,
        violation.at,
        trace.tail(40),
    )
}

/// Runs seeds: the sum of their figures, virtual time, and the violations.
fn run_all(seeds: impl Iterator<Item = u64>) -> (Figures, Us, Vec<(u64, Violation)>) {
    let (mut all, mut time, mut failed) = (Figures::default(), 0, Vec::new());
    for seed in seeds {
        let plan = plan(seed);
        match world::run(&plan) {
            Ok(figures) => all.add(&figures),
            Err(violation) => failed.push((seed, violation)),
        }
        time += plan.length;
    }
    (all, time, failed)
}

#[test]
fn seeds() {
    let (first, count) = (number("UO2CB_SIM_FIRST", 0), number("UO2CB_SIM_SEEDS", 1000));
    let began = std::time::Instant::now();
    let (mut all, mut time, mut failed) = (Figures::default(), 0, Vec::<(u64, Violation)>::new());
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    std::thread::scope(|scope| {
        let part = |from| (from..first + count).step_by(threads as usize);
        let parts: Vec<_> =
            (first..first + threads).map(|from| scope.spawn(move || run_all(part(from)))).collect();
        for part in parts {
            let (figures, virtual_time, violations) = part.join().expect("a panic of a seed");
            all.add(&figures);
            time += virtual_time;
            failed.extend(violations);
        }
    });
    failed.sort_by_key(|(seed, _)| *seed);
    println!("{count} seeds, {} virtual hours, {:?}: {all:?}", time / SEC / 3600, began.elapsed());
    let Some((seed, violation)) = failed.first() else { return };
    let lines: Vec<_> = failed
        .iter()
        .map(|(seed, found)| format!("{seed}: {}: {}\n", found.invariant, found.found))
        .collect();
    panic!("{}\n{} of {count} seeds fail:\n{}", report(plan(*seed), violation), failed.len(), lines.concat());
}

#[test]
fn equal_seeds_make_equal_traces() {
    for seed in [0, 3, 7, 12, 41] {
        let texts: Vec<_> = (0..2).map(|_| world::run_traced(&Plan::from_seed(seed)).1).collect();
        assert!(texts[0].text().len() > 10_000, "seed {seed}");
        assert!(texts[0].text() == texts[1].text(), "seed {seed} has two traces");
    }
    let texts: Vec<_> = [3, 12].map(|seed| world::run_traced(&Plan::from_seed(seed)).1).into();
    assert!(texts[0].text() != texts[1].text());
}

#[test]
fn the_largest_cluster() {
    let plan = Plan {
        seed: 255,
        nodes: 255,
        regions: 1,
        global: false,
        user: false,
        dead_threshold: 5,
        start_spread: MS,
        times: [30_000, 20_000, 2000],
        buffer: 65_536,
        exits: false,
        length: 30 * SEC,
        faults: Vec::new(),
    };
    let figures = world::run(&plan).unwrap_or_else(|violation| panic!("{}", report(plan, &violation)));
    assert_eq!(figures.events, 255 * 255);
}
