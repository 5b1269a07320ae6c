//! Operations that take a while: each in a process of its own, and waiting for what one of them brings about.

use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use uo2cb_core::heartbeat::disk::PERIOD;

use super::args::Args;
use super::paths::done;
use super::{Answer, Failure, Probe};

/// For what an operation brings about, and for the end of one: longer than any start of a region.
const LATE: Duration = Duration::from_secs(60);
/// Between two looks at something that no event announces.
const LOOK: Duration = Duration::from_millis(20);
/// By how much a beat may come too early.
const EARLY: Duration = Duration::from_millis(100);

/// A process that executes one operation.
pub(super) struct Child {
    pid: Pid,
    /// Comes once, at the end.
    answer: Receiver<String>,
    /// What came.
    answered: Option<String>,
}

impl Probe {
    /// Executes `verb` if it is one of this module's.
    pub(super) fn background_verb(&mut self, verb: &str, args: &mut Args<'_>) -> Option<Answer> {
        Some(match verb {
            "end" => self.end(args),
            "waits" => self.waits(args),
            "signal" => self.signal(args),
            "sleep" => sleep(args),
            _ => return None,
        })
    }

    /// `bg NAME OPERATION`: the operation in a process of its own, under a name of the list's choice. Its descriptors
    /// are its own.
    pub(super) fn start(&mut self, line: &str) -> Answer {
        let (name, operation) = line.split_once(' ').ok_or(Failure::Unknown)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("--one").args(self.places.words()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw).ok_or(Failure::Unknown)?;
        let (Some(mut input), Some(mut output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Failure::Unknown);
        };
        writeln!(input, "{operation}")?;
        drop(input);
        let (sender, answer) = channel();
        std::thread::spawn(move || {
            let mut words = String::new();
            let read = output.read_to_string(&mut words);
            let status = process.wait();
            let words = match (read, status) {
                (Ok(_), Ok(status)) if status.success() => words.trim_end().to_owned(),
                (_, Ok(status)) => status.signal().map_or_else(|| status.to_string(), killed),
                (_, Err(error)) => error.to_string(),
            };
            // Nobody listens any more after the end of the list.
            let _ = sender.send(words);
        });
        self.background.insert(name.to_owned(), Child { pid, answer, answered: None });
        Ok(String::new())
    }

    /// `end NAME [SECONDS]`: what the operation answered, `killed SIGNAL`, or `blocked` when it does not end in time.
    fn end(&mut self, args: &mut Args<'_>) -> Answer {
        let name = args.word()?;
        let limit = match args.optional() {
            Some(word) => Duration::from_secs(word.parse().map_err(|_| Failure::Unknown)?),
            None => LATE,
        };
        let child = self.background.get_mut(name).ok_or(Failure::Unknown)?;
        if child.answered.is_none() {
            child.answered = child.answer.recv_timeout(limit).ok();
        }
        Err(Failure::Words(child.answered.clone().unwrap_or_else(|| "blocked".to_owned())))
    }

    /// `waits NAME`: returns once that process is inside of a system call that makes it sleep; by then its operation
    /// has reached the tree, and waits there.
    fn waits(&mut self, args: &mut Args<'_>) -> Answer {
        let child = self.background.get(args.word()?).ok_or(Failure::Unknown)?;
        let path = format!("/proc/{}/syscall", child.pid.as_raw_nonzero());
        let until = Instant::now() + LATE;
        while Instant::now() < until {
            let words = std::fs::read_to_string(&path)?;
            let call = words.split(' ').next().and_then(|word| word.parse().ok());
            if call.is_some_and(|call: i64| {
                [libc::SYS_write, libc::SYS_unlinkat, libc::SYS_mkdirat].contains(&call)
            }) {
                return Ok(String::new());
            }
            std::thread::sleep(LOOK);
        }
        Err(Failure::Words(format!("never: {}", std::fs::read_to_string(&path)?)))
    }

    fn signal(&mut self, args: &mut Args<'_>) -> Answer {
        let child = self.background.get(args.word()?).ok_or(Failure::Unknown)?;
        let signal = args.word()?;
        let signal = SIGNALS.iter().find(|(name, _)| *name == signal).ok_or(Failure::Unknown)?.1;
        done(kill_process(child.pid, signal))
    }

    /// `until OPERATION = ANSWER`: repeats the operation until it answers that.
    pub(super) fn until(&mut self, line: &str) -> Answer {
        let (operation, wanted) = line.split_once(" = ").ok_or(Failure::Unknown)?;
        let until = Instant::now() + LATE;
        loop {
            let answer = self.answer(operation);
            if answer == wanted {
                return Ok(String::new());
            }
            if Instant::now() > until {
                return Err(Failure::Words(format!("late: {answer}")));
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Probe {
    /// `took OPERATION`: its answer, and behind that how many seconds it took. For a person to read.
    pub(super) fn took(&mut self, operation: &str) -> Answer {
        let began = Instant::now();
        let answer = self.answer(operation);
        Err(Failure::Words(format!("{answer} {:.3} s", began.elapsed().as_secs_f64())))
    }

    /// `periods OPERATION`: its answer, and behind that how many whole periods between beats it took. A tenth of a
    /// second too early is still the next period, and up to one too late is still this one: a busy machine is late.
    pub(super) fn periods(&mut self, operation: &str) -> Answer {
        let began = Instant::now();
        let answer = self.answer(operation);
        let periods = (began.elapsed() + EARLY).as_millis() / PERIOD.as_millis();
        Err(Failure::Words(format!("{answer} {periods} periods")))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        for child in self.background.values() {
            // Whoever has ended is not there any more, and nobody waits for the others.
            if child.answered.is_none() && child.answer.try_recv().is_err() {
                let _ = kill_process(child.pid, Signal::KILL);
            }
        }
    }
}

const SIGNALS: &[(&str, Signal)] = &[
    ("INT", Signal::INT),
    ("TERM", Signal::TERM),
    ("KILL", Signal::KILL),
    ("STOP", Signal::STOP),
    ("CONT", Signal::CONT),
    ("USR1", Signal::USR1),
    ("WINCH", Signal::WINCH),
];

fn killed(number: i32) -> String {
    let name = SIGNALS.iter().find(|(_, signal)| signal.as_raw() == number);
    name.map_or_else(|| format!("killed {number}"), |(name, _)| format!("killed {name}"))
}

/// Seconds, also parts of one. For what must not happen within them, or must begin so much later: everything else is
/// waited for with `until`.
fn sleep(args: &mut Args<'_>) -> Answer {
    let seconds: f64 = args.number()?;
    std::thread::sleep(Duration::try_from_secs_f64(seconds).map_err(|_| Failure::Unknown)?);
    Ok(String::new())
}

/// Who executes one operation ends with the list's process, even when that is killed.
pub(super) fn end_with_list() -> std::io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// INT and its like end this process, also where whoever started the tests ignores them (as a shell does for what it
/// starts in the background).
pub(super) fn mind_signals() -> std::io::Result<()> {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        // SAFETY: takes no pointers; the default handler is always there.
        if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// USR1 ends a system call of this process that waits, and not the process.
pub(super) fn catch_signal() -> std::io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler: extern "C" fn(libc::c_int) = nothing;
    // SAFETY: all zero is a valid sigaction: no flags (above all no SA_RESTART), an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: `action` is initialised and outlives the call; the handler does nothing, which is safe in a signal.
    match unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
