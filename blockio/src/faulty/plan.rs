//! Which fault hits which request. Time is an argument.

use std::time::Duration;

use super::script::{Fault, Rule, Script, When};
use crate::queue::Op;

/// A script that is being played to the requests of one device.
#[derive(Clone, Debug)]
pub struct Plan {
    rules: Vec<Progress>,
}

/// A rule, and how far it has come.
#[derive(Clone, Debug)]
struct Progress {
    rule: Rule,
    /// Requests of its directions so far.
    seen: u64,
    /// A rule for the first request after some time has had it.
    spent: bool,
}

/// What becomes of one request: first the delay, then the hang, then the effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// How long it takes more.
    pub delay: Duration,
    /// It does not end until somebody lets it go.
    pub hang: bool,
    /// What is done instead of what was asked for.
    pub effect: Effect,
}

/// What is done instead of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// Just what was asked for.
    #[default]
    None,
    /// Nothing, and it fails with EIO.
    Eio,
    /// A write: nothing, and it succeeds.
    Lost,
    /// A write: of this many bytes only, and it succeeds.
    Torn(usize),
    /// A read: what the read before has found, if that was at the same place; else as asked for.
    Stale,
}

impl Plan {
    /// The beginning of a script.
    pub fn new(script: Script) -> Self {
        let fresh = |rule| Progress { rule, seen: 0, spent: false };
        Self { rules: script.rules.into_iter().map(fresh).collect() }
    }

    /// The fate of the next request, which comes `elapsed` after the beginning. Delays of several rules add
    /// up; of several effects the first one in the script counts.
    pub fn next(&mut self, op: Op, elapsed: Duration) -> Fate {
        let mut fate = Fate::default();
        for progress in &mut self.rules {
            if !progress.strikes(op, elapsed) {
                continue;
            }
            let effect = match progress.rule.fault {
                Fault::Delay(time) => {
                    fate.delay = fate.delay.saturating_add(time);
                    continue;
                }
                Fault::Hang => {
                    fate.hang = true;
                    continue;
                }
                Fault::Eio => Effect::Eio,
                Fault::Lost => Effect::Lost,
                Fault::Torn(count) => Effect::Torn(count),
                Fault::Stale => Effect::Stale,
            };
            if fate.effect == Effect::None {
                fate.effect = effect;
            }
        }
        fate
    }
}

impl Progress {
    fn strikes(&mut self, op: Op, elapsed: Duration) -> bool {
        if self.rule.only.is_some_and(|only| only != op) {
            return false;
        }
        self.seen += 1;
        match self.rule.when {
            When::Always => true,
            When::Requests { first, last } => (first..=last).contains(&self.seen),
            When::Once(time) if elapsed >= time => !std::mem::replace(&mut self.spent, true),
            When::Once(_) => false,
            When::Times { from, to } => (from..=to).contains(&elapsed),
        }
    }
}
