//! The log: the only place that knows slog.
//!
//! A line is handed to a thread and written there, so that a slow disk or terminal never holds the monitor.
//! When lines come faster than they can be written for long, some are dropped, and a line says how many. Equal lines
//! in a row are [counted].

mod counted;

use std::fmt;
use std::fs::File;
use std::hash::RandomState;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::{Map, Value};
use slog::{Discard, Drain, KV, Level, Logger, OwnedKVList, Record, debug, info, o, warn};
use uo2cb_core::{Note, printable};

use self::counted::Counted;
use super::clock::{unix_now, utc};
use super::refusals::{Refusals, Refused};
use super::threads::{self, Standing};
use super::{fault_point, fence};

/// Lines that may wait for the thread.
const QUEUE: usize = 65_536;
/// How long a fence that has done all else waits for its line, unless its deadline comes before.
const LAST_LINE: Duration = Duration::from_millis(200);

/// What a line of the log looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// `2026-11-22T07:55:31.123Z WARN  message`
    #[default]
    Text,
    /// One JSON object a line: `time`, `level`, `message`; of a refused call also `call`, `path`, `value`, `errno`,
    /// `rule`, `detail` (who has what was asked for, what is missing), `pid` and `uid`. A line that only says how many
    /// times the one before it came again has that number as `repeated`.
    Json,
}

/// Where the log goes.
#[derive(Debug, Default)]
pub enum LogTarget {
    /// Nowhere.
    #[default]
    Discard,
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// An open file, at whose end lines are added.
    File(File),
}

/// The log of one node.
#[derive(Clone)]
pub(crate) struct Notes {
    logger: Logger,
    /// None: nothing is written anywhere.
    queue: Option<Arc<Queue>>,
    place: Place,
    refusals: Arc<Refusals>,
}

/// Where the log is.
#[derive(Clone)]
enum Place {
    Nowhere,
    Stream(&'static str),
    File(Arc<File>),
}

/// The way to the thread that writes.
struct Queue {
    jobs: Sender<Job>,
    format: LogFormat,
    /// Lines that did not fit.
    lost: AtomicU64,
    hasher: RandomState,
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notes")
    }
}

enum Job {
    Line(Line),
    /// The last line came so many times more.
    Count(Level, u64),
    Flush(Sender<()>),
}

/// A line to be written.
struct Line {
    /// Equal for equal lines, whatever their time.
    key: u64,
    level: Level,
    text: String,
}

impl Notes {
    /// Opens the log; fails only when the system has no more threads.
    pub(crate) fn open(target: LogTarget, format: LogFormat) -> io::Result<Self> {
        let refusals = Arc::default();
        let (out, place): (Box<dyn Write + Send>, _) = match target {
            // No lines are made, and no thread is woken for each of them.
            LogTarget::Discard => {
                let (logger, place) = (Logger::root(Discard, o!()), Place::Nowhere);
                return Ok(Self { logger, queue: None, place, refusals });
            }
            LogTarget::Stderr => (Box::new(io::stderr()), Place::Stream("standard error")),
            LogTarget::Stdout => (Box::new(io::stdout()), Place::Stream("standard output")),
            LogTarget::File(file) => {
                let file = Arc::new(file);
                (Box::new(Arc::clone(&file)), Place::File(file))
            }
        };
        let (jobs, coming) = bounded(QUEUE);
        let queue = Arc::new(Queue { jobs, format, lost: AtomicU64::new(0), hasher: RandomState::new() });
        let writing = Arc::downgrade(&queue);
        threads::spawn("log", Standing::Ordinary, move || write_lines(&coming, out, format, &writing))?;
        fence::register(&queue);
        let logger = Logger::root(Lines(Arc::clone(&queue)), o!());
        Ok(Self { logger, queue: Some(queue), place, refusals })
    }

    /// A note of the stack.
    pub(crate) fn note(&self, note: &Note) {
        self.refusals.note(note);
        match note.level() {
            uo2cb_core::Level::Debug => debug!(self.logger, "{}", note; Fields(note)),
            uo2cb_core::Level::Info => info!(self.logger, "{}", note; Fields(note)),
            uo2cb_core::Level::Warning => warn!(self.logger, "{}", note; Fields(note)),
        }
    }

