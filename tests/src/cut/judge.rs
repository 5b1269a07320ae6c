//! Compares what was seen with what must be.

use std::collections::BTreeSet;

use super::run::{Must, Run, Since, Step};
use super::{End, Record, Syn};

/// Nothing may be earlier than in kernels by more than this, in seconds: times of two clocks, and of a disk that is read
/// every now and then.
const EARLY: f64 = 0.5;
/// By how much anything may be late on a loaded machine.
const LATE: f64 = 4.0;
/// The same for hung disks on a quiet machine.
const LATE_STRICT: f64 = 0.5;
/// How many of something that is repeated may be missing or too many: a beat or a timer more or less.
const MORE: usize = 1;

/// How the line of a decision begins.
const STAYS: &str = "not fencing this node";
const GOES: &str = "fencing this node because";

/// What became of one thing that must be seen.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// What it is, in words.
    pub what: String,
    /// What kernels did.
    pub kernel: String,
    /// What was seen.
    pub seen: String,
    /// Is it what it must be?
    pub good: bool,
}

/// All that must be seen in a run, and besides who ends in it. `strict`: as on a quiet machine.
pub fn judge(run: &Run, record: &Record, strict: bool) -> Vec<Judgement> {
    let late = if strict && run.hangs() { LATE_STRICT } else { LATE };
    let mut judgements: Vec<_> = run.must.iter().map(|must| one(run, must, record, late)).collect();
    judgements.push(ends(run, record));
    judgements
}

/// Those end that must, and in that way.
fn ends(run: &Run, record: &Record) -> Judgement {
    let fenced = run.must.iter().filter_map(|must| match must {
        Must::Fence { node, .. } => Some((*node, End::Fenced)),
        _ => None,
    });
    let killed = run.steps.iter().filter_map(|(_, step)| match step {
        Step::Kill(node) => Some((*node, End::Killed)),
        _ => None,
    });
    let mut expected: Vec<_> = fenced.chain(killed).collect();
    expected.sort_by_key(|(node, _)| *node);
    let mut seen: Vec<_> = record.ends.iter().map(|(_, node, end)| (*node, end.clone())).collect();
    seen.sort_by_key(|(node, _)| *node);
    Judgement {
        what: "who ends".into(),
        kernel: format!("{expected:?}"),
        seen: format!("{seen:?}"),
        good: seen == expected,
    }
}

