//! What is fuzzed, and by what it is judged. Built twice: with the fuzzer (`targets/`), and as a test that runs the
//! inputs of `corpus/` once more (`replay.rs`).

mod beats;
mod bytes;
mod fixture;
mod history;
mod messages;
mod peers;
mod slots;

pub use beats::beats;
pub use messages::messages;
pub use peers::{orders, peers};
pub use slots::slots;