    /// Where the log is, for people: the path that its file has now.
    pub(crate) fn place(&self) -> Option<String> {
        match &self.place {
            Place::Nowhere => None,
            Place::Stream(name) => Some((*name).to_owned()),
            // Asks no file system, which may hang.
            Place::File(file) => {
                let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
                Some(path.map_or_else(|_| "a file".into(), |path| path.to_string_lossy().into_owned()))
            }
        }
    }

    /// The last refusals, oldest first.
    pub(crate) fn refusals(&self) -> Vec<Refused> {
        self.refusals.all()
    }

    /// A line of the daemon itself.
    pub(crate) fn info(&self, line: &str) {
        info!(self.logger, "{}", line);
    }

    /// A line of the daemon itself that somebody should look at.
    pub(crate) fn warn(&self, line: &str) {
        warn!(self.logger, "{}", line);
    }

    /// Waits until all lines so far are written, but not longer than this.
    pub(crate) fn flush(&self, within: Duration) {
        if let Some(queue) = &self.queue {
            queue.flush(within);
        }
    }
}

impl Queue {
    /// Never waits.
    fn line(&self, level: Level, message: &str, fields: Map<String, Value>) {
        let key = counted::key(&self.hasher, level, message);
        let text = line(self.format, unix_now(), level, message, fields);
        if self.jobs.try_send(Job::Line(Line { key, level, text })).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self, within: Duration) {
        let (done, written) = bounded(1);
        if self.jobs.try_send(Job::Flush(done)).is_ok() {
            let _ = written.recv_timeout(within);
        }
    }
}

impl fence::Outward for Queue {
    fn tell(&self, why: &str) {
        self.line(Level::Warning, why, Map::new());
    }

    fn settle(&self) {
        self.flush(LAST_LINE);
    }
}

/// slog's way into the queue.
struct Lines(Arc<Queue>);

impl Drain for Lines {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), slog::Never> {
        let mut fields = Map::new();
        if self.0.format == LogFormat::Json {
            // Collecting into a map cannot fail.
            let _ = record.kv().serialize(record, &mut Collect(&mut fields));
        }
        self.0.line(record.level(), &record.msg().to_string(), fields);
        Ok(())
    }
}

fn line(format: LogFormat, at: Duration, level: Level, message: &str, fields: Map<String, Value>) -> String {
    let level = match level {
        Level::Critical | Level::Error => "ERROR",
        Level::Warning => "WARN",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DEBUG",
    };
    match format {
        LogFormat::Text => format!("{} {level:<5} {message}\n", utc(at)),
        LogFormat::Json => {
            let mut object = Map::new();
            object.insert("time".into(), utc(at).into());
            object.insert("level".into(), level.into());
            object.insert("message".into(), message.into());
            object.extend(fields);
            format!("{}\n", Value::Object(object))
        }
    }
}

/// The parts of a note that somebody may want to search for.
struct Fields<'a>(&'a Note);

impl KV for Fields<'_> {
    fn serialize(&self, _: &Record<'_>, out: &mut dyn slog::Serializer) -> slog::Result {
        let caller = match self.0 {
            Note::Refused { call, path, value, refusal, detail, caller, .. } => {
                out.emit_str("call", call)?;
                out.emit_str("path", &printable(path))?;
                if let Some(value) = value {
                    out.emit_str("value", &printable(value))?;
                }
                out.emit_str("errno", &refusal.errno().to_string())?;
                out.emit_str("rule", refusal.rule())?;
                if let Some(detail) = detail {
                    out.emit_str("detail", detail)?;
                }
                caller
            }
            Note::Ignored { path, value, rule, caller } => {
                out.emit_str("call", "store")?;
                out.emit_str("path", &printable(path))?;
                out.emit_str("value", &printable(value))?;
                out.emit_str("rule", rule)?;
                caller
            }
            _ => return Ok(()),
        };
        out.emit_u32("pid", caller.pid)?;
        out.emit_u32("uid", caller.uid)
    }
}

struct Collect<'a>(&'a mut Map<String, Value>);

