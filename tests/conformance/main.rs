//! The same lists against a real kernel and against ours: every answer is compared.
//!
//! Words after `--`: `guest` compares the kernel with itself (a list with chance in it shows up there), `o2cb` or
//! `nvmet` takes one tree alone, and a list's name that list. Needs root, since the lists change owners and act as
//! other users.

use std::path::Path;
use std::process::{Command, ExitCode};

use uo2cb_tests::compare::{Report, Table};
use uo2cb_tests::generate;
use uo2cb_tests::guest::Error;
use uo2cb_tests::judge::{self, Tree};
use uo2cb_tests::list::List;
use uo2cb_tests::mount::Mount;
use uo2cb_tests::subject;

const SEEDS: u64 = 25;
const LINK_SEEDS: u64 = 8;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if !rustix::process::geteuid().is_root() {
        println!("conformance: not run, it needs root");
        return ExitCode::SUCCESS;
    }
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("conformance: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<bool, Error> {
    let against_itself = words.iter().any(|word| word == "guest");
    let trees = [("o2cb", Tree::O2cb), ("nvmet", Tree::Nvmet)];
    let chosen = |name: &str| words.iter().any(|word| word == name);
    let all_trees = !trees.iter().any(|(name, _)| chosen(name));
    let keywords = ["guest", "o2cb", "nvmet"];
    let names: Vec<&String> = words.iter().filter(|word| !keywords.contains(&word.as_str())).collect();
    let mut report = Report::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops");
    // A kernel does not differ from itself, and one list alone does not meet every entry.
    let whole = words.is_empty();
    let table = match std::fs::read_to_string(folder.join("differences.txt")) {
        Ok(text) if !against_itself => Table::parse(&text).map_err(Error::from)?,
        _ => Table::default(),
    };
    for (name, tree) in trees {
        if !all_trees && !chosen(name) {
            continue;
        }
        let mut lists = lists(tree, &folder)?;
        lists.retain(|list| names.is_empty() || names.contains(&&list.name));
        if lists.is_empty() {
            continue;
        }
        let kernel = judge::ask(tree, &lists)?;
        let ours = if against_itself {
            judge::ask(tree, &lists)?
        } else {
            subject::ask(mount(tree)?.root(), &lists)?
        };
        for ((list, kernel), ours) in lists.iter().zip(&kernel).zip(&ours) {
            report.add(tree.name(), &table, list, kernel, ours);
        }
    }
    Ok(report.conclude(&table, whole))
}

/// Ours, mounted.
fn mount(tree: Tree) -> Result<Mount, Error> {
    match tree {
        Tree::O2cb => Mount::mainline(),
        Tree::Nvmet => Mount::start(Command::new(env!("CARGO_BIN_EXE_nvmet")), &[]),
    }
}

fn lists(tree: Tree, folder: &Path) -> Result<Vec<List>, Error> {
    let (folder, seeds) = match tree {
        Tree::O2cb => (folder.to_path_buf(), SEEDS),
        Tree::Nvmet => (folder.join("nvmet"), LINK_SEEDS),
    };
    let mut lists = List::load_all(&folder)?;
    lists.extend((1..=seeds).map(|seed| generate::list(tree, seed, generate::LENGTH)));
    Ok(lists)
}
