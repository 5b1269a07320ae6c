//! Mounting a view on a directory that is open, and its end. What is mounted is known by the mount's id, never by a
//! path, which may lead elsewhere a moment later.

mod helper;
mod kernel;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use fuser::{Session, SessionACL};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, readlinkat, statx};
use rustix::io::Errno;
use uo2cb_core::View;
use uo2cb_core::tree::Change;

use crate::cache::Invalidator;
use crate::caller::{MountId, Resolver};
use crate::front::Front;
use crate::mounts::{Device, Id, Mount, Mounts, SOURCE};
use crate::service::Service;
use crate::state::MountState;

pub use helper::fusermount;

/// How a view is mounted.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Users other than the one who mounts may enter (`allow_other`).
    pub allow_other: bool,
}

/// A mounted view. Dropping it unmounts.
pub struct Mounted {
    path: PathBuf,
    id: Id,
    device: Device,
    view: View,
    invalidator: Arc<Invalidator>,
    state: Arc<MountState>,
    /// The connection has ended: a mount that has its id or device from now on is another's.
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Mounted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mounted").field("path", &self.path).field("view", &self.view).finish_non_exhaustive()
    }
}

impl Mounted {
    /// Where it was mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which mount it is.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Its device number: the minor one is the name of its FUSE connection.
    pub fn device(&self) -> Device {
        self.device
    }

    /// How many requests of the kernel this mount has served; what it forgets is not counted.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// The tree changed: invalidates what the kernel caches of it. `own`: through a call of this very mount. Never
    /// blocks.
    pub fn changed(&self, change: &Change, own: bool) {
        // The other views are never cached.
        if self.view == View::Config {
            self.invalidator.changed(change, own);
        }
    }

    /// Takes this mount away, wherever it hangs by now, and no other; at once for those who come, later for those in
    /// it. Nothing is done where it is gone already.
    ///
    /// # Errors
    /// `EBUSY` while another mount hides it, and those of umount(2) and of fusermount3.
    pub fn unmount(&self) -> io::Result<()> {
        if self.over.load(Ordering::Acquire) { Ok(()) } else { unmount(self.id) }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whoever wants to know of a failure has called it before.
        let _ = self.unmount();
        // A detached mount may live on with its users: its thread is not waited for.
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            let _ = thread.join();
        }
    }
}

