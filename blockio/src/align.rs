//! Memory that direct I/O accepts.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use rustix::io::Errno;

/// Every buffer starts at a multiple of this, and takes up a multiple of it.
pub(crate) const ALIGN: usize = 4096;

/// Zeroed memory that starts on a page.
pub(crate) struct AlignedBuf {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it owns its memory, as a Box<[u8]> does; the pointer is not shared.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// At least `bytes` of memory, rounded up to whole pages, never none.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn new(bytes: usize) -> Result<Self, Errno> {
        let bytes = bytes.max(1).checked_next_multiple_of(ALIGN).ok_or(Errno::NOMEM)?;
        let layout = Layout::from_size_align(bytes, ALIGN).map_err(|_| Errno::NOMEM)?;
        // SAFETY: the size of the layout is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        Ok(Self { start: NonNull::new(start).ok_or(Errno::NOMEM)?, layout })
    }

    /// Where it starts, for a kernel that reads or writes it while nobody here does. Makes no reference.
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` has `size` initialised bytes until drop; `&self` keeps writers away.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; `&mut self` keeps everybody else away.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} bytes)", self.layout.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pages_of_zeros() {
        for (asked, given) in [(0, 4096), (1, 4096), (4096, 4096), (4097, 8192)] {
            let mut buf = AlignedBuf::new(asked).unwrap();
            assert_eq!((buf.len(), buf.as_ptr() as usize % ALIGN), (given, 0));
            assert!(buf.iter().all(|&byte| byte == 0));
            buf[given - 1] = 1;
        }
        assert_eq!(AlignedBuf::new(usize::MAX).unwrap_err(), Errno::NOMEM);
        assert_eq!(AlignedBuf::new(isize::MAX as usize - 8192).unwrap_err(), Errno::NOMEM);
    }
}
