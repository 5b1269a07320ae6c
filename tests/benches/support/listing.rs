//! Reading a whole directory.

use std::mem::MaybeUninit;

use rustix::fs::{Mode, OFlags, RawDir};

/// How many entries a directory has, `.` and `..` aside. Asks for as many at a time as the C library does.
pub(crate) fn count(path: impl rustix::path::Arg) -> rustix::io::Result<usize> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut count = 0;
    while let Some(entry) = entries.next() {
        count += usize::from(!matches!(entry?.file_name().to_bytes(), b"." | b".."));
    }
    Ok(count)
}
