//! Who went up and down, as one side tells it.

use std::fmt;
use std::time::{Duration, Instant};

use uo2cb_tests::guest::Error;

/// How long to wait between two looks at something that no event announces.
pub(crate) const LOOK: Duration = Duration::from_millis(250);

/// For anything that takes some beats.
pub(crate) const SOME_BEATS: Duration = Duration::from_secs(40);

/// A node went up or down.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) at: Instant,
    pub(crate) up: bool,
    pub(crate) node: u8,
    /// Ours says why.
    pub(crate) cause: Option<String>,
}

/// As `1 up`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.node, if self.up { "up" } else { "down" })
    }
}

/// A node that can be asked.
pub(crate) trait Side {
    /// All its events so far.
    fn events(&mut self) -> Result<Vec<Event>, Error>;

    /// Has it said that `node` went down since it came back with another generation, the first in its place?
    fn restarted(&mut self, node: u8, generations: [&str; 2]) -> Result<bool, Error>;

    /// A file of its debugfs, below `o2hb`.
    fn debug(&mut self, file: &str) -> Result<String, Error>;

    /// How many events there are so far. Asked for before something is done whose event is waited for: two clocks
    /// would not tell surely what was first.
    fn so_far(&mut self) -> Result<usize, Error> {
        Ok(self.events()?.len())
    }

    /// When it told of `node` going up or down, as the first event of that kind after so many.
    fn until(&mut self, node: u8, up: bool, after: usize) -> Result<Instant, Error> {
        let until = Instant::now() + SOME_BEATS;
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
            std::thread::sleep(LOOK);
        }
    }
}

/// Events in one line.
pub(crate) fn history(events: &[Event]) -> String {
    events.iter().map(Event::to_string).collect::<Vec<_>>().join(", ")
}
