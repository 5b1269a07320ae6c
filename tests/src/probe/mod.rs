//! The probe: executes operations, one a line, and prints what the system call answered.
//!
//! A line is a verb and its words (see [`crate::words`]), separated by one space. The answer is `ok`, `ok DATA`, the
//! errno's name, or `?` for a line that the probe does not understand. Empty lines and lines starting with `#` have
//! no answer. A path starting with `@` is absolute below the root of the tree, one starting with `^` lies in a
//! scratch folder outside, one starting with `~` below what o2cb has in /sys/kernel/debug, and `+0` is the first of the
//! disks; any other is passed as it is, and the probe starts with the root as its current directory.

mod args;
mod background;
mod clean;
mod descriptors;
mod disks;
mod errno;
mod flags;
mod listing;
mod paths;
mod places;
mod status;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{BufRead as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread;

use args::Args;
pub use places::Places;

/// Why an operation has no `ok`.
enum Failure {
    /// The system call failed.
    Errno(Errno),
    /// The line makes no sense.
    Unknown,
    /// The answer as it stands.
    Words(String),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Errno::from_io_error(&error).map_or(Self::Unknown, Self::Errno)
    }
}

/// The data of a successful operation, possibly none.
type Answer = Result<String, Failure>;

/// Runs operations against one tree; holds the descriptors that they open.
pub struct Probe {
    places: Places,
    descriptors: HashMap<String, OwnedFd>,
    streams: HashMap<String, listing::Stream>,
    marks: HashMap<String, status::Times>,
    background: HashMap<String, background::Child>,
}

impl Probe {
    /// A probe of the tree at the root of `places`.
    pub fn new(places: Places) -> Self {
        Self {
            places,
            descriptors: HashMap::new(),
            streams: HashMap::new(),
            marks: HashMap::new(),
            background: HashMap::new(),
        }
    }

    /// Executes one line and formats its answer.
    pub fn answer(&mut self, line: &str) -> String {
        match self.execute(line) {
            Ok(data) if data.is_empty() => "ok".to_owned(),
            Ok(data) => format!("ok {data}"),
            Err(Failure::Errno(errno)) => errno::name(errno),
            Err(Failure::Unknown) => "?".to_owned(),
            Err(Failure::Words(words)) => words,
        }
    }

    fn execute(&mut self, line: &str) -> Answer {
        if let Some(rest) = line.strip_prefix("as ") {
            let (id, operation) = rest.split_once(' ').ok_or(Failure::Unknown)?;
            return self.execute_as(id.parse().map_err(|_| Failure::Unknown)?, operation);
        }
        if let Some(rest) = line.strip_prefix("bg ") {
            return self.start(rest);
        }
        if let Some(rest) = line.strip_prefix("until ") {
            return self.until(rest);
        }
        if let Some(rest) = line.strip_prefix("took ") {
            return self.took(rest);
        }
        if let Some(rest) = line.strip_prefix("periods ") {
            return self.periods(rest);
        }
        let mut words = line.split(' ');
        let verb = words.next().unwrap_or_default();
        let places = self.places.clone();
        let mut args = Args::new(words, &places);
        let answer = self
            .path_verb(verb, &mut args)
            .or_else(|| self.status_verb(verb, &mut args))
            .or_else(|| self.listing_verb(verb, &mut args))
            .or_else(|| self.descriptor_verb(verb, &mut args))
            .or_else(|| self.disk_verb(verb, &mut args))
            .or_else(|| self.background_verb(verb, &mut args));
        answer.unwrap_or(Err(Failure::Unknown))
    }

    /// One operation with the rights of another user. Credentials belong to a thread, so a thread of its own takes
    /// them and dies with them, while descriptors and the current directory stay shared.
    fn execute_as(&mut self, id: u32, operation: &str) -> Answer {
        let work = || {
            let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
            thread::set_thread_groups(&[])?;
            thread::set_thread_res_gid(gid, gid, gid)?;
            thread::set_thread_res_uid(uid, uid, uid)?;
            self.execute(operation)
        };
        std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or(Err(Failure::Unknown))
    }
}

/// The probe as a program; `args` are the words after its name.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    let outcome = match args.as_slice() {
        [flag, root] if flag == "--clean" => clean::clean(root.as_ref()),
        [flag, rest @ ..] if flag == "--one" => Places::parse(rest).and_then(|places| {
            background::end_with_list()?;
            background::mind_signals()?;
            background::catch_signal()?;
            run(places)
        }),
        _ => Places::parse(&args).and_then(run_in_scratch),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_in_scratch(mut places: Places) -> std::io::Result<()> {
    let scratch = Scratch::new()?;
    places.scratch = scratch.0.clone();
    run(places)
}

/// Answers the lines of standard input on standard output.
fn run(places: Places) -> std::io::Result<()> {
    std::env::set_current_dir(&places.root)?;
    let mut probe = Probe::new(places);
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if is_operation(&line) {
            writeln!(out, "{}", probe.answer(&line))?;
        }
    }
    Ok(())
}

/// Whether a line of a list has an answer: it is neither empty nor a comment.
pub fn is_operation(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

/// The folder outside of the tree: a directory `d` and a file `f` that holds ten digits.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("probe-{}", std::process::id()));
        std::fs::create_dir_all(path.join("d"))?;
        std::fs::write(path.join("f"), "0123456789")?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder left behind harms nobody, and there is nobody to tell.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
