//! `oracle [--nvmet | --regions] [--seed N | LIST]...`: what a real kernel answers to lists of operations, side by side
//! with each operation; the lists are files or generated from a seed.

use std::error::Error;
use std::process::ExitCode;

use uo2cb_tests::generate;
use uo2cb_tests::list::List;
use uo2cb_tests::oracle::{self, Tree};

fn main() -> ExitCode {
    match print() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("oracle: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1).peekable();
    let tree = match args.next_if(|arg| arg == "--nvmet" || arg == "--regions").as_deref() {
        Some("--nvmet") => Tree::Nvmet,
        Some(_) => Tree::Regions,
        None => Tree::O2cb,
    };
    let mut lists = Vec::new();
    while let Some(arg) = args.next() {
        lists.push(if arg == "--seed" {
            let seed = args.next().ok_or("--seed wants a number")?.parse()?;
            generate::list(tree, seed, generate::LENGTH)
        } else {
            List { text: std::fs::read_to_string(&arg)?, name: arg }
        });
    }
    for (list, answers) in lists.iter().zip(oracle::ask(tree, &lists)?) {
        println!("# {}", list.name);
        for ((_, operation), answer) in list.operations().zip(answers) {
            println!("{operation:60} {answer}");
        }
    }
    Ok(())
}
