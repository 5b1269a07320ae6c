//! The text that says which faults come when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::queue::Op;

/// Faults of a disk and when they come, from a text: see [`HELP`](Self::HELP).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) fault: Fault,
    /// Direction of the requests that it counts and hits; all without one.
    pub(super) only: Option<Op>,
    pub(super) when: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Delay(Duration),
    Eio,
    Hang,
    Lost,
    /// After so many bytes.
    Torn(usize),
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// Counted from 1, both included.
    Requests {
        first: u64,
        last: u64,
    },
    /// The first request from then on.
    Once(Duration),
    /// Both included.
    Times {
        from: Duration,
        to: Duration,
    },
}

impl Script {
    /// How a script is written, for a user.
    pub const HELP: &str = "\
SPEC is FAULT[,FAULT...]; a FAULT is one of these, perhaps @WHEN:

  delay=TIME   requests take TIME longer
  eio          requests fail with an I/O error
  hang         requests do not end
  lost         writes succeed and change nothing
  torn=BYTES   writes succeed, only their first BYTES reach the disk
  stale        reads return once more what the one before returned

delay, eio and hang can be for one direction: delay=read:TIME,
delay=write:TIME, eio=read, eio=write, hang=read, hang=write.

WHEN counts the requests that the fault can hit, from 1, or is the
time since the disk was opened. Without WHEN, always.

  7            the 7th
  7..9         the 7th to 9th
  7..          from the 7th on
  2s           the first one after 2 seconds
  2s..5s       all from 2 to 5 seconds
  2s..         all after 2 seconds

TIME is a number with us, ms, s or m. A fault without a value of its
own may have WHEN in its place: lost=30 is lost@30.

Example: delay=3s@10,eio=write@20..25,lost=30,torn=9@3,hang@4,stale@5
";

    pub(super) fn has_stale_reads(&self) -> bool {
        self.rules.iter().any(|rule| rule.fault == Fault::Stale)
    }
}

/// A text that is no script: which part, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    part: String,
    why: &'static str,
}

impl ScriptError {
    fn new(part: &str, why: &'static str) -> Self {
        Self { part: part.into(), why }
    }

    /// The part of the text that is wrong.
    #[must_use]
    pub fn part(&self) -> &str {
        &self.part
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}': {}", self.part, self.why)
    }
}

impl std::error::Error for ScriptError {}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let rules = text.split(',').map(rule).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }
}

fn rule(text: &str) -> Result<Rule, ScriptError> {
    let part = text.trim();
    let (fault, when) = match part.split_once('@') {
        Some((fault, when)) => (fault, Some(when)),
        None => (part, None),
    };
    let (name, value) = match fault.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (fault, None),
    };
    let wrong = |why| Err(ScriptError::new(part, why));
    // Of a fault without a value: is there a direction, or WHEN in its place?
    let (only, instead) = match value {
        Some("read") => (Some(Op::Read), None),
        Some("write") => (Some(Op::Write), None),
        value => (None, value),
    };
    let (fault, only, instead) = match (name, value) {
        ("delay", Some(value)) => {
            let (only, time) = match value.split_once(':') {
                Some(("read", time)) => (Some(Op::Read), time),
                Some(("write", time)) => (Some(Op::Write), time),
                Some(_) => return wrong("only read: or write: can stand before the time"),
                None => (None, value),
            };
            (Fault::Delay(duration(time)?), only, None)
        }
        ("delay", None) => return wrong("needs a time: delay=3s"),
        ("torn", Some(bytes)) => match bytes.parse() {
            Ok(bytes) => (Fault::Torn(bytes), Some(Op::Write), None),
            Err(_) => return Err(ScriptError::new(bytes, "not a number of bytes")),
        },
        ("torn", None) => return wrong("needs a number of bytes: torn=100"),
        ("eio", _) => (Fault::Eio, only, instead),
        ("hang", _) => (Fault::Hang, only, instead),
        ("lost", _) if only == Some(Op::Read) => return wrong("only writes can be lost"),
        ("lost", _) => (Fault::Lost, Some(Op::Write), instead),
        ("stale", _) if only == Some(Op::Write) => return wrong("only reads can be stale"),
        ("stale", _) => (Fault::Stale, Some(Op::Read), instead),
        ("", _) => return wrong("a fault is missing"),
        _ => return Err(ScriptError::new(name, "no such fault: delay, eio, hang, lost, torn or stale")),
    };
    let when = match (instead, when) {
        (Some(_), Some(_)) => return wrong("says twice when"),
        (Some(text), None) | (None, Some(text)) => parse_when(text)?,
        (None, None) => When::Always,
    };
    Ok(Rule { fault, only, when })
}

/// A moment: of requests or of time.
enum Moment {
    Request(u64),
    Time(Duration),
}

fn parse_when(text: &str) -> Result<When, ScriptError> {
    let wrong = |why| Err(ScriptError::new(text, why));
    let Some((from, to)) = text.split_once("..") else {
        return Ok(match moment(text)? {
            Moment::Request(first) => When::Requests { first, last: first },
            Moment::Time(time) => When::Once(time),
        });
    };
    let to = if to.is_empty() { None } else { Some(moment(to)?) };
    match (moment(from)?, to) {
        (Moment::Request(first), None) => Ok(When::Requests { first, last: u64::MAX }),
        (Moment::Request(first), Some(Moment::Request(last))) if first <= last => {
            Ok(When::Requests { first, last })
        }
        (Moment::Time(from), None) => Ok(When::Times { from, to: Duration::MAX }),
        (Moment::Time(from), Some(Moment::Time(to))) if from <= to => Ok(When::Times { from, to }),
        (Moment::Request(_), Some(Moment::Request(_))) | (Moment::Time(_), Some(Moment::Time(_))) => {
            wrong("ends before it begins")
        }
        _ => wrong("mixes a number of requests with a time"),
    }
}

fn moment(text: &str) -> Result<Moment, ScriptError> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(0) => Err(ScriptError::new(text, "requests are counted from 1")),
            Ok(number) => Ok(Moment::Request(number)),
            Err(_) => Err(ScriptError::new(text, "too large")),
        };
    }
    duration(text)
        .map(Moment::Time)
        .map_err(|error| ScriptError { why: "neither a number of requests nor a time such as 2s", ..error })
}

fn duration(text: &str) -> Result<Duration, ScriptError> {
    let unit = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let number: Option<u64> = number.parse().ok();
    let time = match (number, unit) {
        (Some(number), "us") => Some(Duration::from_micros(number)),
        (Some(number), "ms") => Some(Duration::from_millis(number)),
        (Some(number), "s") => Some(Duration::from_secs(number)),
        (Some(number), "m") => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    };
    time.ok_or_else(|| ScriptError::new(text, "not a time: a number with us, ms, s or m"))
}
