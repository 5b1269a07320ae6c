//! `uo2cb`: ocfs2's cluster stack as an ordinary process, from the command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
