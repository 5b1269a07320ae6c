//! Inode numbers: an object of a tree as one number. Ids are never used twice, so neither are these.

use uo2cb_core::ItemId;
use uo2cb_core::tree::Object;

/// The root as FUSE wants it.
pub(crate) const ROOT: u64 = 1;
/// In the low byte: 0 is the directory, this a link, anything between an attribute.
const LINK: u64 = 0xff;

/// Number of an object.
pub(crate) fn number(object: Object) -> u64 {
    match object {
        Object::Dir(ItemId::ROOT) => ROOT,
        Object::Dir(id) => id.0 << 8,
        Object::Attribute(id, attribute) => id.0 << 8 | (u64::from(attribute) + 1),
        Object::Link(id) => id.0 << 8 | LINK,
    }
}

/// Object of a number. Numbers that were never given out lead to objects that do not exist.
pub(crate) fn object(ino: u64) -> Object {
    if ino == ROOT {
        return Object::Dir(ItemId::ROOT);
    }
    let id = ItemId(ino >> 8);
    match ino & 0xff {
        0 => Object::Dir(id),
        LINK => Object::Link(id),
        attribute => Object::Attribute(id, attribute as u8 - 1),
    }
}

/// Directory of a number.
pub(crate) fn item(ino: u64) -> ItemId {
    match object(ino) {
        Object::Dir(id) | Object::Attribute(id, _) | Object::Link(id) => id,
    }
}

/// All numbers that belong to an entry of a tree: its own and its attributes'.
pub(crate) fn numbers_of(item: ItemId) -> std::ops::RangeInclusive<u64> {
    item.0 << 8..=item.0 << 8 | 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for object in [
            Object::Dir(ItemId::ROOT),
            Object::Dir(ItemId(1)),
            Object::Attribute(ItemId(1), 0),
            Object::Attribute(ItemId(7), 253),
            Object::Link(ItemId(u64::MAX >> 8)),
        ] {
            assert_eq!(super::object(number(object)), object);
            if object != Object::Dir(ItemId::ROOT) {
                assert!(numbers_of(item(number(object))).contains(&number(object)));
            }
        }
    }
}
