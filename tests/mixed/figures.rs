//! Measured times, and what they may be.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Between two beats, in seconds.
pub(crate) const BEAT: f64 = 2.0;
/// By how much anything may be late on a loaded machine, in seconds, and by how much each beat of it. Nothing may be
/// early: who declares a node dead too soon does harm, who does it late does not.
pub(crate) const LATE: f64 = 4.0;
const LATE_BEAT: f64 = 0.2;
/// Beats begin two seconds apart at least, but the slots are judged when they have been read, which takes its time on
/// a loaded machine; and the guest's clock is not known exactly. In seconds.
const EARLY: f64 = 0.5;

/// Prints figures, and remembers those that are wrong.
pub(crate) struct Figures {
    world: String,
    wrong: Vec<String>,
}

impl Figures {
    pub(crate) fn new(world: &str) -> Self {
        Self { world: world.to_owned(), wrong: Vec::new() }
    }

    /// From one moment to another, and how many beats that may take.
    pub(crate) fn between(&mut self, what: &str, from: Instant, to: Instant, beats: RangeInclusive<u32>) {
        let before = from.saturating_duration_since(to).as_secs_f64();
        self.seconds(what, to.saturating_duration_since(from).as_secs_f64() - before, beats);
    }

    /// A time, and how many beats it may take.
    pub(crate) fn time(&mut self, what: &str, time: Duration, beats: RangeInclusive<u32>) {
        self.seconds(what, time.as_secs_f64(), beats);
    }

    fn seconds(&mut self, what: &str, time: f64, beats: RangeInclusive<u32>) {
        let (least, most) = (f64::from(*beats.start()), f64::from(*beats.end()));
        let (least, most) = (least * BEAT - EARLY, most * (BEAT + LATE_BEAT) + LATE);
        let right = (least..=most).contains(&time);
        let verdict = if right { "" } else { "  <-- WRONG" };
        let judged = format!("{what}: {time:.2} s, allowed {least:.1} to {most:.1}");
        println!("mixed: {}: {judged}{verdict}", self.world);
        if !right {
            self.wrong.push(judged);
        }
    }

    /// Something that is to be so.
    pub(crate) fn so(&mut self, what: &str, so: bool) {
        if !so {
            println!("mixed: {}: {what}: no  <-- WRONG", self.world);
            self.wrong.push(what.to_owned());
        }
    }

    /// Something worth telling.
    pub(crate) fn say(&self, what: &str) {
        println!("mixed: {}: {what}", self.world);
    }

    /// Two things that are to be the same.
    pub(crate) fn same(&mut self, what: &str, found: &str, expected: &str) {
        self.so(&format!("{what}: {found:?} is {expected:?}"), found == expected);
    }

    pub(crate) fn wrong(&self) -> &[String] {
        &self.wrong
    }
}
