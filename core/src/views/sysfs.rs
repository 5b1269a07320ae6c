//! What the kernel shows under /sys: interface revision, log mask, cluster stack; and /sys/o2cb, where
//! the first tools of the user heartbeat choose the method.

use alloc::vec::Vec;

use super::methods;
use crate::call::Call;
use crate::consumers::Consumers;
use crate::effect::Effects;
use crate::error::Refusal;
use crate::ids::ItemId;
use crate::logmask::Subject;
use crate::machines::Machines;
use crate::text::{chomp, line};
use crate::time::Now;
use crate::tree::{Attribute, Context, Kind, Made, Op, Outcome, Owner, Stored, Subsystem, Tree, files};

/// API revision of the node manager (`O2NM_API_VERSION`).
const INTERFACE_REVISION: u32 = 5;

/// The only stack plugin.
const PLUGIN: &str = "o2cb";

/// Version of the protocol between the file system and the stack.
const LOCKING_PROTOCOL: &str = "1.0";

files! {
    /// Files of fs/o2cb.
    enum O2cbFile {
        InterfaceRevision = Attribute::read_only("interface_revision"),
    }
}

files! {
    /// Files of o2cb, which the first tools of the user heartbeat use.
    enum OldO2cbFile {
        Mode = Attribute::read_write("heartbeat_mode"),
        AvailableModes = Attribute::read_only("heartbeat_available_modes"),
        InterfaceRevision = Attribute::read_only("interface_revision"),
    }
}

files! {
    /// Files of fs/ocfs2.
    enum Ocfs2File {
        ClusterStack = Attribute::read_write("cluster_stack"),
        ActivePlugin = Attribute::read_only("active_cluster_plugin"),
        RecoverCallback = Attribute::read_only("dlm_recover_callback_support"),
        LoadedPlugins = Attribute::read_only("loaded_cluster_plugins"),
        LockingProtocol = Attribute::read_only("max_locking_protocol"),
    }
}

static DIRECTORY: Kind = Kind { name: "directory", makes: false, links: false, attributes: &[] };
static O2CB: Kind = Kind { name: "o2cb", makes: false, links: false, attributes: O2cbFile::ATTRIBUTES };
static OLD_O2CB: Kind =
    Kind { name: "o2cb", makes: false, links: false, attributes: OldO2cbFile::ATTRIBUTES };
static OCFS2: Kind = Kind { name: "ocfs2", makes: false, links: false, attributes: Ocfs2File::ATTRIBUTES };
static LOGMASK: Kind = Kind { name: "logmask", makes: false, links: false, attributes: Subject::ATTRIBUTES };

/// The tree.
#[derive(Debug)]
pub(super) struct Sysfs {
    pub(super) tree: Tree,
    /// The four letters in fs/ocfs2/cluster_stack.
    cluster_stack: [u8; 4],
}

impl Sysfs {
    pub(super) fn new(owner: Owner, mainline: bool, now: Now) -> Self {
        let mut tree = Tree::new(owner, 4096, now);
        let o2cb = |kind| Made { kind, groups: Vec::from([("logmask", Made::plain(&LOGMASK))]) };
        let fs = Vec::from([("o2cb", o2cb(&O2CB)), ("ocfs2", Made::plain(&OCFS2))]);
        let old = o2cb(if mainline { &O2CB } else { &OLD_O2CB });
        for (name, made) in [("fs", Made { kind: &DIRECTORY, groups: fs }), ("o2cb", old)] {
            // A new tree has room for these names.
            let _ = tree.add(ItemId::ROOT, name, &made, now);
        }
        Self { tree, cluster_stack: *b"o2cb" }
    }

    pub(super) fn apply(
        &mut self,
        machines: &mut Machines,
        effects: &mut Effects,
        consumers: &Consumers,
        call: Call,
        op: &Op<'_>,
    ) -> Outcome {
        let cluster_stack = &mut self.cluster_stack;
        self.tree.apply(&mut Stack { machines, effects, consumers, cluster_stack }, call, op)
    }
}

