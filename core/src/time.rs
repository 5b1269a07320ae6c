//! Types for time: the driver reads the clocks and hands their values in.

use core::time::Duration;

/// A moment of the driver's monotonic clock. A type of its own, as core has no clock, and virtual time needs one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Instant(Duration);

impl Instant {
    /// `since_start` after zero of the driver's clock.
    pub const fn at(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// Time since zero of the driver's clock.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The moment `wait` later; saturates.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }

    /// Time from `earlier` to here; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A time stamp of an inode: seconds since 1970, negative before, plus nanoseconds.
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

/// The driver's clocks at one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Monotonic: for intervals and timers.
    pub mono: Instant,
    /// Wall clock since 1970: for time stamps that others read (stat, slots), never for intervals.
    pub unix: Duration,
}
