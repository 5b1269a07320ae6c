//! The three trees as people see them: which kind of directory and which file belongs to which machine.
//!
//! - `config`: /sys/kernel/config; the only one that callers change.
//! - `sysfs`: what o2cb has in /sys.
//! - `debugfs`: what it has in /sys/kernel/debug.

mod config;
mod debugfs;
mod methods;
mod sysfs;

use self::config::Config;
use self::debugfs::Debugfs;
use self::sysfs::Sysfs;
use crate::call::Call;
use crate::consumers::Consumers;
use crate::effect::Effects;
use crate::ids::{ItemId, View};
use crate::machines::Machines;
use crate::time::Now;
use crate::tree::{Change, Op, Outcome, Owner, Tree};

/// The trees.
#[derive(Debug)]
pub(crate) struct Views {
    pub(crate) config: Config,
    sysfs: Sysfs,
    debugfs: Debugfs,
}

impl Views {
    /// The trees of a stack without a cluster.
    pub(crate) fn new(owner: Owner, mainline: bool, now: Now) -> Self {
        let mut views = Self {
            config: Config::new(owner, mainline, now),
            sysfs: Sysfs::new(owner, mainline, now),
            debugfs: Debugfs::new(owner, now),
        };
        // Nothing is cached yet.
        for (_, tree) in views.trees() {
            tree.take_changes();
        }
        views
    }

    /// A tree, read-only.
    pub(crate) fn tree(&self, view: View) -> &Tree {
        match view {
            View::Config => &self.config.tree,
            View::Sysfs => &self.sysfs.tree,
            View::Debugfs => &self.debugfs.tree,
        }
    }

    /// Executes a call on a tree.
    pub(crate) fn apply(
        &mut self,
        view: View,
        machines: &mut Machines,
        effects: &mut Effects,
        consumers: &Consumers,
        call: Call,
        op: &Op<'_>,
    ) -> Outcome {
        match view {
            View::Config => self.config.apply(machines, effects, call, op),
            View::Sysfs => self.sysfs.apply(machines, effects, consumers, call, op),
            View::Debugfs => self.debugfs.apply(machines, consumers, call, op),
        }
    }

    /// Adds the debugfs directory of a new region.
    pub(crate) fn region_made(&mut self, region: ItemId, name: &[u8], now: Now) {
        self.debugfs.add_region(region, name, now);
    }

    /// Removes the debugfs directory of a region.
    pub(crate) fn region_dropped(&mut self, region: ItemId, now: Now) {
        self.debugfs.remove_region(region, now);
    }

    /// What changed in the trees since the last call, one tree after the other.
    pub(crate) fn take_changes(&mut self, mut tell: impl FnMut(View, Change)) {
        for (view, tree) in self.trees() {
            tree.take_changes().into_iter().for_each(|change| tell(view, change));
        }
    }

    fn trees(&mut self) -> [(View, &mut Tree); 3] {
        [
            (View::Config, &mut self.config.tree),
            (View::Sysfs, &mut self.sysfs.tree),
            (View::Debugfs, &mut self.debugfs.tree),
        ]
    }
}
