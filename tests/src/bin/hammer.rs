//! `hammer ROOT NUMBER SEED`: one of the processes that hammer a mount; see `uo2cb_tests::hammer`.

use std::process::ExitCode;

fn main() -> ExitCode {
    uo2cb_tests::hammer::main(std::env::args().skip(1))
}
