//! All runs, named as in the collection of what kernels did.

mod changes;
mod disks;
mod filters;
mod five;
mod quorum;

use super::run::{Must, Run, Since, Step};

/// Every run.
pub fn all() -> impl Iterator<Item = &'static Run> {
    [quorum::RUNS, five::RUNS, disks::RUNS, filters::RUNS, changes::RUNS].into_iter().flatten()
}

/// When a decision comes after a cut: idle after five seconds and up to one of a quiet connection's keepalives, a
/// quorum delay of 18 s, and the slack of the kernel's timers.
const DECISION: (f64, f64) = (22.4, 25.0);
/// When a node is taken for dead after its last block.
const DEAD: (f64, f64) = (14.0, 16.2);
/// When the first line about silence comes after a cut.
const IDLE: (f64, f64) = (4.0, 6.1);

const fn line(node: u8, text: &'static str, seen: (f64, f64), times: (usize, usize)) -> Must {
    Must::Line { node, text, since: Since::Begin, seen, times }
}

const fn idle(node: u8, text: &'static str, times: (usize, usize)) -> Must {
    line(node, text, IDLE, times)
}

const fn stays(node: u8, text: &'static str) -> Must {
    line(node, text, DECISION, (1, 1))
}

const fn fence(node: u8, why: &'static str) -> Must {
    Must::Fence { node, why, since: Since::Begin, seen: DECISION }
}

const fn down(node: u8, of: u8) -> Must {
    Must::Down { node, of, since: Since::Block(of), seen: DEAD }
}
