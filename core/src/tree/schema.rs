//! How a subsystem describes its part of the tree, and the trait by which the tree calls it.

use alloc::vec::Vec;

use super::items::Items;
use crate::call::Call;
use crate::error::Refusal;
use crate::ids::ItemId;
use crate::name::Name;

/// A kind of directory (`config_item_type`). Kinds are statics and compared by address.
#[derive(Debug)]
pub struct Kind {
    /// Its name in the log: `cluster`, `node` ...
    pub name: &'static str,
    /// Whether mkdir makes something in it; then [`Subsystem::make`] is asked (make_item, make_group).
    pub makes: bool,
    /// Whether symlinks may stand in it; then [`Subsystem::allow_link`] is asked.
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
    /// Whether its store may wait ([`Stored::Later`]): then writes to it must not block other calls.
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

/// What a subsystem can reach in a call: the call, and the tree as it stands.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The tree before the change.
    pub items: &'a Items,
    /// When, for whom, under which name an answer that comes later must be given.
    pub call: Call,
}

/// The outcome of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    /// The value was taken; the caller gets the length.
    Done,
    /// The caller gets the length, but nothing has changed, by this rule.
    Ignored(&'static str),
    /// Still going on; [`Tree::store_ended`](super::Tree::store_ended) ends it. Until then the item is not
    /// removed.
    Later,
}

/// What a subsystem implements for its part of the tree (`configfs_group_operations`, `configfs_item_operations`).
///
/// A refusal must leave the subsystem unchanged.
pub trait Subsystem {
    /// mkdir of `name` in `parent`, whose kind makes something; the new directory will be `id`.
    fn make(&mut self, cx: &Context<'_>, parent: ItemId, name: &Name, id: ItemId) -> Result<Made, Refusal>;

    /// `item`, made by [`make`](Self::make), is about to be removed with its default groups.
    fn drop_item(&mut self, cx: &Context<'_>, item: ItemId);

    /// Appends the text of an attribute to `out`.
    fn show(
        &mut self,
        cx: &Context<'_>,
        item: ItemId,
        attribute: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal>;

    /// Stores a new value: at most 4095 bytes, those of one write(2).
    fn store(
        &mut self,
        cx: &Context<'_>,
        item: ItemId,
        attribute: usize,
        data: &[u8],
    ) -> Result<Stored, Refusal>;

    /// May `source`, whose kind has links, point at the directory `target`?
    fn allow_link(&mut self, cx: &Context<'_>, source: ItemId, target: ItemId) -> Result<(), Refusal>;

    /// A link from `source` to `target` is about to be removed.
    fn drop_link(&mut self, cx: &Context<'_>, source: ItemId, target: ItemId);
}
