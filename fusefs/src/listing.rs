//! Filling the buffer of a readdir.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::FileType;
use uo2cb_core::tree::{Object, Tree};
use uo2cb_core::{ItemId, Refusal};

use crate::{convert, inode};

/// Position behind `.` and `..`.
const DOTS: u64 = 2;

/// Where a descriptor stands in its directory. Positions count entries, as configfs has them; what came between two of
/// them may have gone. So the objects of the last answer are kept: the caller goes on behind one of them, not always
/// the last, and looking there costs no walk from the beginning.
#[derive(Default)]
pub(crate) struct Reading {
    /// Position at which the last answer began, and the object before it.
    from: u64,
    before: Option<Object>,
    /// What it held.
    shown: Vec<Object>,
}

impl Reading {
    /// The object before a position; none where the position was not in the last answer.
    fn before(&self, position: u64) -> Option<Option<Object>> {
        match usize::try_from(position.checked_sub(self.from)?).ok()? {
            0 => Some(self.before),
            shown => Some(Some(*self.shown.get(shown - 1)?)),
        }
    }

    /// Gives `add` the entries of `dir` from `position` on, with their inode numbers and the positions behind them,
    /// until it has no more room and says true.
    pub(crate) fn fill(
        &mut self,
        tree: &Tree,
        dir: ItemId,
        position: u64,
        mut add: impl FnMut(u64, u64, FileType, &OsStr) -> bool,
    ) -> Result<(), Refusal> {
        let before = match position {
            // A reading that begins sees what is there now.
            ..=DOTS => None,
            _ => match self.before(position) {
                Some(before) => before,
                // The caller has jumped: positions are counted anew, in the directory as it is now.
                None => {
                    let skipped = usize::try_from(position - DOTS - 1).unwrap_or(usize::MAX);
                    let Some((last, _)) = tree.entries(dir, None)?.nth(skipped) else { return Ok(()) };
                    Some(last)
                }
            },
        };
        let entries = tree.entries(dir, before)?;
        // The root is its own parent, as in the kernel's listing of a mount.
        let parent = tree.items().parent(dir).unwrap_or(dir);
        for (behind, (ino, name)) in (1..).zip([(dir, "."), (parent, "..")]) {
            let ino = inode::number(Object::Dir(ino));
            if position < behind && add(ino, behind, FileType::Directory, OsStr::new(name)) {
                return Ok(());
            }
        }
        self.from = position.max(DOTS);
        self.before = before;
        self.shown.clear();
        for (behind, (object, name)) in (self.from + 1..).zip(entries) {
            let kind = convert::file_type(object.file_type());
            if add(inode::number(object), behind, kind, OsStr::from_bytes(name)) {
                break;
            }
            self.shown.push(object);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uo2cb_core::Now;
    use uo2cb_core::tree::{Attribute, Kind, Made, Owner};

    use super::*;

    static PLAIN: Kind = Kind {
        name: "plain",
        makes: false,
        links: false,
        attributes: &[Attribute::read_write("first"), Attribute::read_write("last")],
    };

    fn now() -> Now {
        Now { mono: uo2cb_core::Instant::at(std::time::Duration::ZERO), unix: std::time::Duration::ZERO }
    }

    /// A directory of `count` directories, and its own.
    fn tree(count: usize) -> (Tree, ItemId) {
        let mut tree = Tree::new(Owner::default(), 4096, now());
        let dir = tree.add(ItemId::ROOT, "dir", &Made::plain(&PLAIN), now()).expect("a directory");
        for number in 0..count {
            make(&mut tree, dir, &number.to_string());
        }
        (tree, dir)
    }

    fn make(tree: &mut Tree, dir: ItemId, name: &str) -> ItemId {
        tree.add(dir, name, &Made::plain(&PLAIN), now()).expect("a directory")
    }

    /// Names and positions from `position` on, `room` of them, and how many were offered.
    fn page(
        (tree, dir): (&Tree, ItemId),
        reading: &mut Reading,
        position: u64,
        room: usize,
    ) -> (Vec<(String, u64)>, usize) {
        let (mut shown, mut offered) = (Vec::new(), 0);
        let add = |_, behind, _, name: &OsStr| {
            offered += 1;
            let full = shown.len() == room;
            if !full {
                shown.push((name.to_string_lossy().into_owned(), behind));
            }
            full
        };
        reading.fill(tree, dir, position, add).expect("a directory");
        (shown, offered)
    }

    fn names(page: &[(String, u64)]) -> Vec<&str> {
        page.iter().map(|(name, _)| &**name).collect()
    }

    #[test]
    fn a_reading_in_pages_offers_each_entry_once_whatever_comes_and_goes() {
        const COUNT: usize = 100_000;
        const ROOM: usize = 100;
        let (mut tree, dir) = tree(COUNT);
        let (mut reading, mut position, mut offered, mut seen) = (Reading::default(), 0, 0, Vec::new());
        let mut pages = 0;
        loop {
            let (shown, tried) = page((&tree, dir), &mut reading, position, ROOM);
            offered += tried;
            let Some((_, behind)) = shown.last() else { break };
            assert_eq!(*behind, position + shown.len() as u64);
            position = *behind;
            seen.extend(shown.into_iter().map(|(name, _)| name));
            pages += 1;
            // Walked from the beginning, each would shift all that is left by one.
            make(&mut tree, dir, &format!("late{pages}"));
        }
        assert_eq!(offered, COUNT + 4 + pages - 1, "one more for each page that was full");
        let newest_first = (0..COUNT).rev().map(|number| number.to_string());
        let expected = [".", ".."]
            .map(str::to_owned)
            .into_iter()
            .chain(newest_first)
            .chain(["last".into(), "first".into()]);
        assert_eq!(seen, expected.collect::<Vec<_>>());
    }

    #[test]
    fn who_took_less_than_was_given_goes_on_behind_that() {
        let (mut tree, dir) = tree(5);
        let mut reading = Reading::default();
        page((&tree, dir), &mut reading, 0, 99);
        let gone = tree.items().children(dir).nth(2).expect("the middle one");
        tree.take_away(gone, now());
        make(&mut tree, dir, "late");
        // Behind "4" and "3": "2" has gone, and the positions of the others count without it.
        let (shown, _) = page((&tree, dir), &mut reading, 4, 99);
        assert_eq!(names(&shown), ["1", "0", "last", "first"]);
        assert_eq!(shown[0].1, 5);
        // Behind an entry that has gone, and behind an attribute.
        let gone = tree.items().children(dir).nth(3).expect("1");
        tree.take_away(gone, now());
        assert_eq!(names(&page((&tree, dir), &mut reading, 5, 99).0), ["0", "last", "first"]);
        assert_eq!(names(&page((&tree, dir), &mut reading, 7, 99).0), ["first"]);
        assert_eq!(names(&page((&tree, dir), &mut reading, 8, 99).0), [""; 0]);
        // From the beginning, with what has come.
        let whole = [".", "..", "late", "4", "3", "0", "last", "first"];
        assert_eq!(names(&page((&tree, dir), &mut reading, 0, 99).0), whole);
        assert_eq!(names(&page((&tree, dir), &mut reading, 1, 99).0), whole[1..]);
        assert_eq!(names(&page((&tree, dir), &mut reading, 2, 99).0), whole[2..]);
    }

    #[test]
    fn a_jump_counts_in_the_directory_as_it_is() {
        let (tree, dir) = tree(5);
        for (position, expected) in [
            (3, &["3", "2", "1", "0", "last", "first"][..]),
            (7, &["last", "first"]),
            (8, &["first"]),
            (9, &[]),
        ] {
            assert_eq!(names(&page((&tree, dir), &mut Reading::default(), position, 99).0), expected);
        }
        for position in [10, u64::MAX] {
            assert!(page((&tree, dir), &mut Reading::default(), position, 99).0.is_empty());
        }
    }
}
