//! Work that any thread hands to one thread, which otherwise waits in a way of its own: for completions of disks,
//! say, or in epoll.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Ends the wait of the thread that empties a mailbox, from any thread and without blocking. A wake between two
/// waits must end the next one.
pub(crate) trait Wake: Send {
    /// Ends it.
    fn wake(&self);
}

impl Wake for uo2cb_blockio::Waker {
    fn wake(&self) {
        Self::wake(self);
    }
}

/// Jobs for one thread, its *owner*.
///
/// Others [`note`](Self::note) any number of jobs and then say [`go`](Self::go), which wakes the owner at most once
/// for all of them. The owner calls [`take`](Self::take) before each of its waits, and waits only when that gave it
/// nothing: so no job is left behind, and nobody wakes an owner that is not waiting.
#[derive(Debug)]
pub(crate) struct Mailbox<T, W> {
    /// Held for a few instructions at a time.
    inner: Mutex<Inner<T, W>>,
    /// Outside of the lock: a fence must not wait for whoever holds that.
    halted: AtomicBool,
}

#[derive(Debug)]
struct Inner<T, W> {
    noted: Vec<T>,
    waker: Option<W>,
    /// The owner will call `take` before it waits.
    awake: bool,
}

impl<T, W> Default for Mailbox<T, W> {
    fn default() -> Self {
        let inner = Inner { noted: Vec::new(), waker: None, awake: false };
        Self { inner: Mutex::new(inner), halted: AtomicBool::new(false) }
    }
}

impl<T, W: Wake> Mailbox<T, W> {
    /// Adds a job, which the owner learns of with the next [`go`](Self::go). Dropped once halted.
    pub(crate) fn note(&self, job: T) {
        if !self.is_halted() {
            self.inner.lock().noted.push(job);
        }
    }

    /// Wakes the owner if there is something for it and it does not know.
    pub(crate) fn go(&self) {
        let mut inner = self.inner.lock();
        if !inner.noted.is_empty() && !inner.awake {
            inner.awake = true;
            if let Some(waker) = &inner.waker {
                waker.wake();
            }
        }
    }

    /// The owner says how it is woken. What was noted before is found by its first [`take`](Self::take).
    pub(crate) fn attach(&self, waker: W) {
        self.inner.lock().waker = Some(waker);
    }

    /// The owner exchanges `batch`, which is empty, for what has been noted. Nothing: from now on it is woken. False
    /// once halted: then it is to end.
    pub(crate) fn take(&self, batch: &mut Vec<T>) -> bool {
        let mut inner = self.inner.lock();
        mem::swap(&mut inner.noted, batch);
        inner.awake = !batch.is_empty();
        !self.is_halted()
    }

    /// The owner is awake for another reason: what it causes to be noted needs no wake.
    pub(crate) fn awake(&self) {
        self.inner.lock().awake = true;
    }

    /// Nothing more is taken in or given out. Waits for nothing.
    pub(crate) fn halt(&self) {
        self.halted.store(true, Ordering::SeqCst);
    }

