//! What a directory shows, from any place on.

use alloc::vec::Vec;

use super::meta::Object;
use super::{Answer, Tree};
use crate::error::Refusal;
use crate::ids::ItemId;

/// An entry of a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// What it is.
    pub object: Object,
    /// Its name.
    pub name: Vec<u8>,
}

impl Tree {
    /// What `dir` shows, with names: directories and links, newest first, then attributes in the reverse of their
    /// declaration. With `after` only what comes behind that object, which need not be there any more; finding the
    /// place costs no walk along what comes before it.
    ///
    /// # Errors
    /// `dir` is no directory (any more).
    pub fn entries(
        &self,
        dir: ItemId,
        after: Option<Object>,
    ) -> Result<impl Iterator<Item = (Object, &[u8])>, Refusal> {
        let directory = self.items.dir(dir)?;
        let (below, attributes) = match after {
            // Ids are never as high as this.
            None => (Some(ItemId(u64::MAX)), directory.kind.attributes),
            Some(Object::Dir(id) | Object::Link(id)) => (Some(id), directory.kind.attributes),
            Some(Object::Attribute(_, number)) => {
                (None, directory.kind.attributes.get(..usize::from(number)).unwrap_or_default())
            }
        };
        let children = below.map(|below| directory.by_age.range(..below).rev());
        let children = children.into_iter().flatten().filter_map(|id| self.items.named(*id));
        let attributes = attributes.iter().enumerate().rev().filter_map(move |(number, attribute)| {
            Some((Object::Attribute(dir, u8::try_from(number).ok()?), attribute.name.as_bytes()))
        });
        Ok(children.chain(attributes))
    }

    pub(super) fn list(&self, dir: ItemId) -> Result<Answer, Refusal> {
        let owned = |(object, name): (Object, &[u8])| DirEntry { object, name: name.to_vec() };
        Ok(Answer::Entries(self.entries(dir, None)?.map(owned).collect()))
    }
}
