//! Work that may take any time, on threads of its own, with a limit.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How much work there may be at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// After this its result is not waited for any more. Half of it for each that is overdue already: callers may wait
    /// one behind the other, as those of symlink(2) in one directory do, and all together wait no longer than twice this.
    pub(crate) wait: Duration,
    /// For one user.
    pub(crate) each: usize,
    /// For all together.
    pub(crate) all: usize,
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoResult {
    /// It takes too long.
    TooLong,
    /// Too much is under way already, and perhaps stuck.
    TooMany,
    /// The work panicked, or no thread could be started for it.
    Failed,
}

type Work<T> = Box<dyn FnOnce() -> T + Send>;
type Finish<T> = Box<dyn FnOnce(Result<T, NoResult>) + Send>;
/// Starts a thread: [`Service::thread`](crate::service::Service::thread).
type Spawn = Box<dyn Fn(&str, Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> + Send + Sync>;

/// Work of one kind. What is under way when it is dropped gets no result.
pub(crate) struct Offload<T> {
    scheduler: Arc<Scheduler<T>>,
}

struct Scheduler<T> {
    limits: Limits,
    spawn: Spawn,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    next: u64,
    /// To be started.
    new: Vec<(u64, Work<T>)>,
    /// Under way, also what nobody waits for any more.
    running: BTreeMap<u64, Running<T>>,
    ended: Vec<(u64, Option<T>)>,
    /// The thread that starts and finishes runs.
    has_thread: bool,
    over: bool,
}

struct Running<T> {
    uid: u32,
    until: Instant,
    /// None: it was too late.
    finish: Option<Finish<T>>,
}

impl<T: Send + 'static> Offload<T> {
    pub(crate) fn new(limits: Limits, spawn: Spawn) -> Self {
        let state = State {
            next: 0,
            new: Vec::new(),
            running: BTreeMap::new(),
            ended: Vec::new(),
            has_thread: false,
            over: false,
        };
        Self {
            scheduler: Arc::new(Scheduler {
                limits,
                spawn,
                state: Mutex::new(state),
                changed: Condvar::new(),
            }),
        }
    }

    /// Has `work` done for a user and its result handed to `finish`, which is called exactly once: here, if the
    /// limits are reached, else on a thread that all finishing shares. `work` may change the rights of its thread.
    pub(crate) fn start(&self, uid: u32, work: Work<T>, finish: Finish<T>) {
        let Limits { wait, each, all } = self.scheduler.limits;
        let mut state = self.scheduler.state.lock();
        let his = state.running.values().filter(|running| running.uid == uid).count();
        if his >= each || state.running.len() >= all {
            drop(state);
            return finish(Err(NoResult::TooMany));
        }
        if !state.has_thread {
            let scheduler = Arc::clone(&self.scheduler);
            let thread = (self.scheduler.spawn)("offload", Box::new(move || scheduler.run()));
            if thread.is_err() {
                drop(state);
                return finish(Err(NoResult::TooMany));
            }
            state.has_thread = true;
        }
        let overdue = state.running.values().filter(|running| running.finish.is_none()).count();
        let wait = u32::try_from(overdue)
            .ok()
            .and_then(|halves| 1u32.checked_shl(halves))
            .map_or(Duration::ZERO, |parts| wait / parts);
        let id = state.next;
        state.next += 1;
        state.running.insert(id, Running { uid, until: Instant::now() + wait, finish: Some(finish) });
        state.new.push((id, work));
        self.scheduler.changed.notify_one();
    }
}

impl<T> Drop for Offload<T> {
    fn drop(&mut self) {
        self.scheduler.state.lock().over = true;
        self.scheduler.changed.notify_one();
    }
}

