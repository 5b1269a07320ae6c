//! The calls of FUSE, translated: nothing is decided here.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use uo2cb_core::tree::{Answer, Forbidden, NoTarget, Object, Op, Tree};
use uo2cb_core::{Refusal, View};

use crate::convert::{self, caller, errno};
use crate::inode;
use crate::service::Service;
use crate::state::MountState;
use crate::target::Targets;

/// One mounted view.
pub(crate) struct Front {
    view: View,
    service: Arc<dyn Service>,
    pub(crate) state: Arc<MountState>,
    pub(crate) targets: Arc<Targets>,
}

impl Front {
    pub(crate) fn new(view: View, service: Arc<dyn Service>) -> Self {
        let targets = Arc::new(Targets::new(view, service.clone()));
        Self { view, service, state: Arc::new(MountState::new(view)), targets }
    }

    fn call(
        &self,
        request: &Request,
        op: Op<'_>,
        respond: impl FnOnce(&MountState, Result<Answer, Refusal>) + Send + 'static,
    ) {
        self.state.count();
        let state = self.state.clone();
        let respond = Box::new(move |result| respond(&state, result));
        self.service.call(self.view, caller(request), op, respond);
    }

    fn look<T: Default>(&self, look: impl Fn(&Tree) -> T) -> T {
        let mut seen = T::default();
        self.service.look(self.view, &mut |tree| seen = look(tree));
        seen
    }

    /// Answers from the tree as it is, before anything changes it: otherwise the kernel could cache an answer that is
    /// older than an invalidation that it has had.
    fn answer<R>(&self, reply: R, answer: impl FnOnce(&Tree, &MountState, R)) {
        let mut once = Some((reply, answer));
        self.service.look(self.view, &mut |tree| {
            if let Some((reply, answer)) = once.take() {
                answer(tree, &self.state, reply);
            }
        });
    }

    /// A call whose answer is a new entry.
    fn entry(&self, request: &Request, op: Op<'_>, reply: ReplyEntry) {
        self.call(request, op, move |state, result| new_entry(state, result, reply));
    }

    fn done(&self, request: &Request, op: Op<'_>, reply: ReplyEmpty) {
        self.call(request, op, move |_, result| match result {
            Ok(_) => reply.ok(),
            Err(refusal) => reply.error(errno(refusal)),
        });
    }

    fn forbidden(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        call: Forbidden,
        reply: ReplyEntry,
    ) {
        let op = Op::Forbidden { dir: inode::item(parent.0), name: name.as_bytes(), call };
        self.entry(request, op, reply);
    }
}

fn new_entry(state: &MountState, result: Result<Answer, Refusal>, reply: ReplyEntry) {
    match result {
        Ok(Answer::Attr(attr)) => {
            state.known.looked_up(&attr);
            reply.entry(&state.ttl, &state.file_attr(&attr), Generation(0));
        }
        Ok(_) => reply.error(Errno::EIO),
        Err(refusal) => reply.error(errno(refusal)),
    }
}

/// The part of a text that a read of `size` bytes at `offset` gets.
fn part(text: &[u8], offset: u64, size: u32) -> &[u8] {
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
    let to = from.saturating_add(size as usize).min(text.len());
    &text[from..to]
}