fn one(run: &Run, must: &Must, record: &Record, late: f64) -> Judgement {
    match *must {
        Must::Line { node, text, since, seen, times } => {
            let found = of(&record.lines, node, text);
            let judged = timed(record, &found, &format!("{node}: {text}"), (since, seen, times, late));
            if text.starts_with(STAYS) { held_up(judged, record, node, STAYS, seen, late) } else { judged }
        }
        Must::Fence { node, why, since, seen } => {
            let found = of(&record.lines, node, why);
            let judged = timed(record, &found, &format!("{node} fences: {why}"), (since, seen, (1, 1), late));
            if why.starts_with(GOES) { held_up(judged, record, node, GOES, seen, late) } else { judged }
        }
        Must::Down { node, of: peer, since, seen } => {
            let found = of(&record.lines, node, &format!("o2quo_hb_down node {peer}, "));
            let lost = of(&record.lines, node, &format!("No longer connected to node n{peer} (num {peer})"));
            let mut down =
                timed(record, &found, &format!("{node}: {peer} is down"), (since, seen, (1, 1), late));
            if lost.len() != 1 {
                down.seen = format!("{}, {} times no longer connected", down.seen, lost.len());
                down.good = false;
            }
            down
        }
        Must::Told { node, text, since, seen, times } => {
            let what = format!("{node} holds, and is told: {text}");
            if !record.holders.contains(&node) {
                let (kernel, seen) = ("-".into(), "not held".into());
                return Judgement { what, kernel, seen, good: true };
            }
            timed(record, &of(&record.told, node, text), &what, (since, seen, times, late))
        }
        Must::Order { node, texts } => {
            let mut rest = texts.iter().peekable();
            for (_, of, line) in after_zero(record) {
                if *of == node && rest.peek().is_some_and(|text| contains(line, text)) {
                    rest.next();
                }
            }
            let missing = rest.next();
            Judgement {
                what: format!("{node} in this order: {}", texts.join("; ")),
                kernel: "all".into(),
                seen: missing.map_or("all".into(), |text| format!("missing or too early: {text}")),
                good: missing.is_none(),
            }
        }
        Must::Messages { round, times } => messages(record, round, times),
        Must::Never { nodes, text } => {
            // A node that does not fence says that it does not fence.
            let found = after_zero(record)
                .filter(|(_, node, line)| nodes.contains(node) && line.contains(text))
                .map(|(at, node, line)| format!("{at:.2} {node}: {line}"));
            let found: Vec<_> = found.collect();
            Judgement {
                what: format!("{nodes:?} never: {text}"),
                kernel: "never".into(),
                good: found.is_empty(),
                seen: found.first().cloned().unwrap_or_else(|| "never".into()),
            }
        }
        Must::Lists { node, live, connected } => {
            let found = record.lists.iter().find(|(number, ..)| *number == node);
            Judgement {
                what: format!("{node} at the end: alive, connected"),
                kernel: format!("{live:?} {connected:?}"),
                seen: found.map_or("gone".into(), |(_, live, connected)| format!("{live:?} {connected:?}")),
                good: found
                    .is_some_and(|(_, is_live, is_connected)| is_live == live && is_connected == connected),
            }
        }
        Must::NoSyn => {
            // But to a daemon that is gone: its connections have ended, where a machine is just silent.
            let gone = |syn: &&Syn| {
                record.ends.iter().any(|(at, node, _)| {
                    *node == syn.to && *at < syn.at + EARLY && record.ours.contains(node)
                })
            };
            let found = record.syns.iter().filter(|syn| syn.at > 0.0 && !gone(syn)).count();
            Judgement {
                what: "new TCP connections are tried".into(),
                kernel: "none".into(),
                seen: if found == 0 { "none".into() } else { found.to_string() },
                good: found == 0,
            }
        }
        Must::Attempts { to, times } => {
            let opened = run.steps.iter().find(|(_, step)| matches!(step, Step::Open(node) if *node == to));
            let until = opened.map_or(run.until, |(at, _)| *at);
            let found = record.syns.iter().filter(|syn| syn.to == to && !syn.delivered && syn.at < until);
            let found = found.map(|syn| syn.port).collect::<BTreeSet<_>>().len();
            Judgement {
                what: format!("attempts to connect to {to} while it is closed"),
                kernel: format!("{} to {}", times.0, times.1),
                seen: found.to_string(),
                good: count_is(found, times),
            }
        }
    }
}

/// All messages are these rounds.
fn messages(record: &Record, round: &[(u8, u8, &str)], times: (usize, usize)) -> Judgement {
    let seen = || record.messages.iter().filter(|(at, ..)| *at >= 0.0);
    let wrong = seen().zip(round.iter().cycle()).find(|((_, from, to, bytes), expected)| {
        (*from, *to, bytes.as_str()) != (expected.0, expected.1, expected.2.replace(' ', "").as_str())
    });
    let rounds = seen().count() as f64 / round.len() as f64;
    Judgement {
        what: "messages on the wire, byte by byte".into(),
        kernel: format!("{} to {} rounds of {}", times.0, times.1, round.len()),
        seen: wrong.map_or_else(|| format!("{rounds} rounds"), |(found, _)| format!("{found:?}")),
        good: wrong.is_none() && (times.0..=times.1).contains(&(rounds.ceil() as usize)),
    }
}

/// A daemon that has fenced itself is gone, and its connections end at once, where a machine is just silent. Who is still
/// connected to it holds it then, and decides when it is down: that late, and about those who are left.
fn held_up(
    judged: Judgement,
    record: &Record,
    node: u8,
    decision: &str,
    seen: (f64, f64),
    late: f64,
) -> Judgement {
    if judged.good {
        return judged;
    }
    let (decided, limit) = (of(&record.lines, node, decision), seen.1 + late);
    let ended = record.ends.iter().filter(|(at, ended, _)| *at < limit && record.ours.contains(ended));
    let mut until = ended.filter_map(|(_, ended, _)| {
        let at = |what: &str| of(&record.lines, node, &format!("{what} node {ended}, ")).first().copied();
        (at("o2quo_set_hold")? < limit).then_some((*ended, at("o2quo_hb_down")?))
    });
    match (until.next(), decided.as_slice()) {
        (Some((by, down)), [at]) if (down - EARLY..=down + late).contains(at) => {
            Judgement { seen: format!("{at:.2}, held up until {by} was down"), good: true, ..judged }
        }
        _ => judged,
    }
}