impl slog::Serializer for Collect<'_> {
    fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.0.insert(key.into(), value.to_string().into());
        Ok(())
    }

    fn emit_u32(&mut self, key: slog::Key, value: u32) -> slog::Result {
        self.0.insert(key.into(), value.into());
        Ok(())
    }
}

fn write_lines(jobs: &Receiver<Job>, mut out: Box<dyn Write + Send>, format: LogFormat, queue: &Weak<Queue>) {
    for job in Counted::new(jobs) {
        // A log that cannot be written (full disk, closed terminal) must not end the stack.
        match job {
            Job::Line(line) => {
                fault_point::reach("log");
                let dropped = queue.upgrade().map_or(0, |queue| queue.lost.swap(0, Ordering::Relaxed));
                if dropped > 0 {
                    let message = format!("{dropped} lines were lost here: they came faster than the log");
                    let line = self::line(format, unix_now(), Level::Warning, &message, Map::new());
                    let _ = out.write_all(line.as_bytes());
                }
                let _ = out.write_all(line.text.as_bytes());
            }
            Job::Count(level, more) => {
                let fields = Map::from_iter([("repeated".into(), more.into())]);
                let message = format!("last line {more} times more");
                let line = line(format, unix_now(), level, &message, fields);
                let _ = out.write_all(line.as_bytes());
            }
            Job::Flush(done) => {
                let _ = out.flush();
                let _ = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};
    use uo2cb_core::{Caller, Refusal, View};

    fn refused() -> Note {
        Note::Refused {
            view: View::Config,
            call: "store",
            path: b"cluster/c/node/n/num".to_vec(),
            value: Some(b"x\n".to_vec()),
            refusal: Refusal::NumberTaken,
            detail: Some("n1".into()),
            caller: Caller { pid: 7, uid: 1000, gid: 100 },
        }
    }

    fn written(format: LogFormat) -> String {
        let mut file = tempfile::tempfile().unwrap();
        let notes = Notes::open(LogTarget::File(file.try_clone().unwrap()), format).unwrap();
        notes.note(&refused());
        notes.info("started");
        notes.flush(Duration::from_secs(10));
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn text_lines() {
        let text = written(LogFormat::Text);
        let lines: Vec<_> = text.lines().collect();
        let [first, second] = lines[..] else { panic!("{text}") };
        let (time, rest) = first.split_at(24);
        assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
        assert_eq!(
            rest,
            r#" WARN  store cluster/c/node/n/num "x\n": a node of this cluster has that number: n1 (EEXIST), for pid 7 uid 1000"#
        );
        assert_eq!(&second[24..], " INFO  started");
    }

    #[test]
    fn equal_lines_are_counted() {
        for (format, words) in
            [(LogFormat::Text, " WARN  last line "), (LogFormat::Json, "\"message\":\"last line ")]
        {
            let mut file = tempfile::tempfile().unwrap();
            let notes = Notes::open(LogTarget::File(file.try_clone().unwrap()), format).unwrap();
            for _ in 0..10_000 {
                notes.note(&refused());
            }
            notes.info("started");
            notes.flush(Duration::from_secs(10));
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            assert!(text.lines().last().unwrap().contains("started"));
            // More than one count only where this thread has stood still for a second.
            let counts = text.lines().filter_map(|line| line.split_once(words)?.1.split(' ').next());
            assert_eq!(counts.map(|count| count.parse::<u64>().unwrap()).sum::<u64>(), 9999, "{text}");
            assert_eq!(
                text.matches("\"repeated\":").count(),
                if words.contains('"') { text.lines().count() - 2 } else { 0 }
            );
        }
    }

    #[test]
    fn json_lines_name_item_value_and_errno() {
        let text = written(LogFormat::Json);
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        for (key, value) in [
            ("level", Value::from("WARN")),
            ("call", "store".into()),
            ("path", "cluster/c/node/n/num".into()),
            ("value", "x\\n".into()),
            ("errno", "EEXIST".into()),
            ("rule", "a node of this cluster has that number".into()),
            ("detail", "n1".into()),
            ("pid", 7.into()),
            ("uid", 1000.into()),
        ] {
            assert_eq!(first[key], value, "{key}");
        }
    }
}
