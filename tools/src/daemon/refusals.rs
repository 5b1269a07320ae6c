//! The last refusals, for the status: who looks there wants to know first why a call failed.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use uo2cb_core::Note;

use super::clock::unix_now;

/// How many are kept.
const KEPT: usize = 16;

/// A refused call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    /// The last time, wall clock since 1970.
    pub(crate) at: Duration,
    /// As in the log.
    pub(crate) line: String,
    /// How often in a row.
    pub(crate) times: u64,
}

/// The last of them, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<VecDeque<Refused>>);

impl Refusals {
    /// Keeps the note if it is about a refusal.
    pub(crate) fn note(&self, note: &Note) {
        if !matches!(note, Note::Refused { .. } | Note::NotSubscribed { .. }) {
            return;
        }
        let (at, line) = (unix_now(), note.to_string());
        let mut kept = self.0.lock();
        match kept.back_mut() {
            Some(last) if last.line == line => {
                last.at = at;
                last.times += 1;
            }
            Some(_) | None => {
                if kept.len() == KEPT {
                    kept.pop_front();
                }
                kept.push_back(Refused { at, line, times: 1 });
            }
        }
    }

    pub(crate) fn all(&self) -> Vec<Refused> {
        self.0.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uo2cb_core::Refusal;

    #[test]
    fn the_last_are_kept_and_equal_ones_counted() {
        let refusals = Refusals::default();
        let note = |num: usize| Note::NotSubscribed {
            region: Some(format!("R{num}").into_bytes()),
            refusal: Refusal::NoSuchRegion,
        };
        refusals.note(&Note::Method("user"));
        (0..40).for_each(|num| refusals.note(&note(num)));
        (0..9).for_each(|_| refusals.note(&note(40)));
        let all = refusals.all();
        assert_eq!(all.len(), KEPT);
        assert_eq!(all.iter().map(|one| one.times).collect::<Vec<_>>(), [vec![1; 15], vec![9]].concat());
        assert_eq!((&all[0].line, &all[15].line), (&note(25).to_string(), &note(40).to_string()));
    }
}