fn after_zero(record: &Record) -> impl Iterator<Item = &(f64, u8, String)> {
    record.lines.iter().filter(|(at, ..)| *at >= 0.0)
}

/// When lines of a node with this text came.
fn of(lines: &[(f64, u8, String)], node: u8, text: &str) -> Vec<f64> {
    let found = lines.iter().filter(|(at, of, line)| *at >= 0.0 && *of == node && contains(line, text));
    found.map(|(at, ..)| *at).collect()
}

/// The first one at the right time, and as many as there must be.
fn timed(
    record: &Record,
    found: &[f64],
    what: &str,
    (since, seen, times, late): (Since, (f64, f64), (usize, usize), f64),
) -> Judgement {
    let from = |at: f64| match since {
        Since::Begin => Some(0.0),
        Since::Block(of) => {
            let blocks = record.blocks.iter().filter(|(written, node)| *node == of && *written < at);
            blocks.map(|(written, _)| *written).next_back()
        }
    };
    let since = match since {
        Since::Begin => String::new(),
        Since::Block(of) => format!(" after the last block of {of}"),
    };
    let count = if times == (1, 1) { String::new() } else { format!(", {} to {} times", times.0, times.1) };
    let kernel = format!("{:.1} to {:.1}{since}{count}", seen.0, seen.1);
    let first = found.first().map(|at| (*at, from(*at)));
    let (text, in_time) = match first {
        None => ("not seen".into(), times.0 == 0),
        Some((at, None)) => (format!("at {at:.2}, no block before"), false),
        Some((at, Some(from))) => {
            let time = at - from;
            let counted = if times == (1, 1) { String::new() } else { format!(", {} times", found.len()) };
            (format!("{time:.2}{counted}"), (seen.0 - EARLY..=seen.1 + late).contains(&time))
        }
    };
    let exact = times.1 == 1;
    let right = if exact { (times.0..=times.1).contains(&found.len()) } else { count_is(found.len(), times) };
    Judgement { what: what.into(), kernel, seen: text, good: in_time && right }
}

/// `fencing this node` is not found in `not fencing this node`, nor a reason where it is told once more: how our daemon
/// ends, and why.
fn contains(line: &str, text: &str) -> bool {
    line.match_indices(text).any(|(at, _)| {
        let before = &line[..at];
        !before.ends_with("not ") && !before.contains("fenced: ") && !before.contains("very sorry ")
    })
}

