//! The clocks, the thread that calls the engine back when it asked for it, and times as text.

use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex, MutexGuard};
use uo2cb_core::{Instant, Now};

/// Monotonic and wall clock.
#[derive(Debug)]
pub(crate) struct Clock {
    start: std::time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: std::time::Instant::now() }
    }

    /// To be read inside the monitor: the engine's time must not go back between two calls.
    pub(crate) fn now(&self) -> Now {
        Now { mono: Instant::at(self.start.elapsed()), unix: unix_now() }
    }
}

/// Wall clock since 1970; zero before.
pub(crate) fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// When the engine wants to be called next. Its lock is taken inside the monitor, never the other way round.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    wish: Mutex<Wish>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wish {
    due: Option<Instant>,
    stop: bool,
}

impl Timer {
    pub(crate) fn set(&self, due: Option<Instant>) {
        let mut wish = self.wish.lock();
        if wish.due != due {
            wish.due = due;
            self.changed.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.wish.lock().stop = true;
        self.changed.notify_one();
    }

    /// Body of the timer thread: calls `wake` at each wanted moment, until [`stop`](Self::stop).
    pub(crate) fn run(&self, clock: &Clock, wake: impl Fn()) {
        let mut wish = self.wish.lock();
        while !wish.stop {
            match wish.due.map(|due| due.since(clock.now().mono)) {
                None => self.changed.wait(&mut wish),
                Some(left) if !left.is_zero() => {
                    self.changed.wait_for(&mut wish, left);
                }
                Some(_) => {
                    wish.due = None;
                    MutexGuard::unlocked(&mut wish, &wake);
                }
            }
        }
    }
}

/// A moment as `2026-11-22T07:55:31.123Z`.
pub fn utc(unix: Duration) -> String {
    let (year, month, day) = civil(unix.as_secs() / 86_400);
    let second = unix.as_secs() % 86_400;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", unix.subsec_millis())
}

/// Year, month and day of the Gregorian calendar, of a day counted from 1970-01-01. Counts in years that
/// begin in March, so that the leap day is the last of a year, and in cycles of 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + later, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_text() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_795_334_131, "2026-11-22T07:55:31.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(Duration::from_secs(seconds)), text);
        }
        assert_eq!(utc(Duration::from_micros(1_999)), "1970-01-01T00:00:00.001Z");
    }

    #[test]
    fn the_timer_calls_when_due_and_stops() {
        let (timer, clock) = (Timer::default(), Clock::start());
        let (calls, called) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| timer.run(&clock, || calls.send(clock.now().mono).unwrap_or_default()));
            let due = clock.now().mono.after(Duration::from_millis(20));
            timer.set(Some(due.after(Duration::from_secs(3600))));
            timer.set(Some(due));
            assert!(called.recv_timeout(Duration::from_secs(10)).is_ok_and(|at| at >= due));
            timer.stop();
        });
        assert!(called.try_recv().is_err());
    }
}
