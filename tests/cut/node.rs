//! A node of a cluster, whoever plays it.

use std::time::{Duration, Instant};

use uo2cb_tests::cut::End;
use uo2cb_tests::guest::Error;
use uo2cb_tests::lines::Line;

/// Who plays a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A guest with a real kernel.
    Kernel,
    /// Our daemon.
    Ours,
}

impl Kind {
    pub(crate) fn letter(self) -> char {
        match self {
            Self::Kernel => 'k',
            Self::Ours => 'o',
        }
    }

    pub(crate) fn from_letter(letter: char) -> Option<Self> {
        [Self::Kernel, Self::Ours].into_iter().find(|kind| kind.letter() == letter)
    }
}

/// What a run does to a node and asks of it.
pub(crate) trait Node: Send {
    /// Makes the region and starts it; returns when it is steady.
    fn start(&mut self) -> Result<(), Error>;

    /// Removes the region.
    fn leave(&mut self) -> Result<(), Error>;

    /// Lets the writes to its disk hang, or go on.
    fn hang(&mut self, hang: bool) -> Result<(), Error>;

    /// Ends it at once.
    fn kill(&mut self) -> Result<(), Error>;

    /// A debug file, as `o2hb/livenodes`.
    fn debug(&mut self, file: &str) -> Result<String, Error>;

    /// Its log so far, without what comes before the text of a line.
    fn lines(&self) -> Vec<Line>;

    /// How it ended, if it has; its log is complete then.
    fn ended(&mut self) -> Result<Option<End>, Error>;
}

/// The node numbers in a debug file.
pub(crate) fn numbers(text: &str) -> Vec<u8> {
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// Waits until `condition` holds of a node that does not tell by itself.
pub(crate) fn wait(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<bool, Error>,
) -> Result<(), Error> {
    let until = Instant::now() + limit;
    while !condition()? {
        if Instant::now() > until {
            return Err(format!("{what}: not within {limit:?}").into());
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    Ok(())
}