impl Filesystem for Front {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Not FUSE_ATOMIC_O_TRUNC, after which the kernel takes a file for empty, and lets no other write begin
        // behind its end while one goes on. Old kernels lack this one, at the price of waiting.
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        // One store is at most a page; what is longer is cut in any case.
        let _ = config.set_max_write(64 * 1024);
        Ok(())
    }

    fn destroy(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.state.count();
        self.answer(reply, |tree, state, reply| match tree.find(inode::item(parent.0), name.as_bytes()) {
            Ok(attr) => {
                state.known.looked_up(&attr);
                reply.entry(&state.ttl, &state.file_attr(&attr), Generation(0));
            }
            Err(refusal) => reply.error(errno(refusal)),
        });
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        self.state.known.forget(ino.0, lookups);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.state.count();
        self.answer(reply, |tree, state, reply| {
            let attr = tree.attr(inode::object(ino.0)).or_else(|refusal| match refusal {
                Refusal::Gone => state.known.removed(ino.0).ok_or(refusal),
                _ => Err(refusal),
            });
            match attr {
                Ok(attr) => reply.attr(&state.ttl, &state.file_attr(&attr)),
                Err(refusal) => reply.error(errno(refusal)),
            }
        });
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = convert::set_attr(mode, uid, gid, size, atime, mtime);
        self.call(request, Op::SetAttr(inode::object(ino.0), change), move |state, result| {
            let removed = |refusal| match refusal {
                Refusal::Gone => state.known.change_removed(ino.0, change).map(Answer::Attr).ok_or(refusal),
                _ => Err(refusal),
            };
            match result.or_else(removed) {
                Ok(Answer::Attr(attr)) => {
                    // A write beyond the size would hold up others.
                    if let Some(size) = size.filter(|_| !attr.waits) {
                        state.handles.set_size(ino.0, size);
                    }
                    reply.attr(&state.ttl, &state.file_attr(&attr));
                }
                Ok(_) => reply.error(Errno::EIO),
                Err(refusal) => reply.error(errno(refusal)),
            }
        });
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        self.call(request, Op::Readlink(inode::item(ino.0)), move |_, result| match result {
            Ok(Answer::Text(body)) => reply.data(&body),
            Ok(_) => reply.error(Errno::EIO),
            Err(refusal) => reply.error(errno(refusal)),
        });
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        let regular = matches!(mode & libc::S_IFMT, 0 | libc::S_IFREG);
        let call = if regular { Forbidden::NewFile } else { Forbidden::SpecialFile };
        self.forbidden(request, parent, name, call, reply);
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        self.entry(request, Op::Mkdir { dir: inode::item(parent.0), name: name.as_bytes() }, reply);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.done(request, Op::Unlink { dir: inode::item(parent.0), name: name.as_bytes() }, reply);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.done(request, Op::Rmdir { dir: inode::item(parent.0), name: name.as_bytes() }, reply);
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        self.state.count();
        let (view, service, state) = (self.view, self.service.clone(), self.state.clone());
        let (caller, dir, name) = (caller(request), inode::item(parent.0), name.as_bytes().to_vec());
        // Perhaps later and elsewhere: looking for the target may take its time.
        self.targets.resolve(caller, target.as_os_str().as_bytes(), move |target| {
            let target = match &target {
                Ok(object) => Ok(*object),
                Err((refusal, detail)) => Err(NoTarget { refusal: *refusal, detail: Some(detail) }),
            };
            let respond = Box::new(move |result| new_entry(&state, result, reply));
            service.call(view, caller, Op::Symlink { dir, name: &name, target }, respond);
        });
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: INodeNo,
        _: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let dir = inode::item(parent.0);
        self.done(request, Op::Forbidden { dir, name: name.as_bytes(), call: Forbidden::Rename }, reply);
    }

    fn link(&self, request: &Request, _: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.forbidden(request, parent, name, Forbidden::HardLink, reply);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let dir = inode::item(parent.0);
        let op = Op::Forbidden { dir, name: name.as_bytes(), call: Forbidden::NewFile };
        self.call(request, op, move |_, result| {
            reply.error(result.err().map_or(Errno::EIO, errno));
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let Object::Attribute(item, attribute) = inode::object(ino.0) else {
            return reply.error(Errno::EISDIR);
        };
        let (read, write) = convert::access(flags.0);
        let direct = flags.0 & libc::O_DIRECT != 0;
        let opened = move |state: &MountState, result, reply: ReplyOpen| match result {
            // configfs has no direct I/O.
            Ok(_) if direct => reply.error(Errno::EINVAL),
            Ok(answer) => {
                let page = if let Answer::Text(text) = answer { Some(text.into()) } else { None };
                // Attributes are longer in stat than in read: only direct I/O believes the read. A write that waits
                // (to `dev`) must not hold up another, which is to be refused at once. Kernels before 6.2 do not know
                // the second flag, and hold it up.
                let flags = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES;
                reply.opened(FileHandle(state.handles.open_file(ino.0, page)), flags);
            }
            Err(refusal) => reply.error(errno(refusal)),
        };
        let op = match self.view {
            // In debugfs a file holds what there was to tell when it was opened, and may be opened in any way.
            View::Debugfs if read => Op::Show { item, attribute },
            View::Debugfs => Op::Stat(Object::Attribute(item, attribute)),
            View::Config | View::Sysfs => {
                // A look is enough where nothing is refused: only refusals go to the log.
                if self.look(|tree| tree.may_open(item, attribute, read, write).is_ok()) {
                    self.state.count();
                    return opened(&self.state, Ok(Answer::Done), reply);
                }
                Op::Open { item, attribute, read, write }
            }
        };
        self.call(request, op, move |state, result| opened(state, result, reply));
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if let Some(page) = self.state.handles.page(ino.0, handle.0) {
            self.state.count();
            if self.view != View::Debugfs {
                return reply.data(part(&page, offset, size));
            }
            return self.answer(reply, |tree, _, reply| match tree.attr(inode::object(ino.0)) {
                Ok(_) => reply.data(part(&page, offset, size)),
                // So says debugfs of a file that has been removed since.
                Err(_) => reply.error(Errno::EIO),
            });
        }
        let Object::Attribute(item, attribute) = inode::object(ino.0) else {
            return reply.error(Errno::EISDIR);
        };
        self.call(request, Op::Show { item, attribute }, move |state, result| match result {
            Ok(Answer::Text(text)) => {
                reply.data(part(&text, offset, size));
                state.handles.set_page(ino.0, handle.0, Some(text.into()));
            }
            Ok(_) => reply.error(Errno::EIO),
            Err(refusal) => reply.error(errno(refusal)),
        });
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        _: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let Object::Attribute(item, attribute) = inode::object(ino.0) else {
            return reply.error(Errno::EISDIR);
        };
        if self.view == View::Debugfs {
            self.state.count();
            return reply.error(Errno::EINVAL);
        }
        self.call(request, Op::Store { item, attribute, data }, move |state, result| {
            // Also after a refusal the next read shows what is there now.
            state.handles.set_page(ino.0, handle.0, None);
            match result {
                Ok(Answer::Stored(length)) => reply.written(u32::try_from(length).unwrap_or(u32::MAX)),
                Ok(_) => reply.error(Errno::EIO),
                Err(refusal) => reply.error(errno(refusal)),
            }
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        self.state.count();
        // Tells the kernel not to ask again.
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.state.count();
        if self.state.handles.close_file(ino.0, handle.0) {
            if let Some(invalidator) = self.state.invalidator.get() {
                invalidator.inode(ino.0);
            }
        }
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.state.count();
        reply.error(Errno::EINVAL);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.state.count();
        reply.error(Errno::EINVAL);
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.state.count();
        self.answer(reply, |tree, state, reply| match tree.attr(inode::object(ino.0)) {
            Ok(_) => reply.opened(FileHandle(state.handles.open_directory()), FopenFlags::empty()),
            Err(refusal) => reply.error(errno(refusal)),
        });
    }

    fn readdir(&self, _: &Request, ino: INodeNo, handle: FileHandle, offset: u64, reply: ReplyDirectory) {
        self.state.count();
        self.answer(reply, |tree, state, mut reply| {
            let add = |ino, behind, kind, name: &OsStr| reply.add(INodeNo(ino), behind, kind, name);
            let dir = inode::item(ino.0);
            match state.handles.read_directory(handle.0, |reading| reading.fill(tree, dir, offset, add)) {
                Ok(()) => reply.ok(),
                Err(refusal) => reply.error(errno(refusal)),
            }
        });
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.state.count();
        self.state.handles.close_directory(handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.state.count();
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        self.state.count();
        // Not ENOSYS, after which the kernel would have its own word for access lists.
        reply.error(Errno::EOPNOTSUPP);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, size: u32, reply: ReplyXattr) {
        self.state.count();
        if size == 0 { reply.size(0) } else { reply.data(&[]) }
    }
}
