//! What the kernel may have cached, and how it is told that it is wrong.
//!
//! Nothing but the mount itself changes its tree, so entries and attributes may be cached for long; the few
//! changes that the kernel cannot see by itself are sent to it.

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

use crate::{convert, inode};

/// How long the kernel may keep what it was told. Sysfs and debugfs change behind its back.
pub(crate) fn time_to_live(view: View) -> Duration {
    match view {
        View::Config => Duration::from_secs(24 * 3600),
        View::Sysfs | View::Debugfs => Duration::ZERO,
    }
}

/// Inodes that the kernel knows, with what it was told last.
#[derive(Default)]
pub(crate) struct Known(Mutex<BTreeMap<u64, (Attr, u64)>>);

impl Known {
    /// A look-up told the kernel of this inode.
    pub(crate) fn looked_up(&self, attr: &Attr) {
        let mut known = self.0.lock();
        let entry = known.entry(inode::number(attr.object)).or_insert((*attr, 0));
        *entry = (*attr, entry.1 + 1);
    }

    /// The kernel forgot as many look-ups.
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

    fn of(&self, items: &[uo2cb_core::ItemId]) -> Vec<u64> {
        let known = self.0.lock();
        items.iter().flat_map(|item| known.range(inode::numbers_of(*item)).map(|(ino, _)| *ino)).collect()
    }
}

/// Word that needs the kernel's lock on a directory: sent from a thread of its own, because a call that
/// holds this lock may be waiting for us.
enum Word {
    Entry(u64, Vec<u8>),
    Inode(u64),
}

/// Tells the kernel what changed.
pub(crate) struct Teller {
    known: Arc<Known>,
    notifier: Notifier,
    later: Sender<Word>,
}

impl Teller {
    pub(crate) fn start(known: Arc<Known>, notifier: Notifier) -> std::io::Result<Self> {
        let (later, words) = channel();
        let thread = notifier.clone();
        std::thread::Builder::new().name("fuse-notify".into()).spawn(move || tell(&thread, &words))?;
        Ok(Self { known, notifier, later })
    }

    /// The tree changed. `own`: by a call through this mount, of which the kernel knows the rest.
    pub(crate) fn changed(&self, change: &Change, own: bool) {
        match change {
            Change::Added { parent, .. } if !own => {
                self.later(Word::Inode(inode::number(Object::Dir(*parent))))
            }
            Change::Added { .. } => {}
            Change::Removed { parent, name, items } => {
                // What rmdir or unlink was called on, their kernel counts as gone by itself.
                let itself = items.first().filter(|_| own).copied();
                // Attributes alone: this takes no lock, so it may be sent in the middle of a call.
                for ino in self.known.of(items) {
                    let object = inode::object(ino);
                    if itself.is_none_or(|item| object != Object::Dir(item) && object != Object::Link(item)) {
                        self.inode(ino);
                    }
                }
                if !own {
                    let parent = inode::number(Object::Dir(*parent));
                    self.later(Word::Entry(parent, name.as_bytes().to_vec()));
                    self.later(Word::Inode(parent));
                }
            }
            Change::Touched(object) if !own => self.inode(inode::number(*object)),
            Change::Touched(_) => {}
        }
    }

    /// The attributes of an inode are not what the kernel has.
    pub(crate) fn inode(&self, ino: u64) {
        // An inode that the kernel has forgotten, or a mount that is gone, needs no word.
        let _ = self.notifier.inval_inode(INodeNo(ino), -1, 0);
    }

    fn later(&self, word: Word) {
        // The thread ends only with this sender.
        let _ = self.later.send(word);
    }
}

fn tell(notifier: &Notifier, words: &Receiver<Word>) {
    for word in words {
        // As above: who has forgotten or gone needs no word.
        let _ = match word {
            Word::Entry(parent, name) => notifier.inval_entry(INodeNo(parent), OsStr::from_bytes(&name)),
            Word::Inode(ino) => notifier.inval_inode(INodeNo(ino), -1, 0),
        };
    }
}
