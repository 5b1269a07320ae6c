//! A file system that does nothing, on fuser: a fixed tree, constant answers, and the same words to the kernel's
//! caches as ours (times to live, flags of init and open, `default_permissions`). What remains is what FUSE itself
//! costs. nothing.c is the same on libfuse3.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, Session, WriteFlags,
};

const TTL: Duration = Duration::from_secs(24 * 3600);
/// Parent, name and number of each entry.
const TREE: [(u64, &str, u64); 10] = [
    (1, "cluster", 2),
    (2, "c", 3),
    (3, "heartbeat", 6),
    (3, "node", 4),
    (3, "fence_method", 9),
    (3, "reconnect_delay_ms", 10),
    (3, "keepalive_delay_ms", 11),
    (3, "idle_timeout_ms", 8),
    (4, "n1", 5),
    (6, "R", 7),
];
/// Numbers of what is made; like ours they never come again.
const MADE: u64 = 256;

struct Nothing {
    next: AtomicU64,
}

/// Mounts it and serves it until it is unmounted.
pub(crate) fn serve(dir: &Path) -> io::Result<()> {
    let mut config = fuser::Config::default();
    config.mount_options = vec![MountOption::FSName("nothing".into()), MountOption::DefaultPermissions];
    Session::new(Nothing { next: AtomicU64::new(MADE) }, dir, &config)?.spawn()?.join()
}

impl Nothing {
    fn made(&self, kind: FileType, reply: ReplyEntry) {
        let ino = self.next.fetch_add(1, Ordering::Relaxed);
        reply.entry(&TTL, &attr(ino, kind), Generation(0));
    }
}

fn attr(ino: u64, kind: FileType) -> FileAttr {
    let (perm, nlink, size) = match kind {
        FileType::Directory => (0o755, 2, 0),
        FileType::RegularFile => (0o644, 1, 4096),
        _ => (0o777, 1, 0),
    };
    FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn kind(ino: u64) -> FileType {
    if (8..12).contains(&ino) { FileType::RegularFile } else { FileType::Directory }
}

impl Filesystem for Nothing {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        let _ = config.set_max_write(64 * 1024);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match TREE.iter().find(|(dir, entry, _)| *dir == parent.0 && name == *entry) {
            Some((_, _, ino)) => reply.entry(&TTL, &attr(*ino, kind(*ino)), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &attr(ino.0, kind(ino.0)));
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        self.made(FileType::Directory, reply);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        self.made(FileType::Symlink, reply);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.ok();
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.ok();
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(1), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        reply.data(b"30000\n");
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(1), FopenFlags::empty());
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let dots = [(ino.0, ".", ino.0), (ino.0, "..", ino.0)];
        let here = dots.iter().chain(&TREE).filter(|(dir, ..)| *dir == ino.0);
        for (place, (_, name, entry)) in (1..).zip(here).skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            if reply.add(INodeNo(*entry), place, kind(*entry), name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, _: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        reply.ok();
    }

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: fuser::ReplyXattr) {
        reply.error(Errno::EOPNOTSUPP);
    }
}
