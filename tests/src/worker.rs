//! A thread that lives as long as what was made in it.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::guest::Error;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that runs one job after the other. A program that is to end with the test ends with the thread that started
/// it, and of a process only threads can be in a name space of their own: both want a thread that stays.
#[derive(Debug)]
pub struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// A new one. It ends with the drop.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn new() -> Result<Self, Error> {
        let (jobs, todo) = channel::<Job>();
        let thread = std::thread::Builder::new().name("worker".into()).spawn(move || {
            for job in todo {
                job();
            }
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs something there, and waits for its end.
    ///
    /// # Errors
    /// It panicked, or one before it did.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let (sender, result) = channel();
        let job = Box::new(move || {
            // Nobody waits when the caller has panicked.
            let _ = sender.send(job());
        });
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        let done = sent.then(|| result.recv().ok()).flatten();
        done.ok_or_else(|| Error::new("a worker has panicked"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It has said why, if it panicked.
            let _ = thread.join();
        }
    }
}
