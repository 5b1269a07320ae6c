//! When a machine wants to be called: a fixed place for each of its timers, so that none can be forgotten or armed
//! twice. A timer that is early or was stopped meanwhile does nothing.

use crate::time::Instant;

/// The timers of a machine, which numbers them by an enum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Timers<const N: usize>([Option<Instant>; N]);

impl<const N: usize> Default for Timers<N> {
    fn default() -> Self {
        Self([None; N])
    }
}

impl<const N: usize> Timers<N> {
    /// Arms or (none) stops a timer.
    pub(crate) fn set(&mut self, timer: impl Into<usize>, due: Option<Instant>) {
        if let Some(place) = self.0.get_mut(timer.into()) {
            *place = due;
        }
    }

    /// When a timer is due.
    pub(crate) fn get(&self, timer: impl Into<usize>) -> Option<Instant> {
        self.0.get(timer.into()).copied().flatten()
    }

    /// Arms a timer unless it is due earlier.
    pub(crate) fn bring_forward(&mut self, timer: impl Into<usize> + Copy, due: Instant) {
        if self.get(timer).is_none_or(|set| due < set) {
            self.set(timer, Some(due));
        }
    }

    /// Has the time of a timer come?
    pub(crate) fn expired(&self, timer: impl Into<usize>, now: Instant) -> bool {
        self.get(timer).is_some_and(|due| due <= now)
    }

    /// When the first of them is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Stops all.
    pub(crate) fn stop(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn at(secs: u64) -> Instant {
        Instant::at(Duration::from_secs(secs))
    }

    #[test]
    fn the_first_one_counts() {
        let mut timers = Timers::<3>::default();
        assert_eq!(timers.next(), None);
        timers.set(0usize, Some(at(9)));
        timers.set(2usize, Some(at(5)));
        assert_eq!(timers.next(), Some(at(5)));
        assert!(
            timers.expired(2usize, at(5)) && !timers.expired(2usize, at(4)) && !timers.expired(1usize, at(9))
        );
        timers.set(2usize, None);
        assert_eq!(timers.next(), Some(at(9)));
        timers.bring_forward(0usize, at(10));
        assert_eq!(timers.get(0usize), Some(at(9)));
        timers.bring_forward(0usize, at(8));
        assert_eq!(timers.get(0usize), Some(at(8)));
        timers.stop();
        assert_eq!(timers.next(), None);
        // There is no fourth timer.
        timers.set(3usize, Some(at(1)));
        assert_eq!((timers.get(3usize), timers.next()), (None, None));
    }
}
