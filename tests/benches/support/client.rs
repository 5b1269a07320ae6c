//! The process that makes the calls: it gets `CALLS MOUNT COUNT` a line and answers with microseconds for one.

use std::error::Error;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use crate::calls::{Calls, Place};

/// A running client.
pub(crate) struct Client {
    child: Child,
    questions: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Client {
    /// Starts `program`, which is to call [`serve`], with the roots of all mounts.
    pub(crate) fn start<'a>(
        mut program: Command,
        roots: impl Iterator<Item = &'a Path>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut child = program.args(roots).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        Ok(Self { child, questions, answers })
    }

    /// Microseconds for one of `count` calls on the mount of this number.
    pub(crate) fn run(&mut self, calls: Calls, mount: usize, count: u32) -> Result<f64, Box<dyn Error>> {
        let mut questions = self.questions.as_ref().ok_or("no pipe")?;
        questions.write_all(format!("{} {mount} {count}\n", calls.name()).as_bytes())?;
        let answer = self.answers.next().ok_or("the client is gone")??;
        Ok(answer.parse::<f64>().map_err(|_| format!("{} failed: {answer}", calls.name()))?)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It ends when there is nothing more to read.
        self.questions = None;
        let _ = self.child.wait();
    }
}

/// The client's side.
pub(crate) fn serve(roots: impl Iterator<Item = OsString>) -> Result<(), Box<dyn Error>> {
    let places: Vec<Place> = roots.map(|root| Place::new(Path::new(&root))).collect();
    let mut out = std::io::stdout();
    for line in std::io::stdin().lines() {
        let line = line?;
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let calls = word();
        let calls = Calls::ALL.into_iter().find(|known| known.name() == calls).ok_or("which calls?")?;
        let place = places.get(word().parse::<usize>()?).ok_or("which mount?")?;
        let count: u32 = word().parse()?;
        let answer = match run(place, calls, count) {
            Ok(nanos) => format!("{}\n", nanos / 1000.0 / f64::from(count)),
            Err(errno) => format!("{errno}\n"),
        };
        out.write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn run(place: &Place, calls: Calls, count: u32) -> rustix::io::Result<f64> {
    let start = Instant::now();
    for _ in 0..count {
        place.once(calls)?;
    }
    Ok(start.elapsed().as_nanos() as f64)
}
