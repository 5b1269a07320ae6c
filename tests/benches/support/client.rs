//! The process that makes the calls: it gets `CALLS MOUNT COUNT` a line and answers with microseconds for one.

use std::error::Error;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

/// The variable that makes a process a client.
pub(crate) const ROLE: &str = "REQUESTS_CLIENT";

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    Link,
    Directory,
    Read,
    Write,
    Stat,
}

impl Calls {
    pub(crate) const ALL: [Self; 5] = [Self::Link, Self::Directory, Self::Read, Self::Write, Self::Stat];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Link => "symlink+unlink",
            Self::Directory => "mkdir+rmdir",
            Self::Read => "attribute-read",
            Self::Write => "attribute-write",
            Self::Stat => "stat",
        }
    }

    /// How many requests one of them may take.
    pub(crate) fn limit(self) -> u32 {
        match self {
            Self::Link | Self::Directory => 6,
            Self::Read | Self::Write => 3,
            Self::Stat => 1,
        }
    }
}

/// A running client.
pub(crate) struct Client {
    child: Child,
    questions: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Client {
    pub(crate) fn start(ours: &Path, nothing: &Path) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([ours, nothing])
            .env(ROLE, "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        Ok(Self { child, questions, answers })
    }

    /// Microseconds for one.
    pub(crate) fn run(&mut self, calls: Calls, ours: bool, count: u32) -> Result<f64, Box<dyn Error>> {
        let mut questions = self.questions.as_ref().ok_or("no pipe")?;
        questions.write_all(format!("{} {} {count}\n", calls.name(), usize::from(!ours)).as_bytes())?;
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
pub(crate) fn serve() -> Result<bool, Box<dyn Error>> {
    let mounts: Vec<_> = std::env::args_os().skip(1).map(std::path::PathBuf::from).collect();
    let places: Vec<Place> = mounts.iter().map(|root| Place::new(root)).collect();
    let mut out = std::io::stdout();
    for line in std::io::stdin().lines() {
        let line = line?;
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let calls = word();
        let calls = Calls::ALL.into_iter().find(|known| known.name() == calls).ok_or("which calls?")?;
        let place = places.get(word().parse::<usize>()?).ok_or("which mount?")?;
        let count: u32 = word().parse()?;
        let answer = match place.run(calls, count) {
            Ok(nanos) => format!("{}\n", nanos / 1000.0 / f64::from(count)),
            Err(errno) => format!("{errno}\n"),
        };
        out.write_all(answer.as_bytes())?;
    }
    Ok(true)
}

/// The paths in one mount.
struct Place {
    target: String,
    link: String,
    directory: String,
    attribute: String,
}

impl Place {
    fn new(root: &Path) -> Self {
        let cluster = root.join("cluster/c");
        let path = |tail: &str| cluster.join(tail).to_string_lossy().into_owned();
        Self {
            target: path("node/n1"),
            link: path("heartbeat/R/n1"),
            directory: path("node/n2"),
            attribute: path("idle_timeout_ms"),
        }
    }

    fn run(&self, calls: Calls, count: u32) -> rustix::io::Result<f64> {
        let start = Instant::now();
        for _ in 0..count {
            self.once(calls)?;
        }
        Ok(start.elapsed().as_nanos() as f64)
    }

    fn once(&self, calls: Calls) -> rustix::io::Result<()> {
        match calls {
            Calls::Link => {
                rustix::fs::symlink(&self.target, &self.link)?;
                rustix::fs::unlink(&self.link)
            }
            Calls::Directory => {
                rustix::fs::mkdir(&self.directory, Mode::from_raw_mode(0o755))?;
                rustix::fs::rmdir(&self.directory)
            }
            Calls::Read => {
                let mut text = [0; 64];
                let file = self.open(OFlags::RDONLY)?;
                rustix::io::read(file.as_fd(), &mut text).map(drop)
            }
            Calls::Write => {
                let file = self.open(OFlags::WRONLY)?;
                rustix::io::write(file.as_fd(), b"30000\n").map(drop)
            }
            Calls::Stat => rustix::fs::statat(CWD, &self.attribute, AtFlags::empty()).map(drop),
        }
    }

    fn open(&self, flags: OFlags) -> rustix::io::Result<std::os::fd::OwnedFd> {
        rustix::fs::open(&self.attribute, flags | OFlags::CLOEXEC, Mode::empty())
    }
}