impl<T: Send + 'static> Scheduler<T> {
    /// Body of the thread that starts the work and finishes it, with the rights of this process.
    fn run(self: Arc<Self>) {
        let mut state = self.state.lock();
        while !state.over {
            let (new, due) = (std::mem::take(&mut state.new), state.due());
            if new.is_empty() && due.is_empty() {
                match state.deadline() {
                    Some(until) => drop(self.changed.wait_until(&mut state, until)),
                    None => self.changed.wait(&mut state),
                }
                continue;
            }
            parking_lot::MutexGuard::unlocked(&mut state, || {
                for (finish, result) in due {
                    finish(result);
                }
                for (id, work) in new {
                    self.start(id, work);
                }
            });
        }
        state.running.clear();
    }

    fn start(self: &Arc<Self>, id: u64, work: Work<T>) {
        // Dropped without a result where no thread can be started, too.
        let completion = Completion { scheduler: Arc::clone(self), id, result: None };
        let _ = (self.spawn)("target", Box::new(move || completion.with(work())));
    }

    fn ended(&self, id: u64, result: Option<T>) {
        self.state.lock().ended.push((id, result));
        self.changed.notify_one();
    }
}

/// Hands in the result of a work when it is dropped, also where that panicked: a panic is reported by who starts the
/// threads.
struct Completion<T: Send + 'static> {
    scheduler: Arc<Scheduler<T>>,
    id: u64,
    result: Option<T>,
}

impl<T: Send + 'static> Completion<T> {
    fn with(mut self, result: T) {
        self.result = Some(result);
    }
}

impl<T: Send + 'static> Drop for Completion<T> {
    fn drop(&mut self) {
        self.scheduler.ended(self.id, self.result.take());
    }
}

impl<T> State<T> {
    /// What can be finished: with its result, or because it took too long.
    fn due(&mut self) -> Vec<(Finish<T>, Result<T, NoResult>)> {
        let mut due = Vec::new();
        for (id, result) in self.ended.drain(..) {
            if let Some(finish) = self.running.remove(&id).and_then(|running| running.finish) {
                due.push((finish, result.ok_or(NoResult::Failed)));
            }
        }
        let now = Instant::now();
        for running in self.running.values_mut().filter(|running| running.until <= now) {
            due.extend(running.finish.take().map(|finish| (finish, Err(NoResult::TooLong))));
        }
        due
    }

