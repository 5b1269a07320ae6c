//! Comparing what two trees answered to the same lists.

use std::collections::BTreeMap;
use std::fmt;

use crate::list::List;

/// How many answers that differ are listed once more at the end.
const LISTED: usize = 10;

/// One operation with two answers.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The list's name.
    pub list: String,
    /// The line in the list, counted from 1.
    pub line: usize,
    /// The operation as written.
    pub operation: String,
    /// The kernel's answer.
    pub kernel: String,
    /// The answer of the tree under test.
    pub ours: String,
}

impl Difference {
    fn in_a_line(&self) -> String {
        let Self { list, line, operation, kernel, ours } = self;
        format!("{list}:{line}: {operation}: kernel {kernel}, ours {ours}")
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { list, line, operation, kernel, ours } = self;
        write!(f, "{list}:{line}: {operation}\n    kernel: {kernel}\n    ours:   {ours}")
    }
}

/// A difference that is known and has a reason: one line of the table.
///
/// `OPERATION | KERNEL | OURS | REASON`, where the first three are patterns in which `*` stands for anything.
#[derive(Clone, Debug)]
struct Known {
    patterns: [String; 3],
    reason: String,
}

/// Every known difference.
#[derive(Clone, Debug, Default)]
pub struct Table(Vec<Known>);

impl Table {
    /// Reads the table; empty lines and lines starting with `#` are comments.
    ///
    /// # Errors
    /// A line without four fields.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut entries = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let fields: Vec<String> = line.splitn(4, " | ").map(|field| field.trim().to_owned()).collect();
            let [operation, kernel, ours, reason] = <[String; 4]>::try_from(fields)
                .map_err(|_| format!("not `OPERATION | KERNEL | OURS | REASON`: {line}"))?;
            entries.push(Known { patterns: [operation, kernel, ours], reason });
        }
        Ok(Self(entries))
    }

    /// The first entry that matches.
    fn find(&self, difference: &Difference) -> Option<usize> {
        let answers = [&difference.operation, &difference.kernel, &difference.ours];
        self.0.iter().position(|known| known.patterns.iter().zip(answers).all(|(p, text)| matches(p, text)))
    }
}

/// Whether `text` is what `pattern` describes; `*` stands for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    while let Some((part, after)) = rest.split_once('*') {
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
        rest = after;
    }
    text.ends_with(rest)
}

/// Whether the operation waited for a state that did not come: the same answer of both then compares nothing.
fn timed_out(answer: &str) -> bool {
    ["late: ", "never: "].iter().any(|start| answer.starts_with(start))
}

/// What a comparison found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    total: usize,
    /// Of each tree: identical answers, and all.
    trees: BTreeMap<&'static str, (usize, usize)>,
    known: BTreeMap<usize, usize>,
    unknown: Vec<Difference>,
}

impl Report {
    /// Adds the answers of a tree to one list.
    pub fn add(
        &mut self,
        tree: &'static str,
        table: &Table,
        list: &List,
        kernel: &[String],
        ours: &[String],
    ) {
        for (at, (line, operation)) in list.operations().enumerate() {
            self.total += 1;
            let answer =
                |answers: &[String]| answers.get(at).cloned().unwrap_or_else(|| "no answer".to_owned());
            let (kernel, ours) = (answer(kernel), answer(ours));
            let (identical, all) = self.trees.entry(tree).or_default();
            *all += 1;
            if kernel == ours && !timed_out(&kernel) {
                *identical += 1;
                continue;
            }
            let operation = operation.to_owned();
            let difference = Difference { list: list.name.clone(), line, operation, kernel, ours };
            match table.find(&difference) {
                Some(entry) => *self.known.entry(entry).or_default() += 1,
                None => self.unknown.push(difference),
            }
        }
    }

    /// Prints every difference, how many answers are identical, and what failed. True if nothing is left to explain:
    /// each difference is in the table and, after a `whole` run, each entry of the table was needed.
    pub fn conclude(&self, table: &Table, whole: bool) -> bool {
        for difference in &self.unknown {
            println!("{difference}");
        }
        let mut failed: Vec<String> = self.unknown.iter().take(LISTED).map(Difference::in_a_line).collect();
        let more = self.unknown.len().saturating_sub(LISTED);
        if more > 0 {
            failed.push(format!("{more} answers more"));
        }
        for (at, known) in table.0.iter().enumerate() {
            let pattern = known.patterns.join(" | ");
            match self.known.get(&at) {
                Some(count) => println!("known, {count} times: {pattern}: {}", known.reason),
                None if !whole => (),
                None => {
                    failed.push(format!("this entry of the table matches nothing: {pattern}"));
                }
            }
        }
        for (tree, (identical, all)) in &self.trees {
            println!("{tree}: identical {identical} of {all}");
        }
        let known: usize = self.known.values().sum();
        println!("known differences: {known}, others: {}", self.unknown.len());
        println!("identical {} of {}", self.total - known - self.unknown.len(), self.total);
        for line in &failed {
            println!("failed: {line}");
        }
        failed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        assert!(matches("put * %", "put cluster/c1/mode %"));
        assert!(matches("*", ""));
        assert!(matches("a*c*e", "abcde"));
        assert!(!matches("a*c", "abcd"));
        assert!(!matches("ok", "ok 1"));
    }

    #[test]
    fn differences_are_sorted_into_known_and_others() {
        let list = List { name: "l".to_owned(), text: "# c\nread 1 0\nstat .\nstat x\n".to_owned() };
        let answers = |words: [&str; 3]| words.map(str::to_owned);
        let table = Table::parse("# comment\nread * 0 | EFAULT | ok % | empty reads\n").unwrap();
        let mut report = Report::default();
        report.add(
            "o2cb",
            &table,
            &list,
            &answers(["EFAULT", "ok", "ok"]),
            &answers(["ok %", "ok", "EPERM"]),
        );
        assert_eq!((report.total, report.known.len(), report.unknown.len()), (3, 1, 1));
        assert_eq!(report.unknown[0].line, 4);
        assert!(!report.conclude(&table, true));
    }

    #[test]
    fn two_timeouts_are_no_identical_answers() {
        let list = List { name: "l".to_owned(), text: "until cat x = ok\n".to_owned() };
        let answers = ["late: ENOENT".to_owned()];
        let mut report = Report::default();
        report.add("o2cb", &Table::default(), &list, &answers, &answers);
        assert!(!report.conclude(&Table::default(), true));
    }

    #[test]
    fn an_entry_without_a_match_is_an_error() {
        let table = Table::parse("a | b | c | d").unwrap();
        assert!(!Report::default().conclude(&table, true));
        assert!(Table::parse("a | b | c").is_err());
    }
}
