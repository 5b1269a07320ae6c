//! Mounting a view, and its end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use fuser::{MountOption, Session, SessionACL, SessionUnmounter};
use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use uo2cb_core::View;
use uo2cb_core::tree::Change;

use crate::cache::Invalidator;
use crate::caller::{MountId, Resolver};
use crate::front::Front;
use crate::service::Service;
use crate::state::MountState;

/// Name of every mount in /proc/self/mountinfo, by which a stale one is known.
pub const SOURCE: &str = "uo2cb";

/// How a view is mounted.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Users other than the one who mounts may enter (`allow_other`).
    pub allow_other: bool,
}

/// A mounted view. Dropping it unmounts.
pub struct Mounted {
    path: PathBuf,
    view: View,
    invalidator: Arc<Invalidator>,
    state: Arc<MountState>,
    unmounter: Mutex<SessionUnmounter>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Mounted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mounted").field("path", &self.path).field("view", &self.view).finish_non_exhaustive()
    }
}

impl Mounted {
    /// Where.
    pub fn path(&self) -> &Path {
        &self.path
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

    /// Takes the mount away, also when somebody still uses it (then nobody can enter it any more).
    fn unmount(&self) {
        if self.unmounter.lock().unmount().is_err() {
            // Busy: out of sight at once, gone with its last user.
            let _ = rustix::mount::unmount(&self.path, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.unmount();
        // A detached mount may live on with its users: its thread is not waited for.
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            let _ = thread.join();
        }
    }
}

/// Why a mount is not served any more: `None` when it is gone, whoever ended it; else what failed in here.
pub type End = Option<io::Error>;

/// Mounts a view on an existing directory. `ended` is called once, when it is not served any more.
///
/// # Errors
/// Those of mount(2), and of fusermount3 where that is needed: then the text is its own.
pub fn mount(
    dir: &Path,
    view: View,
    service: Arc<dyn Service>,
    options: &Options,
    ended: Box<dyn FnOnce(End) + Send>,
) -> io::Result<Mounted> {
    let path = dir.canonicalize()?;
    let front = Front::new(view, service.clone());
    let (state, targets) = (front.state.clone(), front.targets.clone());
    let mut session = Session::new(front, &path, &config(options))?;
    let invalidator = Arc::new(Invalidator::start(state.known.clone(), session.notifier(), &*service)?);
    // Nothing of this asks the mount, which is not served yet. Both are new, so neither can be set already.
    let _ = state.invalidator.set(invalidator.clone());
    let _ = targets.resolver.set(Resolver::new(MountId::of(&path)?)?);
    let unmounter = Mutex::new(session.unmount_callable());
    let served = state.clone();
    let serve = move || {
        let result = session.run();
        // Whatever ends it from outside is followed by the call that says so.
        ended(if served.over.load(Ordering::SeqCst) { None } else { result.err() });
    };
    let thread = service.thread(&format!("fuse-{view:?}").to_lowercase(), Box::new(serve))?;
    let mounted = Mounted { path, view, invalidator, state, unmounter, thread: Some(thread) };
    // It has a thread, and that has its memory: asked once, it answers. Else it is unmounted here.
    statx(CWD, &mounted.path, AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS)?;
    Ok(mounted)
}

fn config(options: &Options) -> fuser::Config {
    let mut config = fuser::Config::default();
    config.mount_options = vec![
        MountOption::FSName(SOURCE.into()),
        MountOption::Subtype(SOURCE.into()),
        MountOption::DefaultPermissions,
    ];
    if rustix::process::geteuid().is_root() {
        // As the kernel's own mount: fusermount3 allows neither to others.
        config.mount_options.extend([MountOption::Dev, MountOption::Suid]);
    }
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config
}
