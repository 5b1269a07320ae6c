//! Equal lines that follow one another closely: the first is written, the others are counted. Somebody who tries the same refused call again
//! and again must not fill the disk, nor push what others need to read out of sight.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use slog::Level;

use super::Job;

/// How long no equal line may come until the count is written; one that comes later is written again.
const PAUSE: Duration = Duration::from_secs(1);
/// How old a count may get while equal lines go on coming.
const LATEST: Duration = Duration::from_secs(10);

/// What makes lines equal: a number that stands for level and message, without the process that called. A shell's
/// loop is another process each time.
pub(super) fn key(hasher: &RandomState, level: Level, message: &str) -> u64 {
    const CALLER: &str = ", for pid ";
    let (head, tail) = message.rsplit_once(CALLER).unwrap_or((message, ""));
    hasher.hash_one((level.as_usize(), head, tail.trim_start_matches(|c: char| c.is_ascii_digit())))
}

/// What is to be written, one after the other; ends with the channel.
pub(super) struct Counted<'a> {
    jobs: &'a Receiver<Job>,
    /// The line that is not written again, and when it came last.
    last: Option<(u64, Level)>,
    came: Instant,
    more: u64,
    /// When the first of those came.
    since: Instant,
    /// What came behind them.
    held: Option<Job>,
}

impl<'a> Counted<'a> {
    pub(super) fn new(jobs: &'a Receiver<Job>) -> Self {
        let now = Instant::now();
        Self { jobs, last: None, came: now, more: 0, since: now, held: None }
    }

    fn count(&mut self) -> Option<Job> {
        let more = std::mem::take(&mut self.more);
        self.last.filter(|_| more > 0).map(|(_, level)| Job::Count(level, more))
    }
}

impl Iterator for Counted<'_> {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        if let Some(job) = self.held.take() {
            return Some(job);
        }
        loop {
            let job = if self.more == 0 {
                self.jobs.recv().ok()?
            } else {
                let left = LATEST.saturating_sub(self.since.elapsed());
                match self.jobs.recv_timeout(PAUSE.min(left)) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return self.count(),
                }
            };
            match &job {
                Job::Line(line)
                    if Some(line.key) == self.last.map(|(key, _)| key) && self.came.elapsed() < PAUSE =>
                {
                    self.came = Instant::now();
                    if self.more == 0 {
                        self.since = Instant::now();
                    }
                    self.more += 1;
                    if self.since.elapsed() >= LATEST {
                        return self.count();
                    }
                    continue;
                }
                Job::Line(_) | Job::Flush(_) | Job::Count(..) => {}
            }
            let count = self.count();
            if let Job::Line(line) = &job {
                self.last = Some((line.key, line.level));
                self.came = Instant::now();
            }
            if count.is_some() {
                self.held = Some(job);
                return count;
            }
            return Some(job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Line;
    use super::*;
    use crossbeam_channel::unbounded;

    fn line(key: u64) -> Job {
        Job::Line(Line { key, level: Level::Warning, text: key.to_string() })
    }

    fn shown(job: Job) -> String {
        match job {
            Job::Line(line) => line.text,
            Job::Count(_, more) => format!("+{more}"),
            Job::Flush(_) => "flush".into(),
        }
    }

    #[test]
    fn counts_stand_before_what_follows_and_at_the_end() {
        let (send, jobs) = unbounded();
        for key in [1, 1, 1, 2, 2, 3, 1, 1] {
            send.send(line(key)).unwrap();
        }
        send.send(Job::Flush(crossbeam_channel::bounded(1).0)).unwrap();
        send.send(line(1)).unwrap();
        drop(send);
        let all: Vec<_> = Counted::new(&jobs).map(shown).collect();
        assert_eq!(all, ["1", "+2", "2", "+1", "3", "1", "+1", "flush", "+1"]);
    }

    #[test]
    fn a_count_is_not_kept_back_when_nothing_follows() {
        let (send, jobs) = unbounded();
        let mut counted = Counted::new(&jobs);
        for _ in 0..3 {
            send.send(line(1)).unwrap();
        }
        let start = Instant::now();
        assert_eq!(counted.next().map(shown).as_deref(), Some("1"));
        assert_eq!(counted.next().map(shown).as_deref(), Some("+2"));
        assert!(start.elapsed() >= PAUSE);
        // What is equal but comes much later is no flood.
        send.send(line(1)).unwrap();
        drop(send);
        assert_eq!(counted.next().map(shown).as_deref(), Some("1"));
        assert!(counted.next().is_none());
    }

    #[test]
    fn lines_of_several_processes_are_equal_and_others_are_not() {
        let hasher = RandomState::new();
        let key = |level, message| key(&hasher, level, message);
        let one = key(Level::Warning, "store a \"x\": no (EINVAL), for pid 7 uid 8");
        assert_eq!(one, key(Level::Warning, "store a \"x\": no (EINVAL), for pid 1234 uid 8"));
        for (level, message) in [
            (Level::Warning, "store a \"x\": no (EINVAL), for pid 7 uid 9"),
            (Level::Warning, "store a \"y\": no (EINVAL), for pid 7 uid 8"),
            (Level::Info, "store a \"x\": no (EINVAL), for pid 7 uid 8"),
        ] {
            assert_ne!(one, key(level, message), "{message}");
        }
        assert_ne!(key(Level::Info, "1"), key(Level::Info, "2"));
    }
}
