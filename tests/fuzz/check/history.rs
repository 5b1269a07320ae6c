//! A reference for the judging of slots without counters: every verdict is counted anew from all samples of a slot.

use uo2cb_core::heartbeat::disk::{Found, Left, Verdict};

/// A sample and its verdict.
struct Sample {
    /// Its seq differed from the last one's.
    changed: bool,
    /// It had the same seq, or a wrong checksum.
    equal: bool,
    /// Its generation differed.
    restarted: bool,
    verdict: Verdict,
    /// Was the node live before?
    live: bool,
}

/// All samples of one slot since the baseline.
#[derive(Default)]
pub struct History {
    /// Seq and generation of the last good sample or the baseline.
    pub last: (u64, u64),
    samples: Vec<Sample>,
}

impl History {
    pub fn populate(&mut self, found: &Found) {
        *self = Self { last: (found.block.seq, found.block.generation), samples: Vec::new() };
    }

    /// Was its last verdict that the node joined?
    pub fn live(&self) -> bool {
        let last = self.samples.iter().rev().find(|sample| sample.verdict != Verdict::Same);
        last.is_some_and(|sample| sample.verdict == Verdict::Joined)
    }

    /// Samples after the last one that is `end`.
    fn since(&self, end: impl Fn(&Sample) -> bool) -> &[Sample] {
        let from = self.samples.iter().rposition(end).map_or(0, |at| at + 1);
        &self.samples[from..]
    }

    /// Changes that count for joining. A live node's are settled by a sample that leaves it live.
    fn changes(&self) -> usize {
        let silent = Verdict::Left(Left::Silent);
        let settled =
            |sample: &Sample| sample.verdict == silent || (sample.live && sample.verdict == Verdict::Same);
        self.since(settled).iter().filter(|sample| sample.changed).count()
    }

    /// Equal samples of a live node since it joined or changed.
    fn silence(&self) -> usize {
        let mut unsettled = false;
        let mut count = 0;
        for sample in &self.samples {
            unsettled |= sample.changed;
            count += usize::from(sample.equal);
            let settles = sample.live && sample.verdict == Verdict::Same;
            if sample.verdict == Verdict::Joined || sample.restarted || (settles && unsettled) {
                count = 0;
            }
            unsettled &= !settles && sample.verdict != Verdict::Left(Left::Silent);
        }
        count
    }

    /// The verdict that the next sample must have.
    pub fn judge(&mut self, found: &Found, dead_threshold: u32) -> Verdict {
        let live = self.live();
        let (seq, generation) = (found.block.seq, found.block.generation);
        let sample = Sample {
            changed: found.good && seq != self.last.0,
            equal: if found.good { seq == self.last.0 } else { live },
            restarted: found.good && generation != self.last.1,
            verdict: Verdict::Same,
            live,
        };
        if found.good {
            self.last = (seq, generation);
        }
        let (restarted, changed) = (sample.restarted, usize::from(sample.changed));
        let (changes, silence) = (self.changes() + changed, self.silence() + usize::from(sample.equal));
        let verdict = match live {
            false if found.good && changes >= 2 => Verdict::Joined,
            false => Verdict::Same,
            true if restarted && generation == 0 => Verdict::Left(Left::Clean),
            true if restarted => Verdict::Left(Left::Restarted),
            true if silence >= dead_threshold as usize => Verdict::Left(Left::Silent),
            true => Verdict::Same,
        };
        self.samples.push(Sample { verdict, ..sample });
        verdict
    }
}
