//! The same lists against a real kernel and against ours: every answer is compared.
//!
//! Words after `--`: `guest` compares the kernel with itself (a list with chance in it shows up there), `o2cb`,
//! `nvmet` or `regions` takes one tree alone, and a list's name that list. Needs root, since the lists change owners
//! and act as other users, and loop devices for `regions`: there regions run, each list in a guest and in a mount of
//! its own, all at the same time and beside the lists of the other trees, because they mostly wait. What failed is on
//! lines that begin with `failed: `, which `tests/failures` looks for.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;

use uo2cb_tests::compare::{Report, Table};
use uo2cb_tests::disks::Loops;
use uo2cb_tests::generate;
use uo2cb_tests::guest::Error;
use uo2cb_tests::list::List;
use uo2cb_tests::mount::Mount;
use uo2cb_tests::not_run;
use uo2cb_tests::oracle::{self, Tree};
use uo2cb_tests::program;
use uo2cb_tests::subject;

const SEEDS: u64 = 25;
const LINK_SEEDS: u64 = 8;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if !rustix::process::geteuid().is_root() {
        not_run("conformance: it needs root");
        return ExitCode::SUCCESS;
    }
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<bool, Error> {
    let against_itself = words.iter().any(|word| word == "guest");
    let trees = [("o2cb", Tree::O2cb), ("nvmet", Tree::Nvmet), ("regions", Tree::Regions)];
    let chosen = |name: &str| words.iter().any(|word| word == name);
    let all_trees = !trees.iter().any(|(name, _)| chosen(name));
    let keywords = ["guest", "o2cb", "nvmet", "regions"];
    let names: Vec<&String> = words.iter().filter(|word| !keywords.contains(&word.as_str())).collect();
    let mut report = Report::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops");
    // A kernel does not differ from itself, and one list alone does not meet every entry.
    let mut whole = words.is_empty();
    let table = match std::fs::read_to_string(folder.join("differences.txt")) {
        Ok(text) if !against_itself => Table::parse(&text).map_err(Error::from)?,
        _ => Table::default(),
    };
    let mut chosen_lists = Vec::new();
    for (name, tree) in trees {
        if all_trees || chosen(name) {
            if tree == Tree::Regions {
                if let Err(error) = Loops::new() {
                    not_run(&format!("conformance: {name}, which need loop devices: {error}"));
                    whole = false;
                    continue;
                }
            }
            let mut lists = lists(tree, &folder)?;
            lists.retain(|list| names.is_empty() || names.contains(&&list.name));
            chosen_lists.push((tree, lists));
        }
    }
    // Built once, before many ask for it.
    program::probe()?;
    program::uo2cb()?;
    let answers: Vec<Result<Answered<'_>, Error>> = thread::scope(|scope| {
        let groups = chosen_lists.iter().flat_map(|(tree, lists)| {
            // What runs side by side: all lists of a tree one after the other, or each list by itself.
            let group = if *tree == Tree::Regions { 1 } else { lists.len().max(1) };
            lists.chunks(group).map(|group| (*tree, group))
        });
        let work: Vec<_> =
            groups.map(|(tree, lists)| scope.spawn(move || answers(tree, lists, against_itself))).collect();
        work.into_iter().map(|work| work.join().unwrap_or_else(|_| Err(panicked()))).collect()
    });
    let mut complete = true;
    for answers in answers {
        match answers {
            Ok((tree, lists, kernel, ours)) => {
                for ((list, kernel), ours) in lists.iter().zip(&kernel).zip(&ours) {
                    report.add(tree.name(), &table, list, kernel, ours);
                }
            }
            Err(error) => {
                println!("failed: {error}");
                complete = false;
            }
        }
    }
    Ok(report.conclude(&table, whole && complete) && complete)
}

fn panicked() -> Error {
    Error::from("a panic".to_owned())
}

/// What both answered to some lists of a tree.
type Answered<'a> = (Tree, &'a [List], Vec<Vec<String>>, Vec<Vec<String>>);

fn answers(tree: Tree, lists: &[List], against_itself: bool) -> Result<Answered<'_>, Error> {
    thread::scope(|scope| {
        let kernel = scope.spawn(|| oracle::ask(tree, lists));
        let ours = if against_itself { oracle::ask(tree, lists) } else { ask_ours(tree, lists) };
        let kernel = kernel.join().unwrap_or_else(|_| Err(panicked()));
        Ok((tree, lists, kernel?, ours?))
    })
}

fn ask_ours(tree: Tree, lists: &[List]) -> Result<Vec<Vec<String>>, Error> {
    // In this order, so that the mount goes first.
    let loops = if tree == Tree::Regions { Some(Loops::new()?) } else { None };
    let mount = mount(tree)?;
    let mut places = vec![mount.root().into()];
    places.extend(mount.debugfs().map(Into::into));
    places.extend(loops.iter().flat_map(Loops::words));
    subject::ask(&places, lists)
}

/// Ours, mounted.
fn mount(tree: Tree) -> Result<Mount, Error> {
    match tree {
        Tree::O2cb => Mount::mainline(),
        Tree::Regions => Mount::mainline_with_debugfs(),
        Tree::Nvmet => Mount::start(Command::new(env!("CARGO_BIN_EXE_nvmet")), &[]),
    }
}

fn lists(tree: Tree, folder: &Path) -> Result<Vec<List>, Error> {
    let (folder, seeds) = match tree {
        Tree::O2cb => (folder.to_path_buf(), SEEDS),
        Tree::Nvmet => (folder.join("nvmet"), LINK_SEEDS),
        Tree::Regions => (folder.join("regions"), 0),
    };
    let mut lists = List::load_all(&folder)?;
    lists.extend((1..=seeds).map(|seed| generate::list(tree, seed, generate::LENGTH)));
    Ok(lists)
}
