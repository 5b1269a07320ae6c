//! A run as text; the same plan gives the same text.

use std::fmt::{Arguments, Write};

use super::{SEC, Us};

/// The text of a run, if it is wanted.
#[derive(Debug, Default)]
pub struct Trace {
    text: Option<String>,
}

impl Trace {
    /// A trace that keeps its text, or one that drops it.
    pub fn new(wanted: bool) -> Self {
        Self { text: wanted.then(String::new) }
    }

    /// Is the text kept?
    pub fn wanted(&self) -> bool {
        self.text.is_some()
    }

    /// Adds a line.
    pub fn line(&mut self, now: Us, node: usize, what: Arguments<'_>) {
        if let Some(text) = &mut self.text {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}.{:06} n{node} {what}", now / SEC, now % SEC);
        }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Its last lines.
    pub fn tail(&self, lines: usize) -> String {
        let all: Vec<_> = self.text().lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}
