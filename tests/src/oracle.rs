//! Running lists in a guest: the kernel as the test oracle.

use std::time::Duration;

use crate::disks::Images;
use crate::guest::{self, Error, Guest};
use crate::list::List;
use crate::program;

/// Which tree the guest shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// The node manager's and the heartbeat's.
    O2cb,
    /// The one that has links.
    Nvmet,
    /// That of the node manager and the heartbeat, with disks on which regions run.
    Regions,
}

impl Tree {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::O2cb => "o2cb",
            Self::Nvmet => "nvmet",
            Self::Regions => "regions",
        }
    }
}

const BOOT: Duration = Duration::from_secs(120);
/// For one list; one without running regions takes a few seconds.
const ONE_LIST: Duration = Duration::from_secs(300);
/// Comes after the last answer, where a probe that died would leave it out.
const END: &str = "@@end";

/// The kernel's answers to `lists`, in order, all from one boot.
///
/// # Errors
/// The guest did not boot, died or hung, or a tree could not be cleaned.
pub fn ask(tree: Tree, lists: &[List]) -> Result<Vec<Vec<String>>, Error> {
    let module = match tree {
        Tree::O2cb | Tree::Regions => "ocfs2_nodemanager",
        Tree::Nvmet => "nvmet",
    };
    let probe = std::fs::read(program::probe()?)?;
    let mut builder = Guest::builder().module(module).file("bin/probe", 0o755, probe);
    for (at, list) in lists.iter().enumerate() {
        builder = builder.file(&format!("ops/{at}"), 0o644, list.text.clone().into_bytes());
    }
    let images = (tree == Tree::Regions).then(Images::new).transpose()?;
    let mut places = guest::TREE.to_owned();
    if let Some(images) = &images {
        places = format!("{places} {}", guest::DEBUGFS);
        for (at, image) in images.all().enumerate() {
            builder = builder.disk_with(&image.path, image.drive(), &image.properties());
            places.push_str(&format!(" /dev/vd{}", char::from(b'a' + at as u8)));
        }
    }
    let mut guest = builder.boot(BOOT)?;
    let mut answers = Vec::new();
    for (at, list) in lists.iter().enumerate() {
        let out = "/tmp/out";
        guest.run(&format!("probe --clean {}", guest::TREE), ONE_LIST)?;
        // Through a file: a serial line in the way of every answer would stretch the list.
        let command = format!("probe {places} < /ops/{at} > {out}; cat {out}; echo {END}");
        let mut lines = guest.run(&command, ONE_LIST)?;
        let wanted = list.operations().count();
        if lines.pop().as_deref() != Some(END) || lines.len() != wanted {
            let have = lines.len();
            return Err(Error::new(format!(
                "{}: {have} answers to {wanted} operations\n{}",
                list.name,
                lines.join("\n")
            )));
        }
        answers.push(lines);
    }
    Ok(answers)
}
