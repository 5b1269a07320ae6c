//! A node of a cluster, whoever plays it.

pub mod cluster;
mod kernel;
mod ours;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::cut::End;
use crate::guest::Error;
use crate::lines::Line;
use cluster::Call;
pub use kernel::Kernel;
pub use ours::Ours;

/// Who plays a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A guest with a real kernel.
    Kernel,
    /// Our daemon.
    Ours,
}

impl Kind {
    /// As on a command line.
    pub fn letter(self) -> char {
        match self {
            Self::Kernel => 'k',
            Self::Ours => 'o',
        }
    }

    /// From a command line.
    pub fn from_letter(letter: char) -> Option<Self> {
        [Self::Kernel, Self::Ours].into_iter().find(|kind| kind.letter() == letter)
    }
}

/// What a test does to a node and asks of it. All fail when the node is gone, and as each says.
pub trait Node: Send {
    /// Makes one call on its tree.
    ///
    /// # Errors
    /// It is refused: the text of the errno is in the error.
    fn call(&mut self, call: &Call) -> Result<(), Error>;

    /// Makes the region and starts it; returns when it is steady.
    ///
    /// # Errors
    /// The call fails.
    fn start(&mut self) -> Result<(), Error>;

    /// Also shows what quorum notices of every node, in lines that begin with `o2quo_`.
    ///
    /// # Errors
    /// The call fails.
    fn show_quorum(&mut self) -> Result<(), Error>;

    /// Removes the region.
    ///
    /// # Errors
    /// The call fails.
    fn leave(&mut self) -> Result<(), Error>;

    /// Begins to remove the region, and does not wait for the end.
    ///
    /// # Errors
    /// The call cannot be made.
    fn begin_to_leave(&mut self) -> Result<(), Error>;

    /// Holds the region as a mounted file system does. Returns if it can: kernels have their own file systems.
    ///
    /// # Errors
    /// The call fails.
    fn hold(&mut self) -> Result<bool, Error>;

    /// What the holder was told so far.
    fn told(&self) -> Vec<Line>;

    /// Gives the card of the node one more address.
    ///
    /// # Errors
    /// The call fails.
    fn address(&mut self, address: Ipv4Addr) -> Result<(), Error>;

    /// Lets the writes to its disk hang, or go on.
    ///
    /// # Errors
    /// The call fails.
    fn hang(&mut self, hang: bool) -> Result<(), Error>;

    /// Ends it at once.
    ///
    /// # Errors
    /// The call fails.
    fn kill(&mut self) -> Result<(), Error>;

    /// A debug file, as `o2hb/livenodes`.
    ///
    /// # Errors
    /// The call fails.
    fn debug(&mut self, file: &str) -> Result<String, Error>;

    /// Its process, if it is one of this machine.
    fn pid(&self) -> Option<u32> {
        None
    }

    /// Its log so far, without what comes before the text of a line.
    fn lines(&self) -> Vec<Line>;

    /// How it ended, if it has; its log is complete then.
    ///
    /// # Errors
    /// The call fails.
    fn ended(&mut self) -> Result<Option<End>, Error>;
}

/// The node numbers in a debug file.
pub fn numbers(text: &str) -> Vec<u8> {
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// Waits until `condition` holds of a node that does not tell by itself.
///
/// # Errors
/// It does not hold in time, or cannot be told; `what` says what was waited for.
pub fn wait(
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
