//! Up and down edges, as one side reports them.

use std::fmt;
use std::time::{Duration, Instant};

use uo2cb_tests::guest::Error;
use uo2cb_tests::lines::Line;

/// Time between two reads of a state that no event announces.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// For anything that takes some beats.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_secs(40);

/// A node went up or down.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) at: Instant,
    pub(crate) up: bool,
    pub(crate) node: u8,
    /// Why, if ours reports it.
    pub(crate) cause: Option<String>,
}

/// As `1 up`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.node, if self.up { "up" } else { "down" })
    }
}

/// One side of the cluster.
pub(crate) trait Side {
    /// `ours` or `the kernel`.
    fn name(&self) -> &'static str;

    /// All its events so far.
    fn events(&mut self) -> Result<Vec<Event>, Error>;

    /// Its log so far, without what is in front of the text of a line.
    fn lines(&self) -> Vec<Line>;

    /// Did it report that `node` went down because its generation changed? `generations`: the old and the new one.
    fn restarted(&mut self, node: u8, generations: [&str; 2]) -> Result<bool, Error>;

    /// A debug file, as `o2hb/livenodes`.
    fn debug(&mut self, file: &str) -> Result<String, Error>;

    /// How many events there are so far. Read before an action whose event is waited for: the times of two clocks
    /// would not tell reliably what was first.
    fn so_far(&mut self) -> Result<usize, Error> {
        Ok(self.events()?.len())
    }

    /// Waits for the first event of this kind after the first `after` ones, and returns its time.
    fn until(&mut self, node: u8, up: bool, after: usize) -> Result<Instant, Error> {
        let until = Instant::now() + WAIT_LIMIT;
        loop {
            let events = self.events()?;
            let fits = |event: &&Event| event.node == node && event.up == up;
            if let Some(event) = events.iter().skip(after).find(fits) {
                return Ok(event.at);
            }
            if Instant::now() > until {
                let way = if up { "up" } else { "down" };
                return Err(format!("node {node} {way}: not seen, only: {}", history(&events)).into());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Waits until a debug file has this text, and returns the text that it has at last.
    fn until_debug(&mut self, file: &str, text: &str) -> Result<String, Error> {
        let until = Instant::now() + WAIT_LIMIT;
        loop {
            let found = self.debug(file)?;
            if found == text || Instant::now() > until {
                return Ok(found);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Waits for a line with these words, and returns its time.
    fn until_line(&self, words: &str) -> Result<Instant, Error> {
        let until = Instant::now() + WAIT_LIMIT;
        loop {
            if let Some(line) = self.lines().iter().find(|line| line.text.contains(words)) {
                return Ok(line.at);
            }
            if Instant::now() > until {
                return Err(format!("{}: not said: {words}", self.name()).into());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// When it has seen `node` come up last.
    fn last_up(&mut self, node: u8) -> Result<Instant, Error> {
        let events = self.events()?;
        let up = events.iter().rev().find(|event| event.node == node && event.up);
        Ok(up.ok_or_else(|| format!("node {node} never came up"))?.at)
    }
}

/// Events in one line.
pub(crate) fn history(events: &[Event]) -> String {
    events.iter().map(Event::to_string).collect::<Vec<_>>().join(", ")
}
