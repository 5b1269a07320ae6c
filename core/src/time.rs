//! Time as an argument: nothing here reads a clock.

use core::time::Duration;

/// A moment of the driver's monotonic clock. Own type, so that tests and traces can name one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Instant(Duration);

impl Instant {
    /// `since_start` after the beginning of the driver's clock.
    pub const fn at(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// How long after the beginning of the driver's clock.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// This much later; saturates.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }

    /// Time from `earlier` to here; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A time stamp of an inode: seconds since 1970, before it negative, and nanoseconds to add.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Stamp {
    /// Whole seconds, rounded down.
    pub secs: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

impl From<Duration> for Stamp {
    fn from(since_1970: Duration) -> Self {
        let secs = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
        Self { secs, nanos: since_1970.subsec_nanos() }
    }
}

/// What the driver's clocks say at one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// For every interval.
    pub mono: Instant,
    /// Wall clock since 1970: for time stamps that others read (stat, slots), never for intervals.
    pub unix: Duration,
}
