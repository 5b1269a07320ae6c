//! Open files and directories: what a descriptor remembers.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::listing::Reading;

/// An open attribute: the page that its first read filled.
#[derive(Default)]
struct File {
    ino: u64,
    /// None before the first read and after a write.
    page: Option<Arc<[u8]>>,
}

#[derive(Default)]
struct Table {
    next: u64,
    files: HashMap<u64, File>,
    directories: HashMap<u64, Reading>,
    /// Sizes that ftruncate gave: the kernel shows them while a descriptor keeps the inode.
    sizes: HashMap<u64, u64>,
}

/// All open descriptors of a mount.
#[derive(Default)]
pub(crate) struct Handles(Mutex<Table>);

impl Handles {
    pub(crate) fn open_file(&self, ino: u64) -> u64 {
        let mut table = self.0.lock();
        table.next += 1;
        let handle = table.next;
        table.files.insert(handle, File { ino, page: None });
        handle
    }

    pub(crate) fn page(&self, handle: u64) -> Option<Arc<[u8]>> {
        self.0.lock().files.get(&handle)?.page.clone()
    }

    pub(crate) fn set_page(&self, handle: u64, page: Option<Arc<[u8]>>) {
        if let Some(file) = self.0.lock().files.get_mut(&handle) {
            file.page = page;
        }
    }

    /// True when the inode forgot a size with its last descriptor: caches must hear.
    pub(crate) fn close_file(&self, handle: u64) -> bool {
        let mut table = self.0.lock();
        let Some(File { ino, .. }) = table.files.remove(&handle) else { return false };
        !table.sizes.is_empty()
            && !table.files.values().any(|other| other.ino == ino)
            && table.sizes.remove(&ino).is_some()
    }

    /// ftruncate: remembered while a descriptor is open.
    pub(crate) fn set_size(&self, ino: u64, size: u64) {
        let mut table = self.0.lock();
        if table.files.values().any(|file| file.ino == ino) {
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
