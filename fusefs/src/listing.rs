//! Filling the buffer of a readdir.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{FileType, INodeNo, ReplyDirectory};
use uo2cb_core::tree::{DirEntry, Object};

use crate::{convert, inode};

/// Offset behind `.` and `..`.
pub(crate) const DOTS: u64 = 2;

/// Entries from `offset` on, as many as fit: the two `dots`, then those of the snapshot that are still there.
pub(crate) fn fill(
    reply: &mut ReplyDirectory,
    dots: [u64; 2],
    offset: u64,
    entries: &[DirEntry],
    current: &[DirEntry],
) {
    let present: BTreeSet<Object> = current.iter().map(|entry| entry.object).collect();
    let [ino, parent] = dots;
    let dots = [(ino, "."), (parent, "..")];
    let dots = dots.map(|(ino, name)| (ino, FileType::Directory, OsStr::new(name)));
    let named = entries.iter().map(|entry| {
        let kind = convert::file_type(entry.object.file_type());
        (inode::number(entry.object), kind, OsStr::from_bytes(&entry.name))
    });
    let skip = usize::try_from(offset).unwrap_or(usize::MAX);
    for (next, (ino, kind, name)) in (1u64..).zip(dots.into_iter().chain(named)).skip(skip) {
        let gone = next > DOTS && !present.contains(&inode::object(ino));
        if !gone && reply.add(INodeNo(ino), next, kind, name) {
            break;
        }
    }
}
