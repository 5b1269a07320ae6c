//! `probe ROOT < LIST`: runs the operations of a list in a tree, one answer a line.
//! `probe --clean ROOT`: takes the tree back to how it was after the mount.

use std::process::ExitCode;

fn main() -> ExitCode {
    uo2cb_tests::probe::main(std::env::args_os().skip(1))
}
