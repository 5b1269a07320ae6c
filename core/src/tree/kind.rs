//! Kinds of directories, and the files that come with them.

use alloc::vec::Vec;

/// A kind of directory (`config_item_type`). Kinds are statics and compared by address.
#[derive(Debug)]
pub struct Kind {
    /// Its name in the log: `cluster`, `node` ...
    pub name: &'static str,
    /// Whether mkdir makes something in it; then [`Subsystem::make`](super::Subsystem::make) is asked (make_item, make_group).
    pub makes: bool,
    /// Whether symlinks may stand in it; then [`Subsystem::allow_link`](super::Subsystem::allow_link) is asked.
    pub links: bool,
    /// Its files, in the order of declaration.
    pub attributes: &'static [Attribute],
}

impl Kind {
    /// Are they the same static?
    pub fn is(&'static self, other: &'static Self) -> bool {
        core::ptr::eq(self, other)
    }

    /// Number of the attribute called `name`.
    pub fn attribute(&self, name: &[u8]) -> Option<usize> {
        self.attributes.iter().position(|attribute| attribute.name.as_bytes() == name)
    }
}

/// A file of a directory (`configfs_attribute`).
#[derive(Debug)]
pub struct Attribute {
    /// File name.
    pub name: &'static str,
    /// Permission bits; where no read (write) bit is set there is no show (store).
    pub mode: u16,
    /// Whether its store may wait ([`Stored::Later`](super::Stored::Later)): then writes to it must not block other calls.
    pub waits: bool,
}

impl Attribute {
    /// Show and a store that may take long, 0644.
    pub const fn waiting(name: &'static str) -> Self {
        Self { name, mode: 0o644, waits: true }
    }

    /// Show and store, 0644.
    pub const fn read_write(name: &'static str) -> Self {
        Self { name, mode: 0o644, waits: false }
    }

    /// Show only, 0444.
    pub const fn read_only(name: &'static str) -> Self {
        Self { name, mode: 0o444, waits: false }
    }
}

/// A directory and its default groups: the result of make, and the description of a default group.
#[derive(Debug)]
pub struct Made {
    /// Its kind.
    pub kind: &'static Kind,
    /// Default groups below it, in the order in which they are added.
    pub groups: Vec<(&'static str, Made)>,
}

impl Made {
    /// A directory without default groups.
    pub fn plain(kind: &'static Kind) -> Self {
        Self { kind, groups: Vec::new() }
    }
}
