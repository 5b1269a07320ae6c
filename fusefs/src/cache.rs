//! What the kernel may have cached, and how that is invalidated.
//!
//! Nothing but the mount itself changes its tree, so entries and attributes may be cached for long; of the few changes
//! that the kernel cannot see by itself it is notified.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use fuser::{INodeNo, Notifier};
use parking_lot::Mutex;
use uo2cb_core::View;
use uo2cb_core::tree::{Attr, Change, Object, SetAttr};

use crate::service::Service;
use crate::{convert, inode};

/// How long the kernel may cache an answer. Sysfs and debugfs change without calls on their mounts.
pub(crate) fn time_to_live(view: View) -> Duration {
    match view {
        View::Config => Duration::from_secs(24 * 3600),
        View::Sysfs | View::Debugfs => Duration::ZERO,
    }
}

/// Inodes that the kernel knows: the attributes that it got last, and how many look-ups it has not forgotten.
#[derive(Default)]
pub(crate) struct Known(Mutex<BTreeMap<u64, (Attr, u64)>>);

impl Known {
    /// An answer to a look-up goes to the kernel.
    pub(crate) fn looked_up(&self, attr: &Attr) {
        let mut known = self.0.lock();
        let entry = known.entry(inode::number(attr.object)).or_insert((*attr, 0));
        *entry = (*attr, entry.1 + 1);
    }

    /// The kernel has forgotten as many look-ups.
    pub(crate) fn forget(&self, ino: u64, lookups: u64) {
        let mut known = self.0.lock();
        if let Some((_, count)) = known.get_mut(&ino) {
            *count = count.saturating_sub(lookups);
            if *count == 0 {
                known.remove(&ino);
            }
        }
    }

    /// What a removed object, still open somewhere, showed last: without a link now.
    pub(crate) fn removed(&self, ino: u64) -> Option<Attr> {
        let (attr, _) = *self.0.lock().get(&ino)?;
        Some(Attr { nlink: 0, ..attr })
    }

    /// chmod and its like on such an object.
    pub(crate) fn change_removed(&self, ino: u64, change: SetAttr) -> Option<Attr> {
        let mut known = self.0.lock();
        let (attr, _) = known.get_mut(&ino)?;
        change.apply(&mut attr.meta, convert::now());
        Some(Attr { nlink: 0, ..*attr })
    }

    /// Those of these items and their attributes.
    fn of(&self, items: &[uo2cb_core::ItemId]) -> Vec<u64> {
        let known = self.0.lock();
        items.iter().flat_map(|item| known.range(inode::numbers_of(*item)).map(|(ino, _)| *ino)).collect()
    }
}

/// A notification for which the kernel locks a directory. A thread of its own sends it, because a call that holds this
/// lock may be waiting for us.
enum Notification {
    Entry(u64, Vec<u8>),
    Inode(u64),
}

/// Notifies the kernel of changes.
pub(crate) struct Invalidator {
    known: Arc<Known>,
    notifier: Notifier,
    later: Sender<Notification>,
}

impl Invalidator {
    pub(crate) fn start(
        known: Arc<Known>,
        notifier: Notifier,
        service: &dyn Service,
    ) -> std::io::Result<Self> {
        let (later, queue) = channel();
        let thread = notifier.clone();
        service.thread("fuse-notify", Box::new(move || send(&thread, &queue)))?;
        Ok(Self { known, notifier, later })
    }

    /// The tree changed. `own`: by a call through this mount, whose direct effects the kernel sees by itself.
    pub(crate) fn changed(&self, change: &Change, own: bool) {
        match change {
            Change::Added { parent, .. } if !own => {
                self.later(Notification::Inode(inode::number(Object::Dir(*parent))))
            }
            Change::Added { .. } => {}
            Change::Removed { parent, name, items } => {
                // The kernel drops what its own rmdir or unlink was called on by itself.
                let itself = items.first().filter(|_| own).copied();
                // Of inodes alone: for this the kernel takes no lock, so it may be sent in the middle of a call.
                for ino in self.known.of(items) {
                    let object = inode::object(ino);
                    if itself.is_none_or(|item| object != Object::Dir(item) && object != Object::Link(item)) {
                        self.inode(ino);
                    }
                }
                if !own {
                    let parent = inode::number(Object::Dir(*parent));
                    self.later(Notification::Entry(parent, name.as_bytes().to_vec()));
                    self.later(Notification::Inode(parent));
                }
            }
            Change::Touched(object) if !own => self.inode(inode::number(*object)),
            Change::Touched(_) => {}
        }
    }

    /// Invalidates the attributes of an inode.
    pub(crate) fn inode(&self, ino: u64) {
        // Fails when the kernel has forgotten the inode, or the mount is gone: then nothing is cached.
        let _ = self.notifier.inval_inode(INodeNo(ino), -1, 0);
    }

    fn later(&self, notification: Notification) {
        // The thread ends only with this sender.
        let _ = self.later.send(notification);
    }
}

fn send(notifier: &Notifier, queue: &Receiver<Notification>) {
    for notification in queue {
        // As above.
        let _ = match notification {
            Notification::Entry(parent, name) => {
                notifier.inval_entry(INodeNo(parent), OsStr::from_bytes(&name))
            }
            Notification::Inode(ino) => notifier.inval_inode(INodeNo(ino), -1, 0),
        };
    }
}