    /// Whether that has been said.
    pub(crate) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::SeqCst)
    }

    /// [`halt`](Self::halt), and ends the owner's wait. Gives what it had not taken.
    pub(crate) fn close(&self) -> Vec<T> {
        self.halt();
        let mut inner = self.inner.lock();
        if let Some(waker) = &inner.waker {
            waker.wake();
        }
        mem::take(&mut inner.noted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::thread;
    use std::time::Duration;

    use crossbeam_channel::{Receiver, Sender, bounded};

    /// As an eventfd: keeps one wake.
    struct Flag(Sender<()>, Arc<AtomicUsize>);

    impl Wake for Flag {
        fn wake(&self) {
            self.1.fetch_add(1, Ordering::SeqCst);
            let _ = self.0.try_send(());
        }
    }

    fn mailbox<T>() -> (Arc<Mailbox<T, Flag>>, Receiver<()>, Arc<AtomicUsize>) {
        let (mailbox, wakes) = (Arc::new(Mailbox::default()), Arc::default());
        let (flag, wait) = bounded(1);
        mailbox.attach(Flag(flag, Arc::clone(&wakes)));
        (mailbox, wait, wakes)
    }

    #[test]
    fn the_owner_is_woken_once_for_many_jobs_and_only_while_it_waits() {
        let (mailbox, _wait, wakes) = mailbox();
        let woken = || wakes.swap(0, Ordering::SeqCst);
        let mut batch = Vec::new();
        mailbox.go();
        assert_eq!(woken(), 0, "for nothing");
        mailbox.note(1);
        mailbox.note(2);
        assert_eq!(woken(), 0, "before it is to go");
        mailbox.go();
        mailbox.go();
        mailbox.note(3);
        mailbox.go();
        assert_eq!(woken(), 1);
        assert!(mailbox.take(&mut batch));
        assert_eq!(batch, [1, 2, 3]);
        // Still at work on them, it comes again before it waits.
        mailbox.note(4);
        mailbox.go();
        assert_eq!(woken(), 0);
        batch.clear();
        assert!(mailbox.take(&mut batch));
        assert_eq!(batch, [4]);
        batch.clear();
        assert!(mailbox.take(&mut batch));
        assert!(batch.is_empty());
        mailbox.note(5);
        mailbox.go();
        assert_eq!(woken(), 1, "it may be waiting");
    }

    #[test]
    fn what_the_owner_causes_itself_does_not_wake_it() {
        let (mailbox, _wait, wakes) = mailbox();
        let mut batch = Vec::new();
        assert!(mailbox.take(&mut batch));
        mailbox.awake();
        mailbox.note(1);
        mailbox.go();
        assert_eq!(wakes.load(Ordering::SeqCst), 0);
        assert!(mailbox.take(&mut batch));
        assert_eq!(batch, [1]);
    }

    #[test]
    fn jobs_noted_before_there_is_an_owner_are_found() {
        let mailbox = Mailbox::default();
        mailbox.note(1);
        mailbox.go();
        let (flag, _wait) = bounded(1);
        mailbox.attach(Flag(flag, Arc::default()));
        let mut batch = Vec::new();
        assert!(mailbox.take(&mut batch));
        assert_eq!(batch, [1]);
    }

    #[test]
    fn once_halted_nothing_goes_in_or_comes_out() {
        let (mailbox, wait, _) = mailbox();
        mailbox.note(1);
        mailbox.halt();
        mailbox.note(2);
        assert!(wait.try_recv().is_err(), "a halt wakes nobody");
        assert_eq!(mailbox.close(), [1]);
        assert!(wait.try_recv().is_ok(), "a close does");
        let mut batch = Vec::new();
        assert!(!mailbox.take(&mut batch));
        assert!(batch.is_empty());
        mailbox.note(3);
        assert!(!mailbox.take(&mut batch));
        assert!(batch.is_empty());
    }

    /// A halt must not wait for a thread that has stopped while it had the lock.
    #[test]
    fn a_halt_needs_no_lock() {
        let (mailbox, ..) = mailbox::<u32>();
        let held = mailbox.inner.lock();
        mailbox.halt();
        assert!(mailbox.is_halted());
        drop(held);
    }

    #[test]
    fn no_job_is_lost_or_done_twice_under_load() {
        const THREADS: usize = 4;
        const EACH: usize = 20_000;
        let (mailbox, wait, wakes) = mailbox();
        let mut seen = vec![0; THREADS * EACH];
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let mailbox = &mailbox;
                scope.spawn(move || {
                    for job in 0..EACH {
                        mailbox.note(thread * EACH + job);
                        if job % 3 != 0 || job == EACH - 1 {
                            mailbox.go();
                        }
                    }
                });
            }
            let (mut batch, mut done) = (Vec::new(), 0);
            while done < THREADS * EACH {
                assert!(mailbox.take(&mut batch));
                if batch.is_empty() {
                    wait.recv_timeout(Duration::from_secs(20)).expect("a wake is missing");
                }
                done += batch.len();
                batch.drain(..).for_each(|job| seen[job] += 1);
            }
        });
        assert!(seen.iter().all(|times| *times == 1));
        assert!(wakes.load(Ordering::SeqCst) <= THREADS * EACH);
    }
}
