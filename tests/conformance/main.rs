//! The same lists against a real kernel and against ours: every answer is compared.
//!
//! Words after `--`: `guest` compares the kernel with itself (a list with chance in it shows up there), a list's
//! name runs that list alone. Needs root, since the lists change owners and act as other users. The links of
//! configfs are compared when `NVMET_ROOT` names a mounted tree that has them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
    let names: Vec<&String> = words.iter().filter(|word| *word != "guest").collect();
    let mut report = Report::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops");
    // A kernel does not differ from itself, and one list alone does not meet every entry.
    let whole = !against_itself && names.is_empty();
    let table = match std::fs::read_to_string(folder.join("differences.txt")) {
        Ok(text) if !against_itself => Table::parse(&text).map_err(Error::from)?,
        _ => Table::default(),
    };
    for tree in [Tree::O2cb, Tree::Nvmet] {
        let other = if against_itself { Other::Guest } else { Other::of(tree)? };
        if matches!(other, Other::Missing) {
            continue;
        }
        let mut lists = lists(tree, &folder)?;
        lists.retain(|list| names.is_empty() || names.contains(&&list.name));
        if lists.is_empty() {
            continue;
        }
        let kernel = judge::ask(tree, &lists)?;
        let ours = other.ask(tree, &lists)?;
        for ((list, kernel), ours) in lists.iter().zip(&kernel).zip(&ours) {
            report.add(&table, list, kernel, ours);
        }
    }
    Ok(report.conclude(&table, whole))
}

/// What the kernel is compared with.
enum Other {
    Guest,
    Daemon(Mount),
    Folder(PathBuf),
    Missing,
}

impl Other {
    fn of(tree: Tree) -> Result<Self, Error> {
        Ok(match tree {
            Tree::O2cb => Self::Daemon(Mount::mainline()?),
            Tree::Nvmet => {
                std::env::var_os("NVMET_ROOT").map_or(Self::Missing, |root| Self::Folder(root.into()))
            }
        })
    }

    fn ask(&self, tree: Tree, lists: &[List]) -> Result<Vec<Vec<String>>, Error> {
        match self {
            Self::Guest => judge::ask(tree, lists),
            Self::Daemon(mount) => subject::ask(mount.root(), lists),
            Self::Folder(root) => subject::ask(root, lists),
            Self::Missing => Ok(Vec::new()),
        }
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
