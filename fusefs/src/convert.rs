//! Between the words of FUSE and those of the trees.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, INodeNo, Request, TimeOrNow};
use uo2cb_core::tree::{Attr, FileType, SetAttr};
use uo2cb_core::{Caller, Refusal};

use crate::inode;

pub(crate) fn caller(request: &Request) -> Caller {
    Caller { pid: request.pid(), uid: request.uid(), gid: request.gid() }
}

pub(crate) fn errno(refusal: Refusal) -> fuser::Errno {
    fuser::Errno::from_i32(refusal.errno().0)
}

pub(crate) fn file_type(kind: FileType) -> fuser::FileType {
    match kind {
        FileType::Directory => fuser::FileType::Directory,
        FileType::File => fuser::FileType::RegularFile,
        FileType::Symlink => fuser::FileType::Symlink,
    }
}

pub(crate) fn attr(attr: &Attr) -> FileAttr {
    let at = |since_1970| UNIX_EPOCH + since_1970;
    FileAttr {
        ino: INodeNo(inode::number(attr.object)),
        size: attr.size,
        blocks: 0,
        atime: at(attr.meta.atime),
        mtime: at(attr.meta.mtime),
        ctime: at(attr.meta.ctime),
        crtime: UNIX_EPOCH,
        kind: file_type(attr.object.file_type()),
        perm: attr.meta.mode,
        nlink: attr.nlink,
        uid: attr.meta.owner.uid,
        gid: attr.meta.owner.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// What a SETATTR asks for; `now` is the time of the call.
#[derive(Default)]
pub(crate) struct Wish {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) atime: Option<TimeOrNow>,
    pub(crate) mtime: Option<TimeOrNow>,
}

impl From<Wish> for SetAttr {
    fn from(wish: Wish) -> Self {
        Self {
            mode: wish.mode.map(|mode| (mode & 0o7777) as u16),
            uid: wish.uid,
            gid: wish.gid,
            atime: wish.atime.map(time),
            mtime: wish.mtime.map(time),
            size: wish.size,
        }
    }
}

/// Times before 1970 become 1970.
fn time(time: TimeOrNow) -> Duration {
    let time = match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => SystemTime::now(),
    };
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
