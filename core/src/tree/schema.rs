//! How a subsystem describes its part of the tree, and the trait by which the tree calls it.

use alloc::vec::Vec;

use super::items::Items;
use super::kind::Made;
use crate::call::Call;
use crate::error::Refusal;
use crate::ids::ItemId;
use crate::name::Name;

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

/// What a subsystem implements for its part of the tree (`configfs_group_operations`, `configfs_item_operations`). One
/// that only shows implements `show`: without the other operations callers can change nothing in it.
///
/// A refusal must leave the subsystem unchanged.
#[allow(unused_variables)]
pub trait Subsystem {
    /// mkdir of `name` in `parent`, whose kind makes something; the new directory will be `id`.
    ///
    /// # Errors
    /// Without this operation [`Refusal::NothingMadeHere`].
    fn make(&mut self, cx: &Context<'_>, parent: ItemId, name: &Name, id: ItemId) -> Result<Made, Refusal> {
        Err(Refusal::NothingMadeHere)
    }

    /// Whether the removal of `item` must wait; the subsystem says when it can go on.
    fn detains(&mut self, item: ItemId) -> bool {
        false
    }

    /// `item`, made by [`make`](Self::make), is about to be removed with its default groups.
    fn drop_item(&mut self, cx: &Context<'_>, item: ItemId) {}

    /// Appends the text of an attribute to `out`.
    fn show(
        &mut self,
        cx: &Context<'_>,
        item: ItemId,
        attribute: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal>;

    /// Stores a new value: at most 4095 bytes, those of one write(2).
    ///
    /// # Errors
    /// Without this operation [`Refusal::ReadOnly`].
    fn store(
        &mut self,
        cx: &Context<'_>,
        item: ItemId,
        attribute: usize,
        data: &[u8],
    ) -> Result<Stored, Refusal> {
        Err(Refusal::ReadOnly)
    }

    /// May `source`, whose kind has links, point at the directory `target`?
    ///
    /// # Errors
    /// Without this operation [`Refusal::NoLinksHere`].
    fn allow_link(&mut self, cx: &Context<'_>, source: ItemId, target: ItemId) -> Result<(), Refusal> {
        Err(Refusal::NoLinksHere)
    }

    /// A link from `source` to `target` is about to be removed.
    fn drop_link(&mut self, cx: &Context<'_>, source: ItemId, target: ItemId) {}
}
