//! `oracle [--nvmet] LIST...`: what a real kernel answers to lists of operations, side by side with each operation.

use std::path::Path;
use std::process::ExitCode;

use uo2cb_tests::judge::{self, Tree};
use uo2cb_tests::list::List;

fn main() -> ExitCode {
    match print() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("oracle: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print() -> Result<(), Box<dyn std::error::Error>> {
    let mut tree = Tree::O2cb;
    let mut lists = Vec::new();
    for arg in std::env::args().skip(1) {
        if arg == "--nvmet" {
            tree = Tree::Nvmet;
        } else {
            lists.push(List { text: std::fs::read_to_string(Path::new(&arg))?, name: arg });
        }
    }
    for (list, answers) in lists.iter().zip(judge::ask(tree, &lists)?) {
        println!("# {}", list.name);
        for ((_, operation), answer) in list.operations().zip(answers) {
            println!("{operation:60} {answer}");
        }
    }
    Ok(())
}
