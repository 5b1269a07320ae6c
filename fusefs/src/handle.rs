//! Open files and directories: what a descriptor remembers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::listing::Reading;

/// The text that an open attribute gives: none before the first read and after a write.
type Page = Option<Arc<[u8]>>;

#[derive(Default)]
struct Table {
    next: u64,
    /// By inode first, so that whether an inode has descriptors is known without looking at all of them.
    files: BTreeMap<(u64, u64), Page>,
    directories: HashMap<u64, Reading>,
    /// Sizes that ftruncate gave: the kernel shows them while a descriptor keeps the inode.
    sizes: HashMap<u64, u64>,
}

impl Table {
    fn is_open(&self, ino: u64) -> bool {
        self.files.range((ino, 0)..=(ino, u64::MAX)).next().is_some()
    }
}

/// All open descriptors of a mount.
#[derive(Default)]
pub(crate) struct Handles(Mutex<Table>);

impl Handles {
    pub(crate) fn open_file(&self, ino: u64, page: Page) -> u64 {
        let mut table = self.0.lock();
        table.next += 1;
        let handle = table.next;
        table.files.insert((ino, handle), page);
        handle
    }

    pub(crate) fn page(&self, ino: u64, handle: u64) -> Page {
        self.0.lock().files.get(&(ino, handle))?.clone()
    }

    pub(crate) fn set_page(&self, ino: u64, handle: u64, page: Page) {
        if let Some(file) = self.0.lock().files.get_mut(&(ino, handle)) {
            *file = page;
        }
    }

    /// True when the inode forgot a size with its last descriptor: caches must hear.
    pub(crate) fn close_file(&self, ino: u64, handle: u64) -> bool {
        let mut table = self.0.lock();
        table.files.remove(&(ino, handle));
        !table.sizes.is_empty() && !table.is_open(ino) && table.sizes.remove(&ino).is_some()
    }

    /// ftruncate: remembered while a descriptor is open.
    pub(crate) fn set_size(&self, ino: u64, size: u64) {
        let mut table = self.0.lock();
        if table.is_open(ino) {
            table.sizes.insert(ino, size);
        }
    }

    pub(crate) fn size(&self, ino: u64) -> Option<u64> {
        let table = self.0.lock();
        if table.sizes.is_empty() { None } else { table.sizes.get(&ino).copied() }
    }

    pub(crate) fn open_directory(&self) -> u64 {
        let mut table = self.0.lock();
        table.next += 1;
        let handle = table.next;
        table.directories.insert(handle, Reading::default());
        handle
    }

    /// Goes on with the reading of a directory.
    pub(crate) fn read_directory<T>(&self, handle: u64, read: impl FnOnce(&mut Reading) -> T) -> T {
        match self.0.lock().directories.get_mut(&handle) {
            Some(reading) => read(reading),
            None => read(&mut Reading::default()),
        }
    }

    pub(crate) fn close_directory(&self, handle: u64) {
        self.0.lock().directories.remove(&handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_stays_until_the_last_descriptor_of_its_inode() {
        let handles = Handles::default();
        handles.set_size(1, 7);
        assert_eq!(handles.size(1), None, "nobody has it open");
        let (first, second, other) =
            (handles.open_file(1, None), handles.open_file(1, None), handles.open_file(2, None));
        handles.set_size(1, 7);
        assert!(!handles.close_file(1, first));
        assert!(!handles.close_file(2, other));
        assert_eq!(handles.size(1), Some(7));
        assert!(handles.close_file(1, second), "with the last one it goes");
        assert_eq!(handles.size(1), None);
        assert!(!handles.close_file(1, second), "once");
    }
}
