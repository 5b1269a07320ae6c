//! Lines of a program's output, with the time at which they came.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When its end was read.
    pub at: Instant,
    /// Without the end of the line.
    pub text: String,
}

/// Collects lines until the output ends.
#[derive(Debug)]
pub struct Lines {
    lines: Arc<Mutex<Vec<Line>>>,
    reader: JoinHandle<()>,
}

impl Lines {
    /// Begins to read.
    pub fn of(output: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let reader = {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                    let text = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                    lines.lock().push(Line { at: Instant::now(), text });
                }
            })
        };
        Self { lines, reader }
    }

    /// All lines so far.
    pub fn so_far(&self) -> Vec<Line> {
        self.lines.lock().clone()
    }

    /// The same as one text.
    pub fn text(&self) -> String {
        self.lines.lock().iter().map(|line| format!("{}\n", line.text)).collect()
    }

    /// Waits until the output has ended, at most `limit`: what has been written last, before the end of the program, is
    /// there then.
    pub fn complete(&self, limit: Duration) {
        let until = Instant::now() + limit;
        while !self.reader.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A line of the kernel's console without its time and what a log mask puts in front, `(comm,pid,cpu):function:line` and
/// `ERROR:`. Nothing if it is no line of the kernel.
pub fn of_kernel(line: &str) -> Option<&str> {
    let (_, text) = line.strip_prefix('[')?.split_once("] ")?;
    let masked = text.strip_prefix('(').and_then(|text| text.split_once("):")).and_then(|(_, rest)| {
        let (_, text) = rest.split_once(' ')?;
        Some(text.strip_prefix("ERROR: ").unwrap_or(text))
    });
    Some(masked.unwrap_or(text))
}

/// A line of quorum on the kernel's console as our log has it, `o2quo_hb_down node 1, 1 total`; nothing if it is another.
pub fn of_quorum(line: &str) -> Option<String> {
    let (_, text) = line.strip_prefix('[')?.split_once("):o2quo_")?;
    let (place, text) = text.split_once(' ')?;
    let (function, _) = place.split_once(':')?;
    text.starts_with("node ").then(|| format!("o2quo_{function} {text}"))
}

/// What our log says of a node that is held, `o2quo: node 2 is held, 1 in all: ...` or `... is not held any more, ...`, as
/// kernels have it; nothing if it is another line.
pub fn of_hold(text: &str) -> Option<String> {
    let (node, rest) = text.strip_prefix("o2quo: node ")?.split_once(" is ")?;
    let (what, rest) = match rest.strip_prefix("held, ") {
        Some(rest) => ("set", rest),
        None => ("clear", rest.strip_prefix("not held any more, ")?),
    };
    let (count, _) = rest.split_once(" in all")?;
    Some(format!("o2quo_{what}_hold node {node}, {count} total"))
}

/// Lines of our daemon's log, freed of what is in front, with those that it has only counted.
pub fn unfold(lines: Vec<Line>) -> Vec<Line> {
    let mut all: Vec<Line> = Vec::new();
    for line in lines {
        let count = line.text.strip_prefix("last line ").and_then(|rest| rest.strip_suffix(" times more"));
        match (count.and_then(|count| count.parse::<usize>().ok()), all.last().map(|last| last.text.clone()))
        {
            (Some(count), Some(text)) => {
                all.extend(std::iter::repeat_n(Line { at: line.at, text }, count));
            }
            _ => all.push(line),
        }
    }
    all
}

/// A line of our daemon's log without its time and level; other lines as they are.
pub fn of_ours(line: &str) -> &str {
    let level = line.split_once("Z ").filter(|(time, _)| !time.contains(' '));
    level.and_then(|(_, rest)| rest.split_once(' ')).map_or(line, |(_, text)| text.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn lines_come_with_their_times_and_the_last_one_without_its_end() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let lines = Lines::of(reader);
        let begin = Instant::now();
        writer.write_all(b"one\r\ntwo\nthree").unwrap();
        drop(writer);
        lines.complete(uo2cb_test_support::poll::LIMIT);
        let found = lines.so_far();
        assert_eq!(found.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["one", "two", "three"]);
        assert!(found.windows(2).all(|pair| pair[0].at <= pair[1].at) && found[0].at >= begin);
        assert_eq!(lines.text(), "one\ntwo\nthree\n");
    }

    #[test]
    fn lines_are_freed_of_what_is_in_front() {
        for (from, to) in [
            ("[   12.5] o2net: Connected to node n1 (num 1)", Some("o2net: Connected to node n1 (num 1)")),
            (
                "[    1.0] (kworker/0:1,17,0):o2quo_make_decision:138 ERROR: fencing this node because",
                Some("fencing this node because"),
            ),
            ("[    1.0] (o2hb-R1,1,0):o2quo_make_decision:152 not fencing", Some("not fencing")),
            ("SeaBIOS", None),
        ] {
            assert_eq!(of_kernel(from), to);
            assert_eq!(of_quorum(from), None);
        }
        let down = "[    1.0] (o2hb-R1,109,0):o2quo_hb_down:232 node 1, 1 total";
        assert_eq!(of_quorum(down).as_deref(), Some("o2quo_hb_down node 1, 1 total"));
        assert_eq!(of_ours("2026-11-25T10:23:33.801Z INFO  o2net: Connected"), "o2net: Connected");
        assert_eq!(of_ours("2026-11-25T10:23:33.801Z ERROR fencing"), "fencing");
        assert_eq!(of_ours("thread panicked at Z x"), "thread panicked at Z x");
    }

    #[test]
    fn holds_are_as_those_of_kernels() {
        for (from, to) in [
            ("o2quo: node 2 is held, 1 in all: it is connected", Some("o2quo_set_hold node 2, 1 total")),
            ("o2quo: node 12 is not held any more, 0 in all", Some("o2quo_clear_hold node 12, 0 total")),
            ("o2quo: not fencing this node, heartbeating: 2", None),
        ] {
            assert_eq!(of_hold(from).as_deref(), to);
        }
    }

    #[test]
    fn counted_lines_are_there_again() {
        let lines = |texts: &[&str]| {
            let at = Instant::now();
            texts.iter().map(|text| Line { at, text: (*text).to_owned() }).collect::<Vec<_>>()
        };
        let found = unfold(lines(&["last line 1 times more", "a", "last line 2 times more", "b"]));
        let found: Vec<_> = found.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(found, ["last line 1 times more", "a", "a", "a", "b"]);
    }
}
