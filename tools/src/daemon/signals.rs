//! Signals to callers that wait for an answer. The kernel's FUSE holds back a signal until there is one, so the
//! callers are looked at: the kernel itself would have ended their call.

use std::fs::File;
use std::io::Read;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::process::{Pid, test_kill_process};
use uo2cb_core::RequestId;
use uo2cb_fusefs::caller::proc_is_own;

use super::fault_point;

/// Between two looks at all callers: at least so long, and longer the more there are. A look costs some 10 microseconds.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_EACH: Duration = Duration::from_millis(1);
/// However many there are, their signals are seen in time.
const LOOK_MOST: Duration = Duration::from_millis(120);
/// Until the second look at one whose process has a signal that another of its threads may take.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// SIGKILL, as a bit of the masks in /proc.
const KILL: u64 = 1 << (libc::SIGKILL - 1);
/// Signals that do nothing unless they are caught.
const HARMLESS: u64 =
    1 << (libc::SIGCHLD - 1) | 1 << (libc::SIGCONT - 1) | 1 << (libc::SIGURG - 1) | 1 << (libc::SIGWINCH - 1);

/// What ends a call that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ends {
    /// Any signal, as it ends a write to `dev`.
    AnySignal,
    /// Only the caller's death.
    Death,
}

/// Callers who wait. Its lock is taken inside the monitor, never the other way round, and held for no look.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    list: Mutex<List>,
    changed: Condvar,
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct List {
    callers: Vec<Caller>,
    stop: bool,
}

#[derive(Clone, Copy, Debug)]
struct Caller {
    request: RequestId,
    thread: u32,
    ends: Ends,
}

impl Callers {
    pub(crate) fn add(&self, request: RequestId, thread: u32, ends: Ends) {
        let mut list = self.list.lock();
        list.callers.push(Caller { request, thread, ends });
        self.count.store(list.callers.len(), Ordering::Relaxed);
        if list.callers.len() == 1 {
            self.changed.notify_one();
        }
    }

    pub(crate) fn remove(&self, request: RequestId) {
        // Changed inside the monitor only, so it is up to date there.
        if self.count.load(Ordering::Relaxed) > 0 {
            let mut list = self.list.lock();
            list.callers.retain(|caller| caller.request != request);
            self.count.store(list.callers.len(), Ordering::Relaxed);
        }
    }

    pub(crate) fn stop(&self) {
        self.list.lock().stop = true;
        self.changed.notify_one();
    }

    /// Body of the thread that looks: calls `cancel` for requests whose callers have had their signal. It may
    /// be called again for the same until the request is removed.
    pub(crate) fn watch(&self, cancel: impl Fn(RequestId)) {
        let mut looking = Vec::new();
        let mut again: Vec<Caller> = Vec::new();
        let mut list = self.list.lock();
        while !list.stop {
            if list.callers.is_empty() {
                again.clear();
                self.changed.wait(&mut list);
                continue;
            }
            looking.clone_from(&list.callers);
            MutexGuard::unlocked(&mut list, || {
                fault_point::reach("signals");
                looking.retain(|caller| match caller.look() {
                    Look::Nothing => false,
                    Look::Perhaps => true,
                    Look::Ended => {
                        cancel(caller.request);
                        false
                    }
                });
                std::mem::swap(&mut looking, &mut again);
            });
            let next = Instant::now() + period(list.callers.len());
            if !again.is_empty() && !list.stop {
                self.changed.wait_for(&mut list, LOOK_AGAIN);
                MutexGuard::unlocked(&mut list, || {
                    let ended = again.drain(..).filter(|caller| caller.look() != Look::Nothing);
                    ended.for_each(|caller| cancel(caller.request));
                });
            }
            while !list.stop && !self.changed.wait_until(&mut list, next).timed_out() {}
        }
    }
}

/// Between two looks at so many callers.
fn period(callers: usize) -> Duration {
    LOOK_EACH.saturating_mul(u32::try_from(callers).unwrap_or(u32::MAX)).clamp(LOOK, LOOK_MOST)
}

/// What a look at a caller has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    /// It waits on.
    Nothing,
    /// A signal to the whole process: perhaps another of its threads is about to take it.
    Perhaps,
    /// Its call is to end.
    Ended,
}

impl Caller {
    fn look(&self) -> Look {
        let mut buffer = [0; 4096];
        let Some(status) = self.status(&mut buffer) else {
            // Hidden from this process, or no descriptor is left for a look: not a sign of anything.
            return if self.is_gone() { Look::Ended } else { Look::Nothing };
        };
        let Some(signals) = Signals::parse(status) else { return Look::Ended };
        match self.ends {
            Ends::Death if signals.of_thread & KILL != 0 => Look::Ended,
            Ends::Death => Look::Nothing,
            Ends::AnySignal if signals.of_thread != 0 => Look::Ended,
            Ends::AnySignal if signals.of_process == 0 => Look::Nothing,
            Ends::AnySignal if signals.alone => Look::Ended,
            Ends::AnySignal => Look::Perhaps,
        }
    }

