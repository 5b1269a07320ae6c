//! Running lists against a tree on this machine: the subject of the test.

use std::ffi::OsString;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::Signal;

use crate::guest::Error;
use crate::list::List;
use crate::program;

/// For one list. A tree that hangs must not hang the test.
const ONE_LIST: Duration = Duration::from_secs(300);

/// The answers of a tree, list by list, each from a clean tree. `places`: the tree's root and what else the probe is to
/// know of ([`Places`](crate::probe::Places)).
///
/// # Errors
/// The probe cannot be run, the tree cannot be cleaned, or a list does not end.
pub fn ask(places: &[OsString], lists: &[List]) -> Result<Vec<Vec<String>>, Error> {
    let program = program::probe()?;
    let mut answers = Vec::new();
    for list in lists {
        program::output(Command::new(&program).arg("--clean").args(places.first()))?;
        let words = run(Command::new(&program).args(places), list)?;
        answers.push(words.lines().map(str::to_owned).collect());
    }
    Ok(answers)
}

/// What the probe prints for one list.
fn run(probe: &mut Command, list: &List) -> Result<String, Error> {
    let input = tempfile::NamedTempFile::new()?;
    std::fs::write(input.path(), &list.text)?;
    program::ends_with_us(probe, Signal::KILL);
    let mut child = probe.stdin(input.reopen()?).stdout(Stdio::piped()).spawn()?;
    let Some(mut output) = child.stdout.take() else {
        return Err(Error::new("the probe has no output"));
    };
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut words = String::new();
        let result = output.read_to_string(&mut words).map(|_| words);
        // Nobody listens any more only after the deadline.
        let _ = sender.send(result);
    });
    match receiver.recv_timeout(ONE_LIST) {
        Ok(words) => {
            child.wait()?;
            Ok(words?)
        }
        Err(_) => {
            // Not waited for: a process that hangs in the tree ends with the tree.
            let _ = child.kill();
            Err(Error::new(format!("{}: no end after {ONE_LIST:?}", list.name)))
        }
    }
}
