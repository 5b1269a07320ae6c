//! Lists of random operations from a seed.
//!
//! The vocabulary is small (few names, values at the borders of the rules), so that operations meet objects that
//! exist, names that are taken and descriptors whose object is gone. Times are left out: they depend on the machine's
//! speed. Writes of no bytes too: they do not reach a file system in user space.

mod nvmet;
mod o2cb;

use crate::list::List;
use crate::oracle::Tree;
use crate::rng::Rng;

/// How many operations the lists of the conformance test have.
pub const LENGTH: usize = 250;

/// A list of about `length` operations on `tree`: the same for the same arguments.
pub fn list(tree: Tree, seed: u64, length: usize) -> List {
    let mut rng = Rng::new(seed);
    let mut lines = match tree {
        Tree::O2cb | Tree::Regions => o2cb::start(&mut rng),
        Tree::Nvmet => nvmet::start(),
    };
    while lines.len() < length {
        match tree {
            Tree::O2cb | Tree::Regions => o2cb::step(&mut rng, &mut lines),
            Tree::Nvmet => nvmet::step(&mut rng, &mut lines),
        }
    }
    let name = match tree {
        Tree::O2cb | Tree::Regions => format!("seed-{seed}"),
        Tree::Nvmet => format!("links-seed-{seed}"),
    };
    List { name, text: lines.join("\n") + "\n" }
}

const DESCRIPTORS: &[&str] = &["1", "2", "3", "4"];
const FLAGS: &[&str] = &[
    "r",
    "r",
    "rw",
    "rw",
    "w",
    "w,trunc",
    "rw,append",
    "r,directory",
    "r,nofollow",
    "path",
    "r,creat",
    "w,excl,creat",
];
const MODES: &[&str] = &["644", "600", "444", "666", "0", "755", "700", "777", "1777"];
const OFFSETS: &[&str] = &["0", "1", "3", "5", "100", "4095", "4096", "-1", "-4096"];
const WHENCES: &[&str] = &["SET", "SET", "CUR", "END", "DATA", "HOLE"];
/// Those that mean the same in every file system: links are not about seeking in directories.
const PLAIN_WHENCES: &[&str] = &["SET", "CUR"];
const SIZES: &[&str] = &["1", "3", "100", "4096"];

/// An operation on a descriptor that may or may not be open.
fn descriptor_line(rng: &mut Rng, values: &[&str], whences: &[&str]) -> String {
    let descriptor = rng.pick(DESCRIPTORS);
    match rng.below(14) {
        0..3 => format!("read {descriptor} {}", rng.pick(SIZES)),
        3 => format!("pread {descriptor} {} {}", rng.pick(OFFSETS), rng.pick(SIZES)),
        4..7 => format!("write {descriptor} {}", rng.pick(values)),
        7 => format!("pwrite {descriptor} {} {}", rng.pick(OFFSETS), rng.pick(values)),
        8 => format!("writev {descriptor} {} {}", rng.pick(values), rng.pick(values)),
        9 => format!("lseek {descriptor} 0 SET"),
        10 => format!("lseek {descriptor} {} {}", rng.pick(OFFSETS), rng.pick(whences)),
        11 => format!("fstat {descriptor}"),
        12 => format!("getdents {descriptor} {}", rng.pick(&["24", "64", "4096"])),
        _ => {
            let rare = ["poll", "close", "close", "fsync", "fdatasync", "fchdir"];
            format!("{} {descriptor}", rng.pick(&rare))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_list() {
        for tree in [Tree::O2cb, Tree::Nvmet] {
            assert_eq!(list(tree, 7, 100).text, list(tree, 7, 100).text);
            assert_ne!(list(tree, 7, 100).text, list(tree, 8, 100).text);
            assert!(list(tree, 7, 100).operations().count() >= 100);
        }
    }
}
