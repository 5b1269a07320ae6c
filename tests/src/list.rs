//! Lists of operations, and what one run of a list answered.

use std::path::Path;
use std::{fs, io};

use crate::probe::is_operation;

/// Operations to run in order, from a clean tree.
#[derive(Clone, Debug)]
pub struct List {
    /// Short name, as shown in a report.
    pub name: String,
    /// The lines as written, comments included.
    pub text: String,
}

impl List {
    /// Every `*.ops` file of a folder, in the order of their names.
    ///
    /// # Errors
    /// The folder or a file in it cannot be read.
    pub fn load_all(folder: &Path) -> io::Result<Vec<Self>> {
        let mut lists = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "ops") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                lists.push(Self { name, text: fs::read_to_string(&path)? });
            }
        }
        lists.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(lists)
    }

    /// The operations with their line numbers, counted from 1.
    pub fn operations(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().filter(|(_, line)| is_operation(line)).map(|(at, line)| (at + 1, line))
    }
}
