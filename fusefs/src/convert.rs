//! Between the types of FUSE and those of the trees.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, INodeNo, Request, TimeOrNow};
use uo2cb_core::tree::{Attr, FileType, SetAttr, SetTime};
use uo2cb_core::{Caller, Refusal, Stamp};

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
    FileAttr {
        ino: INodeNo(inode::number(attr.object)),
        size: attr.size,
        blocks: 0,
        atime: system_time(attr.meta.atime),
        mtime: system_time(attr.meta.mtime),
        ctime: system_time(attr.meta.ctime),
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

/// What a SETATTR asks for.
pub(crate) fn set_attr(
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
    atime: Option<TimeOrNow>,
    mtime: Option<TimeOrNow>,
) -> SetAttr {
    let mode = mode.map(|mode| (mode & 0o7777) as u16);
    SetAttr { mode, uid, gid, atime: atime.map(time), mtime: mtime.map(time), size }
}

fn time(time: TimeOrNow) -> SetTime {
    match time {
        TimeOrNow::Now => SetTime::Now,
        TimeOrNow::SpecificTime(time) => SetTime::To(stamp(time)),
    }
}

fn system_time(stamp: Stamp) -> SystemTime {
    let whole = stamp.secs.unsigned_abs();
    let at = if stamp.secs < 0 {
        let at = UNIX_EPOCH.checked_sub(Duration::from_secs(whole));
        at.and_then(|at| at.checked_add(Duration::from_nanos(stamp.nanos.into())))
    } else {
        // One addition, as this is on the way of every answer.
        UNIX_EPOCH.checked_add(Duration::new(whole, stamp.nanos))
    };
    at.unwrap_or(UNIX_EPOCH)
}

/// The current time, for what the trees do not see.
pub(crate) fn now() -> Stamp {
    stamp(SystemTime::now())
}

fn stamp(time: SystemTime) -> Stamp {
    let before = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => return since.into(),
        Err(before) => before.duration(),
    };
    // Seconds round down, so that the nanoseconds are added.
    let up = before.subsec_nanos() > 0;
    let secs = i64::try_from(before.as_secs()).unwrap_or(i64::MAX).saturating_add(i64::from(up));
    Stamp { secs: -secs, nanos: if up { 1_000_000_000 - before.subsec_nanos() } else { 0 } }
}

/// May it be read, and written? Access mode 3 may be neither, as Linux has it.
pub(crate) fn access(flags: i32) -> (bool, bool) {
    match flags & libc::O_ACCMODE {
        libc::O_RDONLY => (true, false),
        libc::O_WRONLY => (false, true),
        libc::O_RDWR => (true, true),
        _ => (false, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamps_before_1970_survive() {
        for (secs, nanos) in [(0, 0), (-1, 0), (-1, 999_999_999), (-2, 1), (1, 5)] {
            let expected = Stamp { secs, nanos };
            assert_eq!(stamp(system_time(expected)), expected);
        }
    }
}