/// Takes away the mount with this id, and no other; see [`Mounted::unmount`].
///
/// # Errors
/// `EBUSY` while another mount hides it, and those of umount(2) and of fusermount3.
pub fn unmount(id: Id) -> io::Result<()> {
    let mounts = Mounts::read()?;
    let Some(mount) = mounts.get(id) else { return Ok(()) };
    // Also an unmount by descriptor takes what is on top.
    if mounts.cover(mount).is_some() {
        return Err(Errno::BUSY.into());
    }
    let root = openat(CWD, &mount.point, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if Id::of(&root)? != id {
        return Err(Errno::BUSY.into());
    }
    match kernel::detach(&root) {
        Ok(()) => Ok(()),
        Err(Errno::PERM) => {
            drop(root);
            helper::detach(&mount.point)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Why a mount is not served any more: `None` when it is gone, whoever ended it; else what failed in here.
pub type End = Option<io::Error>;

/// Mounts a view on an existing directory; see [`mount_on`].
///
/// # Errors
/// Those of opening the directory, and of [`mount_on`].
pub fn mount(
    dir: &Path,
    view: View,
    service: Arc<dyn Service>,
    options: &Options,
    ended: Box<dyn FnOnce(End) + Send>,
) -> io::Result<Mounted> {
    let dir = openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    mount_on(dir.as_fd(), view, service, options, ended)
}

/// Mounts a view on the directory that is open (`O_PATH` will do), whatever its name leads to by now. `ended` is called
/// once, when it is not served any more.
///
/// # Errors
/// Those of mount(2), and of fusermount3 where that is needed: then the text is its own. `EBUSY` where another mount
/// came first. Nothing is left mounted then.
pub fn mount_on(
    dir: BorrowedFd<'_>,
    view: View,
    service: Arc<dyn Service>,
    options: &Options,
    ended: Box<dyn FnOnce(End) + Send>,
) -> io::Result<Mounted> {
    let (fuse, id, mount) = attach(dir, options, &*service)?;
    let serve = || -> io::Result<Mounted> {
        let front = Front::new(view, service.clone());
        let (state, targets) = (front.state.clone(), front.targets.clone());
        let acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
        let session = Session::from_fd(front, fuse, acl, fuser::Config::default())?;
        let invalidator = Arc::new(Invalidator::start(state.known.clone(), session.notifier(), &*service)?);
        // Nothing of this asks the mount, which is not served yet. Both are new, so neither can be set already.
        let _ = state.invalidator.set(invalidator.clone());
        let _ = targets.resolver.set(Resolver::new(MountId::of(&mount.point)?)?);
        let over = Arc::new(AtomicBool::new(false));
        let done = over.clone();
        let served = state.clone();
        let run = move || {
            let result = session.run();
            done.store(true, Ordering::Release);
            // Whatever ends it from outside is followed by the call that says so.
            ended(if served.over.load(Ordering::SeqCst) { None } else { result.err() });
        };
        let thread = service.thread(&format!("fuse-{view:?}").to_lowercase(), Box::new(run))?;
        let (path, device) = (mount.point.clone(), mount.device);
        let mounted = Mounted { path, id, device, view, invalidator, state, over, thread: Some(thread) };
        // It has a thread, and that has its memory: asked once, it answers. Else it is unmounted here.
        let how = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(CWD, &mounted.path, how, Mode::empty())?;
        statx(&root, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS)?;
        Ok(mounted)
    };
    serve().inspect_err(|_| drop(unmount(id)))
}

/// A connection that is mounted on the directory and nowhere else.
fn attach(dir: BorrowedFd<'_>, options: &Options, service: &dyn Service) -> io::Result<(OwnedFd, Id, Mount)> {
    let under = Id::of(dir)?;
    let before = Mounts::read()?;
    let (fuse, known) = match kernel::attach(dir, options)? {
        Some(attached) => attached,
        // It may have mounted before it failed.
        None => (helper::attach(dir, options).inspect_err(|_| detach_new(&before, service))?, None),
    };
    let after = match Mounts::read() {
        Ok(after) => after,
        Err(error) => {
            // Also frees a descriptor, which may be what was missing.
            drop(fuse);
            match known {
                Some(id) => drop(unmount(id)),
                None => detach_new(&before, service),
            }
            return Err(error);
        }
    };
    let found = match known {
        Some(id) => after.get(id).cloned().map(|mount| (id, mount)),
        None => new_on(dir, under, &before, &after),
    };
    match found {
        Some((id, mount)) if mount.parent == under.shown() => Ok((fuse, id, mount)),
        // On top of a mount that came first.
        Some((id, _)) => {
            unmount(id)?;
            Err(Errno::BUSY.into())
        }
        None => {
            // The connection ends, by which the mount is known that landed elsewhere.
            drop(fuse);
            detach_new(&before, service);
            Err(io::Error::other("the directory was replaced while it was being mounted on"))
        }
    }
}

/// How long a mount may take to show that somebody serves it.
const SERVED: Duration = Duration::from_secs(3);

/// Takes away the mounts of ours that have come since, and that nobody serves.
fn detach_new(before: &Mounts, service: &dyn Service) {
    // Without the table they stay until the next one mounts there, who takes away what is dead.
    let Ok(after) = Mounts::read() else { return };
    for mount in after.iter().filter(|mount| mount.ours && !before.iter().any(|old| old == *mount)) {
        let (mount, (told, answer)) = (mount.clone(), channel());
        // Another daemon may have mounted meanwhile, and that one may not answer.
        let ask = move || told.send(dead(&mount)).unwrap_or_default();
        if service.thread("mount", Box::new(ask)).is_err() {
            continue;
        }
        if let Ok(Some(id)) = answer.recv_timeout(SERVED) {
            let _ = unmount(id);
        }
    }
}

/// The mount that has come to stand on the directory.
fn new_on(dir: BorrowedFd<'_>, under: Id, before: &Mounts, after: &Mounts) -> Option<(Id, Mount)> {
    let place = readlinkat(CWD, kernel::path_of(dir), Vec::new()).ok()?;
    let place = Path::new(std::ffi::OsStr::from_bytes(place.as_bytes()));
    let mount = after.iter().find(|mount| {
        mount.ours
            && mount.parent == under.shown()
            && mount.point == place
            && !before.iter().any(|old| old == *mount)
    })?;
    let root =
        openat(CWD, &mount.point, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let id = Id::of(&root).ok()?;
    (id.shown() == mount.id).then(|| (id, mount.clone()))
}

/// The id of a mount whose connection has ended.
fn dead(mount: &Mount) -> Option<Id> {
    let root =
        openat(CWD, &mount.point, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let id = Id::of(&root).ok().filter(|id| id.shown() == mount.id)?;
    has_lost_its_server(root.as_fd()).then_some(id)
}

/// Has the mount on which this descriptor stands lost its server? Asks that one, so it waits for one that is alive but
/// does not answer.
pub fn has_lost_its_server(root: BorrowedFd<'_>) -> bool {
    let how = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    // The kernel may go on showing attributes that it remembers, so it is made to ask. A server that ends meanwhile
    // aborts the question.
    matches!(statx(root, c"", how, StatxFlags::BASIC_STATS), Err(Errno::NOTCONN | Errno::CONNABORTED))
}