    /// What /proc says of it, if it can be read.
    fn status<'a>(&self, buffer: &'a mut [u8; 4096]) -> Option<&'a [u8]> {
        // In a /proc of another PID name space the number is a stranger's.
        static OWN: OnceLock<bool> = OnceLock::new();
        if !OWN.get_or_init(proc_is_own) {
            return None;
        }
        let mut file = File::open(format!("/proc/{}/status", self.thread)).ok()?;
        let mut length = 0;
        loop {
            match file.read(&mut buffer[length..]).ok()? {
                0 => return Some(&buffer[..length]).filter(|status| !status.is_empty()),
                count => length += count,
            }
        }
    }

    fn is_gone(&self) -> bool {
        let thread = i32::try_from(self.thread).ok().and_then(Pid::from_raw);
        thread.is_none_or(|thread| test_kill_process(thread) == Err(rustix::io::Errno::SRCH))
    }
}

/// Signals that wait and would do something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Signals {
    of_thread: u64,
    of_process: u64,
    /// The thread is all there is of its process.
    alone: bool,
}

impl Signals {
    /// None: the thread is dead.
    fn parse(status: &[u8]) -> Option<Self> {
        let [mut pending, mut shared, mut blocked, mut ignored, mut caught] = [0; 5];
        let mut alone = false;
        for line in status.split(|byte| *byte == b'\n') {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let mask = match name {
                b"State" if matches!(value.first(), Some(b'Z' | b'X')) => return None,
                b"Threads" => {
                    alone = value == b"1";
                    continue;
                }
                b"SigPnd" => &mut pending,
                b"ShdPnd" => &mut shared,
                b"SigBlk" => &mut blocked,
                b"SigIgn" => &mut ignored,
                b"SigCgt" => &mut caught,
                _ => continue,
            };
            *mask = std::str::from_utf8(value).ok().and_then(|mask| u64::from_str_radix(mask, 16).ok())?;
        }
        let idle = blocked | ignored | (HARMLESS & !caught);
        Some(Self { of_thread: pending & !idle, of_process: shared & !idle, alone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pending: u64, shared: u64, blocked: u64, ignored: u64, caught: u64) -> (u64, u64) {
        let signals = Signals::parse(
            format!(
                "Name:\tsh\nState:\tD (disk sleep)\nThreads:\t2\nSigPnd:\t{pending:016x}\nShdPnd:\t{shared:016x}\n\
                 SigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
            )
            .as_bytes(),
        )
        .unwrap();
        assert!(!signals.alone);
        (signals.of_thread, signals.of_process)
    }

    fn bit(signal: i32) -> u64 {
        1 << (signal - 1)
    }

    #[test]
    fn signals_that_count() {
        let (int, child) = (bit(libc::SIGINT), bit(libc::SIGCHLD));
        assert_eq!(status(0, 0, 0, 0, 0), (0, 0));
        assert_eq!(status(int, 0, 0, 0, 0), (int, 0));
        assert_eq!(status(0, int, 0, 0, 0), (0, int));
        assert_eq!(status(int, int, int, 0, 0), (0, 0));
        assert_eq!(status(int, int, 0, int, 0), (0, 0));
        assert_eq!(status(child, child, 0, 0, 0), (0, 0));
        assert_eq!(status(child, 0, 0, 0, child), (child, 0));
        assert_eq!(Signals::parse(b"State:\tZ (zombie)\nSigPnd:\t0\n"), None);
    }

    fn this_thread() -> Caller {
        let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        Caller { request: RequestId(1), thread, ends: Ends::AnySignal }
    }

    #[test]
    fn the_living_and_the_dead() {
        let here = this_thread();
        assert_eq!(here.look(), Look::Nothing);
        assert!(!here.is_gone());
        let gone = Caller { thread: u32::MAX, ..here };
        assert_eq!(gone.look(), Look::Ended);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let caller = Caller { thread: child.id(), ..here };
        child.wait().unwrap();
        assert_eq!(caller.look(), Look::Ended);
    }

    const NO_DESCRIPTORS: &str = "UO2CB_TEST_NO_DESCRIPTORS";

    /// Body of the process that the next test starts.
    #[test]
    fn look_without_descriptors_when_asked() {
        if std::env::var_os(NO_DESCRIPTORS).is_none() {
            return;
        }
        let mut held = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            held.push(file);
        }
        assert!(this_thread().status(&mut [0; 4096]).is_none());
        assert_eq!(this_thread().look(), Look::Nothing);
        assert_eq!(Caller { thread: u32::MAX, ..this_thread() }.look(), Look::Ended);
    }

    #[test]
    fn who_cannot_be_looked_at_is_not_dead() {
        let name = "daemon::signals::tests::look_without_descriptors_when_asked";
        let program = std::env::current_exe().unwrap();
        let output = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 64; exec \"$@\"", "sh"])
            .arg(program)
            .args(["--exact", name])
            .env(NO_DESCRIPTORS, "1")
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && out.contains("1 passed"), "{out}");
    }

    #[test]
    fn many_are_looked_at_less_often_but_in_time() {
        assert_eq!(period(1), LOOK);
        assert!(period(50) > LOOK && period(50) < LOOK_MOST);
        assert_eq!(period(100_000), LOOK_MOST);
        // Whatever it takes to look at them and to end their calls.
        assert!(LOOK_MOST + LOOK_AGAIN < Duration::from_millis(150));
    }
}