fn count_is(found: usize, times: (usize, usize)) -> bool {
    (times.0.saturating_sub(MORE)..=times.1 + MORE).contains(&found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let line = |at: f64, text: &str| (at, 1, text.to_owned());
        Record {
            lines: vec![line(-1.0, "up"), line(4.0, "not fencing this node"), line(9.0, "up")],
            ends: vec![(5.0, 2, End::Fenced)],
            blocks: vec![(-0.5, 2), (1.5, 2), (8.0, 2), (1.0, 1)],
            lists: vec![(1, vec![1], vec![])],
            syns: vec![
                Syn { at: -3.0, port: 1, to: 1, delivered: true },
                Syn { at: 2.0, port: 2, to: 1, delivered: false },
                Syn { at: 3.0, port: 2, to: 1, delivered: false },
            ],
            messages: vec![(1.0, 1, 2, "fa55".into()), (2.0, 2, 1, "fa56".into())],
            holders: vec![1],
            ours: vec![2],
            told: vec![(4.0, 1, "n2 down".into())],
        }
    }

    fn good(must: &[Must]) -> Vec<bool> {
        let must: &'static [Must] = must.to_vec().leak();
        let run =
            Run { name: "", what: "", nodes: 2, user: false, before: &[], steps: &[], until: 10.0, must };
        judge(&run, &record(), false).into_iter().map(|judgement| judgement.good).collect()
    }

    #[test]
    fn what_is_late_early_missing_or_too_much_is_wrong() {
        let line = |text: &'static str, since: Since, seen: (f64, f64), times: (usize, usize)| Must::Line {
            node: 1,
            text,
            since,
            seen,
            times,
        };
        let judged = good(&[
            line("up", Since::Begin, (9.2, 9.3), (1, 1)),
            line("up", Since::Block(2), (1.0, 1.0), (1, 1)),
            line("up", Since::Begin, (9.6, 9.7), (1, 1)),
            line("up", Since::Begin, (4.0, 4.9), (1, 1)),
            line("up", Since::Begin, (9.0, 9.0), (3, 4)),
            line("down", Since::Begin, (0.0, 9.0), (1, 1)),
            line("fencing this node", Since::Begin, (4.0, 4.0), (1, 1)),
            line("not fencing", Since::Begin, (4.0, 4.0), (1, 1)),
            Must::Fence { node: 2, why: "x", since: Since::Begin, seen: (0.0, 9.0) },
            Must::Lists { node: 1, live: &[1], connected: &[2] },
            Must::Lists { node: 2, live: &[1], connected: &[] },
            Must::NoSyn,
            Must::Attempts { to: 1, times: (2, 2) },
            Must::Attempts { to: 1, times: (3, 3) },
        ]);
        let expected = [
            true, true, false, false, false, false, false, true, false, false, false, false, true, false,
            true,
        ];
        assert_eq!(judged, expected);
    }

    #[test]
    fn what_is_told_sent_or_in_another_order_is_judged() {
        let told = |node: u8, seen: (f64, f64), times: (usize, usize)| Must::Told {
            node,
            text: "n2 down",
            since: Since::Begin,
            seen,
            times,
        };
        let judged = good(&[
            told(1, (4.0, 4.0), (1, 1)),
            told(1, (5.0, 5.0), (1, 1)),
            told(1, (4.0, 4.0), (3, 3)),
            told(2, (5.0, 5.0), (1, 1)),
            Must::Order { node: 1, texts: &["not fencing", "up"] },
            Must::Order { node: 1, texts: &["up", "not fencing"] },
            Must::Messages { round: &[(1, 2, "fa 55"), (2, 1, "fa56")], times: (1, 1) },
            Must::Messages { round: &[(1, 2, "fa55"), (2, 1, "fa56")], times: (2, 2) },
            Must::Messages { round: &[(1, 2, "fa55")], times: (2, 2) },
            Must::Down { node: 1, of: 2, since: Since::Begin, seen: (0.0, 9.0) },
        ]);
        assert_eq!(judged[..10], [true, false, false, true, true, false, true, false, false, false]);
    }

    #[test]
    fn a_decision_may_wait_for_a_daemon_that_is_gone() {
        let line = |at: f64, text: &str| (at, 1, text.to_owned());
        let record = |ours: &[u8], decided: f64| Record {
            lines: vec![
                line(5.5, "o2quo_set_hold node 2, 1 total"),
                line(19.0, "o2quo_hb_down node 2, 1 total"),
                line(decided, "fencing this node because of 1"),
            ],
            ends: vec![(5.0, 2, End::Fenced), (decided, 1, End::Fenced)],
            ours: ours.to_vec(),
            ..Record::default()
        };
        let why = "fencing this node because of 2";
        let must: &'static [Must] =
            vec![Must::Fence { node: 1, why, since: Since::Begin, seen: (4.0, 5.0) }].leak();
        let run =
            Run { name: "", what: "", nodes: 2, user: false, before: &[], steps: &[], until: 40.0, must };
        for (ours, decided, good) in [(&[2][..], 19.0, true), (&[2], 30.0, false), (&[], 19.0, false)] {
            assert_eq!(judge(&run, &record(ours, decided), false)[0].good, good, "{decided}");
        }
    }

    #[test]
    fn who_ends_unasked_is_wrong() {
        assert_eq!(good(&[Must::Never { nodes: &[1], text: "fencing it" }]), [true, false]);
    }
}