    fn deadline(&self) -> Option<Instant> {
        self.running.values().filter(|running| running.finish.is_some()).map(|running| running.until).min()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::{Receiver, channel};
    use std::thread::Builder;

    use super::*;

    const SOON: Duration = Duration::from_secs(60);

    fn start(offload: &Offload<u32>, uid: u32, work: Work<u32>) -> Receiver<Result<u32, NoResult>> {
        let (sender, receiver) = channel();
        offload.start(uid, work, Box::new(move |result| sender.send(result).unwrap_or_default()));
        receiver
    }

    /// Work that waits until the sender is gone.
    fn stuck() -> (std::sync::mpsc::Sender<()>, Work<u32>) {
        let (sender, receiver) = channel::<()>();
        (sender, Box::new(move || receiver.recv().map_or(1, |()| 2)))
    }

    fn offload(wait: Duration) -> Offload<u32> {
        let spawn: Spawn = Box::new(|name, body| Builder::new().name(name.into()).spawn(body));
        Offload::new(Limits { wait, each: 2, all: 3 }, spawn)
    }

    #[test]
    fn results_come_as_they_are_ready() {
        let offload = offload(SOON);
        let (release, work) = stuck();
        let first = start(&offload, 1, work);
        assert_eq!(start(&offload, 1, Box::new(|| 7)).recv_timeout(SOON), Ok(Ok(7)));
        assert!(first.try_recv().is_err());
        drop(release);
        assert_eq!(first.recv_timeout(SOON), Ok(Ok(1)));
        // All are counted out again.
        for n in 0..20 {
            assert_eq!(start(&offload, 1, Box::new(move || n)).recv_timeout(SOON), Ok(Ok(n)));
        }
    }

    #[test]
    fn what_is_stuck_is_given_up_and_still_counts() {
        let offload = offload(Duration::from_millis(20));
        let (release, work) = stuck();
        let (release2, work2) = stuck();
        let (release3, work3) = stuck();
        for (uid, work) in [(1, work), (1, work2)] {
            assert_eq!(start(&offload, uid, work).recv_timeout(SOON), Ok(Err(NoResult::TooLong)));
        }
        assert_eq!(
            start(&offload, 1, Box::new(|| 7)).try_recv(),
            Ok(Err(NoResult::TooMany)),
            "for this user"
        );
        assert_eq!(start(&offload, 2, work3).recv_timeout(SOON), Ok(Err(NoResult::TooLong)));
        assert_eq!(start(&offload, 3, Box::new(|| 7)).try_recv(), Ok(Err(NoResult::TooMany)), "for all");
        drop((release, release2, release3));
        let deadline = Instant::now() + SOON;
        while start(&offload, 1, Box::new(|| 7)).recv_timeout(SOON) != Ok(Ok(7)) {
            assert!(Instant::now() < deadline, "what has ended at last still counts");
        }
    }

    #[test]
    fn callers_behind_one_another_wait_no_longer_than_twice_the_limit() {
        let wait = Duration::from_millis(400);
        let spawn: Spawn = Box::new(|name, body| Builder::new().name(name.into()).spawn(body));
        let offload = Offload::new(Limits { wait, each: 40, all: 40 }, spawn);
        let mut stuck: Vec<_> = (0..40).map(|_| stuck()).collect();
        let mut waits = Vec::new();
        for (_, work) in &mut stuck {
            let work = std::mem::replace(work, Box::new(|| 0));
            let begin = Instant::now();
            assert_eq!(start(&offload, 1, work).recv_timeout(SOON), Ok(Err(NoResult::TooLong)));
            waits.push(begin.elapsed());
        }
        assert!(waits[0] >= wait && waits[1] >= wait / 2, "{waits:?}");
        // The tenth would wait 0.8 ms: much later it comes only where the machine is busy.
        assert!(waits[9..].iter().filter(|waited| **waited >= wait).count() < 3, "{waits:?}");
    }

    #[test]
    fn a_panic_reaches_who_starts_threads_and_counts_no_more() {
        let (told, panics) = channel();
        let spawn: Spawn = Box::new(move |name, body| {
            let (told, thread) = (told.clone(), name.to_owned());
            Builder::new().name(name.into()).spawn(move || {
                if catch_unwind(AssertUnwindSafe(body)).is_err() {
                    told.send(thread).unwrap();
                }
            })
        });
        let offload = Offload::new(Limits { wait: SOON, each: 1, all: 1 }, spawn);
        let work = Box::new(|| panic!("as expected by this test"));
        assert_eq!(start(&offload, 1, work).recv_timeout(SOON), Ok(Err(NoResult::Failed)));
        assert_eq!(panics.recv_timeout(SOON).as_deref(), Ok("target"));
        assert_eq!(start(&offload, 1, Box::new(|| 7)).recv_timeout(SOON), Ok(Ok(7)));
    }

    #[test]
    fn without_a_thread_there_is_no_result() {
        let serves = |name: &str| if name == "offload" { Ok(()) } else { Err(io::Error::other("no thread")) };
        let spawn: Spawn = Box::new(move |name, body| {
            serves(name).and_then(|()| Builder::new().name(name.into()).spawn(body))
        });
        let offload = Offload::new(Limits { wait: SOON, each: 1, all: 1 }, spawn);
        for _ in 0..2 {
            assert_eq!(start(&offload, 1, Box::new(|| 7)).recv_timeout(SOON), Ok(Err(NoResult::Failed)));
        }
        let offload = Offload::<u32>::new(
            Limits { wait: SOON, each: 1, all: 1 },
            Box::new(|_, _| Err(io::Error::other("no thread"))),
        );
        assert_eq!(start(&offload, 1, Box::new(|| 7)).recv_timeout(SOON), Ok(Err(NoResult::TooMany)));
    }

    #[test]
    fn nobody_is_finished_after_the_end() {
        let offload = offload(SOON);
        let (release, work) = stuck();
        let waiting = start(&offload, 1, work);
        drop(offload);
        // The sender goes with what was to be finished.
        assert!(
            waiting
                .recv_timeout(SOON)
                .is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Disconnected)
        );
        drop(release);
    }
}
