//! Plans that once failed, shrunk, under the name of what was wrong.

use uo2cb_tests::sim::faults::{DiskFault, Fault, Plan};
use uo2cb_tests::sim::{SEC, world};

const LOCAL: Plan = Plan {
    seed: 0,
    nodes: 4,
    regions: 1,
    global: false,
    user: false,
    dead_threshold: 7,
    start_spread: 20 * SEC,
    times: [30_000, 2000, 2000],
    buffer: 65_536,
    exits: false,
    length: 600 * SEC,
    faults: Vec::new(),
};

fn check(plan: Plan) {
    if let Err(violation) = world::run(&plan) {
        panic!("{}", super::report(plan, &violation));
    }
}

/// An observer whose beat was held up by its disk sampled twice in a moment: the dead time was up to 2 s too short.
#[test]
fn samples_behind_a_late_beat_are_two_seconds_apart() {
    check(Plan {
        seed: 3585,
        regions: 4,
        global: true,
        faults: vec![
            Fault::Disk { disk: 2, node: Some(2), at: 374_649_300, end: 390_167_852, kind: DiskFault::Hang },
            Fault::Disk { disk: 3, node: None, at: 68_699_340, end: 88_201_105, kind: DiskFault::HangDone },
            Fault::Disk { disk: 2, node: Some(1), at: 362_656_423, end: 374_160_135, kind: DiskFault::Hang },
            Fault::Disk { disk: 0, node: None, at: 67_816_649, end: 92_831_401, kind: DiskFault::Hang },
        ],
        ..LOCAL
    });
}

/// The answer to a write came late, and the write timeout was counted from there: others had seen the write earlier.
#[test]
fn the_write_timeout_counts_from_the_write() {
    check(Plan {
        seed: 1256,
        global: true,
        dead_threshold: 12,
        faults: vec![
            Fault::Pause { node: 2, at: 241_453_497, end: 266_599_053 },
            Fault::Slow { node: 2, at: 228_475_709, end: 283_322_521, delay: 2_877_442 },
        ],
        ..LOCAL
    });
}

/// The last beat before a region was steady did not arm the write timeout: a disk that hung from then on was never
/// noticed.
#[test]
fn the_beat_that_makes_it_steady_arms_the_write_timeout() {
    let kind = DiskFault::Slow(2_776_953);
    check(Plan {
        seed: 10,
        regions: 3,
        dead_threshold: 3,
        faults: vec![Fault::Disk { disk: 2, node: None, at: 320_059_496, end: 368_541_585, kind }],
        ..LOCAL
    });
}

/// The last block was made when the region was removed, and written much later behind a read that hung.
#[test]
fn the_last_block_has_the_time_of_its_write() {
    check(Plan {
        seed: 520,
        nodes: 3,
        regions: 3,
        global: true,
        dead_threshold: 5,
        faults: vec![
            Fault::Recreate { node: 2, region: 2, at: 323_947_516, wait: 1_364_228 },
            Fault::Disk { disk: 2, node: None, at: 317_993_655, end: 332_023_088, kind: DiskFault::Hang },
        ],
        ..LOCAL
    });
}

/// A write came back after more than the write timeout, and made its region steady: the timeout was over at once.
#[test]
fn a_write_later_than_its_timeout_makes_nothing_good() {
    check(Plan {
        seed: 3_011_002,
        nodes: 3,
        regions: 2,
        global: true,
        dead_threshold: 11,
        faults: vec![
            Fault::Disk { disk: 0, node: None, at: 386_575_917, end: 412_719_780, kind: DiskFault::Hang },
            Fault::Disk { disk: 1, node: None, at: 313_808_774, end: 352_277_737, kind: DiskFault::Hang },
            Fault::Disk {
                disk: 0,
                node: None,
                at: 348_238_425,
                end: 387_960_197,
                kind: DiskFault::Slow(1_109_723),
            },
            Fault::Disk {
                disk: 1,
                node: None,
                at: 203_717_629,
                end: 224_165_173,
                kind: DiskFault::Slow(2_993_089),
            },
            Fault::Disk { disk: 0, node: Some(0), at: 372_850_025, end: 381_239_009, kind: DiskFault::Hang },
        ],
        ..LOCAL
    });
}

/// A region was being removed, held up by a disk that hung, when its node shut down: whoever waits is answered at once
/// then, and the last block still written.
#[test]
fn an_ending_node_answers_a_removal_that_hangs() {
    check(Plan {
        seed: 920_793,
        nodes: 2,
        regions: 2,
        global: true,
        dead_threshold: 12,
        faults: vec![
            Fault::Recreate { node: 0, region: 1, at: 419_474_253, wait: 9_239_472 },
            Fault::Shutdown { node: 0, at: 428_224_150, restart_at: 429_163_678 },
            Fault::Disk { disk: 1, node: None, at: 413_796_995, end: 430_000_000, kind: DiskFault::HangDone },
        ],
        ..LOCAL
    });
}

/// One region of three failed while its node was paused: what it asks the master then comes behind the end of its timeout,
/// and is asked all the same.
#[test]
fn a_region_that_failed_in_a_pause_still_asks_for_time() {
    check(Plan {
        seed: 13_017,
        nodes: 2,
        regions: 3,
        global: true,
        dead_threshold: 9,
        faults: vec![
            Fault::Pause { node: 1, at: 260_596_097, end: 273_602_165 },
            Fault::Disk {
                disk: 0,
                node: Some(1),
                at: 206_174_698,
                end: 265_269_929,
                kind: DiskFault::Slow(2_890_499),
            },
        ],
        ..LOCAL
    });
}
