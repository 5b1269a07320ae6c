//! What a side logs about its connection to the other one.

use std::time::Instant;

use uo2cb_tests::lines::Line;

use crate::events::{POLL_INTERVAL, Side, WAIT_LIMIT};
use crate::figures::{Figures, LATE};
use crate::network::place;

/// The connection is made within this time after both see each other: one that came too early is closed, and tried again
/// after the reconnect delay. In seconds.
const CONNECT: f64 = 1.1;
/// What the higher node may say until then, and the lower one.
const TRIES: &str = "shutdown|none*";
const WAITS: &str = "none*";

/// How far the logs of both sides have been read.
#[derive(Default)]
pub(crate) struct Talk {
    ours: usize,
    kernel: usize,
}

impl Talk {
    /// The kernel's log has begun anew.
    pub(crate) fn rebooted(&mut self) {
        self.kernel = 0;
    }

    /// Waits until what `side` has logged about `other` since the last time fits the pattern: words, each with `*`, `+`
    /// or `?` behind it as in regular expressions, and with alternatives between `|`. Returns these lines.
    pub(crate) fn said(
        &mut self,
        figures: &mut Figures,
        what: &str,
        side: &dyn Side,
        other: u8,
        pattern: &str,
    ) -> Vec<Line> {
        let read = if side.name() == "ours" { &mut self.ours } else { &mut self.kernel };
        let until = Instant::now() + WAIT_LIMIT;
        loop {
            let all = side.lines();
            let new = all.get(*read..).unwrap_or_default();
            let (lines, words): (Vec<Line>, Vec<String>) =
                new.iter().filter_map(|line| Some((line.clone(), word(&line.text, other)?))).unzip();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let items: Vec<&str> = pattern.split_whitespace().collect();
            let fits = fits(&words, &items);
            if fits || Instant::now() > until {
                let words = words.join(" ");
                *read = all.len();
                let said = format!("{what}: {} said: {words:?}", side.name());
                if fits {
                    figures.note(&said);
                } else {
                    figures.check(&format!("{said} fits {pattern:?}"), false);
                }
                return lines;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Both are connected now, and say so once. `sides`: the node of lower number first, each with its number and with
    /// what it may have to say of before; `up`: since when both see each other.
    pub(crate) fn connected(
        &mut self,
        figures: &mut Figures,
        what: &str,
        sides: [(&dyn Side, u8, &str); 2],
        up: Instant,
    ) {
        let [(lower, lower_num, lower_before), (higher, higher_num, higher_before)] = sides;
        let pattern = format!("{higher_before} {TRIES} connected");
        let made = self.said(figures, what, higher, lower_num, &pattern);
        let pattern = format!("{lower_before} {WAITS} accepted");
        let taken = self.said(figures, what, lower, higher_num, &pattern);
        for line in [made, taken].iter().filter_map(|lines| lines.last()) {
            figures.within(&format!("{what}: connected after"), up, line.at, 0.0..=CONNECT + LATE);
        }
    }
}

/// What a line is about; nothing if it is none of the connection, or only tells early of what may come.
fn word(text: &str, other: u8) -> Option<String> {
    let text = text.strip_prefix("o2net: ")?;
    let other_place = place(other);
    let is = |form: &str| text.contains(&form.replace('@', &other_place));
    let known = [
        ("Connected to @", "connected"),
        ("Accepted connection from @", "accepted"),
        ("No longer connected to @", "gone"),
        ("Connection to @ shutdown, state 7", "shutdown"),
        ("Connection to @ shutdown, state 8", "shutdown"),
        ("Connection to @ has been idle for 5.", "idle"),
        ("@ uses a heartbeat timeout of ", "refused"),
        (&format!("No connection established with node {other} after 5.0 seconds"), "none"),
    ];
    if text.starts_with("listening on ") || is("Connection to @ has been silent for ") {
        return None;
    }
    let found = known.iter().find(|(form, _)| is(form));
    Some(found.map_or_else(|| format!("[{text}]"), |(_, word)| (*word).to_owned()))
}

/// Is this what the items ask for?
fn fits(words: &[&str], items: &[&str]) -> bool {
    let Some((item, rest)) = items.split_first() else { return words.is_empty() };
    let (names, least, most) = match item.chars().last() {
        Some('*') => (&item[..item.len() - 1], 0, usize::MAX),
        Some('+') => (&item[..item.len() - 1], 1, usize::MAX),
        Some('?') => (&item[..item.len() - 1], 0, 1),
        _ => (*item, 1, 1),
    };
    let alike = words.iter().take_while(|word| names.split('|').any(|name| name == **word)).count();
    (least..=alike.min(most)).any(|taken| fits(&words[taken..], rest))
}