/// The machines as the tree's subsystem.
struct Stack<'a> {
    machines: &'a mut Machines,
    effects: &'a mut Effects,
    consumers: &'a Consumers,
    cluster_stack: &'a mut [u8; 4],
}

impl Stack<'_> {
    fn show_old(&self, file: OldO2cbFile, out: &mut Vec<u8>) {
        match file {
            OldO2cbFile::Mode => methods::show_active(&self.machines.heartbeat, out),
            OldO2cbFile::AvailableModes => methods::show_available(&self.machines.heartbeat, out),
            OldO2cbFile::InterfaceRevision => line(out, INTERFACE_REVISION),
        }
    }

    fn store_old(&mut self, file: OldO2cbFile, data: &[u8]) -> Result<(), Refusal> {
        match file {
            OldO2cbFile::Mode => self.machines.select_method(data, self.effects),
            OldO2cbFile::AvailableModes | OldO2cbFile::InterfaceRevision => Err(Refusal::ReadOnly),
        }
    }

    /// In the kernel a mounted file system uses the stack. Here that is a consumer that holds a region.
    fn in_use(&self) -> bool {
        self.consumers.holds_any()
    }

    fn show_ocfs2(&self, file: Ocfs2File, out: &mut Vec<u8>) {
        match file {
            Ocfs2File::ClusterStack => {
                out.extend_from_slice(self.cluster_stack);
                out.push(b'\n');
            }
            Ocfs2File::ActivePlugin if self.in_use() => line(out, PLUGIN),
            Ocfs2File::ActivePlugin => {}
            Ocfs2File::RecoverCallback => line(out, 1),
            Ocfs2File::LoadedPlugins => line(out, PLUGIN),
            Ocfs2File::LockingProtocol => line(out, LOCKING_PROTOCOL),
        }
    }

    fn store_ocfs2(&mut self, file: Ocfs2File, data: &[u8]) -> Result<(), Refusal> {
        match file {
            Ocfs2File::ClusterStack => {
                let label = <[u8; 4]>::try_from(chomp(data)).map_err(|_| Refusal::BadStackLabel)?;
                if label.contains(&0) {
                    return Err(Refusal::BadStackLabel);
                }
                if label != *self.cluster_stack && self.in_use() {
                    return Err(Refusal::StackInUse);
                }
                *self.cluster_stack = label;
                Ok(())
            }
            Ocfs2File::ActivePlugin
            | Ocfs2File::RecoverCallback
            | Ocfs2File::LoadedPlugins
            | Ocfs2File::LockingProtocol => Err(Refusal::ReadOnly),
        }
    }
}

/// Nothing can be made or removed in sysfs.
impl Subsystem for Stack<'_> {
    fn show(
        &mut self,
        cx: &Context<'_>,
        item: ItemId,
        attribute: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let kind = cx.items.kind(item).ok_or(Refusal::Gone)?;
        if kind.is(&LOGMASK) {
            line(out, self.machines.logmask.word(Subject::at(attribute)?));
        } else if kind.is(&OCFS2) {
            self.show_ocfs2(Ocfs2File::at(attribute)?, out);
        } else if kind.is(&OLD_O2CB) {
            self.show_old(OldO2cbFile::at(attribute)?, out);
        } else {
            match O2cbFile::at(attribute)? {
                O2cbFile::InterfaceRevision => line(out, INTERFACE_REVISION),
            }
        }
        Ok(())
    }

    fn store(
        &mut self,
        cx: &Context<'_>,
        item: ItemId,
        attribute: usize,
        data: &[u8],
    ) -> Result<Stored, Refusal> {
        let kind = cx.items.kind(item).ok_or(Refusal::Gone)?;
        if kind.is(&LOGMASK) {
            self.machines.logmask.set(Subject::at(attribute)?, data)?;
        } else if kind.is(&OCFS2) {
            self.store_ocfs2(Ocfs2File::at(attribute)?, data)?;
        } else if kind.is(&OLD_O2CB) {
            self.store_old(OldO2cbFile::at(attribute)?, data)?;
        } else {
            return Err(Refusal::ReadOnly);
        }
        Ok(Stored::Done)
    }
}
