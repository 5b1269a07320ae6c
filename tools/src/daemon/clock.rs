//! The clocks, the thread that calls the engine back when it asked for it, and times as text.
//!
//! Time goes on while the machine is suspended: others count a node as dead that slept for too long, so it must find out
//! as soon as it wakes up. CLOCK_MONOTONIC and all waits that count by it would stand still.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use uo2cb_core::{Instant, Now};

/// The clock that never stands still, and wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Since the machine was started.
    start: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: since_boot() }
    }

    /// To be read inside the monitor: the engine's time must not go back between two calls.
    pub(crate) fn now(&self) -> Now {
        Now { mono: Instant::at(since_boot().saturating_sub(self.start)), unix: unix_now() }
    }
}

fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    // Neither is ever negative.
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Wall clock since 1970; zero before.
pub(crate) fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Calls the engine when it wants to be called next. Its lock is taken inside the monitor, never the other way round.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    due: Mutex<Due>,
    timer: OwnedFd,
}

#[derive(Debug, Default)]
struct Due {
    /// What the timer is set to; none once it has expired.
    at: Option<Instant>,
    stop: bool,
}

impl Timer {
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub(crate) fn new(clock: Clock) -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC)?;
        Ok(Self { clock, due: Mutex::default(), timer })
    }

    pub(crate) fn set(&self, at: Option<Instant>) {
        let mut due = self.due.lock();
        if due.at != at && !due.stop {
            due.at = at;
            // A time that has passed expires at once; zero would mean never.
            let since_boot = |at: Instant| self.clock.start.saturating_add(at.since_start()).max(SMALLEST);
            self.arm(at.map_or(Duration::ZERO, since_boot));
        }
    }

    pub(crate) fn stop(&self) {
        self.due.lock().stop = true;
        self.arm(SMALLEST);
    }

    fn arm(&self, since_boot: Duration) {
        let at = Timespec {
            tv_sec: since_boot.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: since_boot.subsec_nanos().into(),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        // It fails for a time that is none, which this is not.
        let set = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once);
        debug_assert!(set.is_ok(), "{set:?}");
    }

    /// Body of the timer thread: calls `wake` at each wanted moment, until [`stop`](Self::stop).
    pub(crate) fn run(&self, wake: impl Fn()) {
        let mut expired = [0; 8];
        loop {
            match rustix::io::read(&self.timer, &mut expired) {
                Ok(_) => {}
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(errno) => panic!("the timer failed: {errno}"),
            }
            {
                let mut due = self.due.lock();
                if due.stop {
                    return;
                }
                // Set to something else meanwhile? Then it is called once too often, and sets it again.
                due.at = None;
            }
            wake();
        }
    }
}

/// The earliest moment that a timer can be set to.
const SMALLEST: Duration = Duration::from_nanos(1);

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
        let clock = Clock::start();
        let timer = Timer::new(clock).unwrap();
        let (calls, called) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| timer.run(|| calls.send(clock.now().mono).unwrap_or_default()));
            let due = clock.now().mono.after(Duration::from_millis(20));
            timer.set(Some(due.after(Duration::from_secs(3600))));
            timer.set(Some(due));
            assert!(called.recv_timeout(Duration::from_secs(10)).is_ok_and(|at| at >= due));
            // Once more for the same moment, which has passed.
            timer.set(Some(due));
            assert!(called.recv_timeout(Duration::from_secs(10)).is_ok());
            timer.set(Some(clock.now().mono.after(Duration::from_millis(50))));
            timer.set(None);
            assert!(called.recv_timeout(Duration::from_millis(200)).is_err());
            timer.stop();
        });
        assert!(called.try_recv().is_err());
    }

    #[test]
    fn suspended_time_counts() {
        let timer = Timer::new(Clock::start()).unwrap();
        let file = format!("/proc/self/fdinfo/{}", std::os::fd::AsRawFd::as_raw_fd(&timer.timer));
        let info = std::fs::read_to_string(file).unwrap();
        assert!(info.contains(&format!("clockid: {}\n", libc::CLOCK_BOOTTIME)), "{info}");
        let between = |clock: ClockId, work: &dyn Fn()| {
            let look = || {
                let now = clock_gettime(clock);
                Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.try_into().unwrap())
            };
            let before = look();
            work();
            before..=look()
        };
        let seen = std::cell::Cell::default();
        let range = between(ClockId::Boottime, &|| seen.set(since_boot()));
        assert!(range.contains(&seen.get()), "{range:?}, {seen:?}");
    }
}
