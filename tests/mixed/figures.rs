//! Checks of measured times and states.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Between two beats, in seconds.
pub(crate) const BEAT: f64 = 2.0;
/// By how much anything may be late on a loaded machine, in seconds, and by how much each beat of it. Nothing may be
/// early: to declare a node dead too soon does harm, to do it late does not.
pub(crate) const LATE: f64 = 4.0;
const LATE_BEAT: f64 = 0.2;
/// Beats begin two seconds apart at least, but the slots are judged when they have been read, which takes its time on
/// a loaded machine; and the guest's clock is not known exactly. In seconds.
const EARLY: f64 = 0.5;

/// Prints figures, and keeps those that are wrong.
pub(crate) struct Figures {
    setup: String,
    wrong: Vec<String>,
}

impl Figures {
    pub(crate) fn new(setup: &str) -> Self {
        Self { setup: setup.to_owned(), wrong: Vec::new() }
    }

    /// Checks the time from one moment to another against how many beats it may take.
    pub(crate) fn between(&mut self, what: &str, from: Instant, to: Instant, beats: RangeInclusive<u32>) {
        self.time_in_beats(what, seconds(from, to), beats);
    }

    /// Checks the time from one moment to another, in seconds; see [`EARLY`].
    pub(crate) fn within(&mut self, what: &str, from: Instant, to: Instant, allowed: RangeInclusive<f64>) {
        self.judge(what, seconds(from, to), allowed.start() - EARLY, *allowed.end());
    }

    /// Checks a time against how many beats it may take.
    pub(crate) fn time(&mut self, what: &str, time: Duration, beats: RangeInclusive<u32>) {
        self.time_in_beats(what, time.as_secs_f64(), beats);
    }

    /// Checks that a time is no longer than this, in seconds.
    pub(crate) fn at_most(&mut self, what: &str, time: Duration, most: f64) {
        self.judge(what, time.as_secs_f64(), 0.0, most);
    }

    fn time_in_beats(&mut self, what: &str, time: f64, beats: RangeInclusive<u32>) {
        let (least, most) = (f64::from(*beats.start()), f64::from(*beats.end()));
        self.judge(what, time, least * BEAT - EARLY, most * (BEAT + LATE_BEAT) + LATE);
    }

    fn judge(&mut self, what: &str, time: f64, least: f64, most: f64) {
        let right = (least..=most).contains(&time);
        let verdict = if right { "" } else { "  <-- WRONG" };
        let judged = format!("{what}: {time:.2} s, allowed {least:.1} to {most:.1}");
        println!("mixed: {}: {judged}{verdict}", self.setup);
        if !right {
            self.wrong.push(judged);
        }
    }

    /// Checks that something holds.
    pub(crate) fn check(&mut self, what: &str, holds: bool) {
        if !holds {
            println!("mixed: {}: {what}: no  <-- WRONG", self.setup);
            self.wrong.push(what.to_owned());
        }
    }

    /// Prints a line.
    pub(crate) fn note(&self, what: &str) {
        println!("mixed: {}: {what}", self.setup);
    }

    /// Checks that two texts are equal.
    pub(crate) fn equal(&mut self, what: &str, found: &str, expected: &str) {
        self.check(&format!("{what}: {found:?} is {expected:?}"), found == expected);
    }

    pub(crate) fn wrong(&self) -> &[String] {
        &self.wrong
    }
}

/// From one moment to another, which may be before it.
pub(crate) fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() - from.saturating_duration_since(to).as_secs_f64()
}
