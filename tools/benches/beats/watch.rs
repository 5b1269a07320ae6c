//! When blocks arrive on files, as anybody sees it: by inotify.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};

use super::PERIOD;

/// Files and the times of their changes.
pub(crate) struct Watch {
    inotify: OwnedFd,
    /// By watch, which are numbered from 1 in the order of the files.
    beats: Vec<Vec<Instant>>,
}

/// The observer must not be late itself: before even the nodes, if allowed.
pub(crate) fn first_of_all() {
    let parameter = libc::sched_param { sched_priority: 2 };
    // SAFETY: `parameter` is valid for the call; 0 is the calling thread. What it spawned before stays as it is.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &parameter) };
}

impl Watch {
    pub(crate) fn new(paths: &[PathBuf]) -> Self {
        let inotify = init(CreateFlags::CLOEXEC).unwrap();
        for (number, path) in paths.iter().enumerate() {
            let watch = add_watch(&inotify, path, WatchFlags::MODIFY).unwrap();
            assert_eq!(watch as usize, number + 1);
        }
        Self { inotify, beats: vec![Vec::new(); paths.len()] }
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            if poll(&mut [PollFd::new(&self.inotify, PollFlags::IN)], Some(&left)).unwrap() == 0 {
                return;
            }
            let now = Instant::now();
            let mut buffer = [MaybeUninit::uninit(); 64 * 1024];
            let mut reader = Reader::new(&self.inotify, &mut buffer);
            loop {
                self.beats[reader.next().unwrap().wd() as usize - 1].push(now);
                if reader.is_buffer_empty() {
                    break;
                }
            }
        }
    }

    /// Leaves out what has been seen so far.
    pub(crate) fn forget(&mut self) {
        self.beats.iter_mut().for_each(Vec::clear);
    }

    fn gaps(&self, files: Range<usize>) -> impl Iterator<Item = Duration> {
        self.beats[files].iter().flat_map(|beats| beats.windows(2).map(|pair| pair[1] - pair[0]))
    }

    /// Seconds, in order.
    pub(crate) fn lateness(&self, files: Range<usize>) -> Vec<f64> {
        let mut late: Vec<f64> =
            self.gaps(files).map(|gap| gap.saturating_sub(PERIOD).as_secs_f64()).collect();
        late.sort_by(f64::total_cmp);
        late
    }

    /// By what part the mean period is longer than it should be.
    pub(crate) fn mean_error(&self, files: Range<usize>) -> f64 {
        let count = self.gaps(files.clone()).count();
        let sum: Duration = self.gaps(files).sum();
        sum.as_secs_f64() / count as f64 / PERIOD.as_secs_f64() - 1.0
    }
}
