//! `stress ROOT NUMBER SEED`: one of the processes that stress a mount; see `uo2cb_tests::stress`.

use std::process::ExitCode;

fn main() -> ExitCode {
    uo2cb_tests::stress::main(std::env::args().skip(1))
}
