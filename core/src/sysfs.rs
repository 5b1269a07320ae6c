//! What the kernel shows under /sys: interface revision, log mask, cluster stack; and the place of the first
//! user-heartbeat tools, /sys/o2cb, with the choice of methods.

use alloc::vec::Vec;

use crate::error::Refusal;
use crate::heartbeat::Scope;
use crate::ids::ItemId;
use crate::o2cb::Stack;
use crate::text::{chomp, line};
use crate::time::Now;
use crate::tree::{Attribute, Kind, Made, Tree};

/// API revision of the node manager (`O2NM_API_VERSION`).
const INTERFACE_REVISION: u32 = 5;

static DIRECTORY: Kind = Kind { name: "directory", makes: false, links: false, attributes: &[] };
static O2CB: Kind = Kind {
    name: "o2cb",
    makes: false,
    links: false,
    attributes: &[Attribute::read_only("interface_revision")],
};
static OLD_O2CB: Kind = Kind {
    name: "o2cb",
    makes: false,
    links: false,
    attributes: &[
        Attribute::read_write("heartbeat_mode"),
        Attribute::read_only("heartbeat_available_modes"),
        Attribute::read_only("interface_revision"),
    ],
};
static OCFS2: Kind = Kind {
    name: "ocfs2",
    makes: false,
    links: false,
    attributes: &[
        Attribute::read_write("cluster_stack"),
        Attribute::read_only("active_cluster_plugin"),
        Attribute::read_only("dlm_recover_callback_support"),
        Attribute::read_only("loaded_cluster_plugins"),
        Attribute::read_only("max_locking_protocol"),
    ],
};
static LOGMASK: Kind = Kind {
    name: "logmask",
    makes: false,
    links: false,
    attributes: &[
        Attribute::read_write("TCP"),
        Attribute::read_write("MSG"),
        Attribute::read_write("SOCKET"),
        Attribute::read_write("HEARTBEAT"),
        Attribute::read_write("HB_BIO"),
        Attribute::read_write("DLMFS"),
        Attribute::read_write("DLM"),
        Attribute::read_write("DLM_DOMAIN"),
        Attribute::read_write("DLM_THREAD"),
        Attribute::read_write("DLM_MASTER"),
        Attribute::read_write("DLM_RECOVERY"),
        Attribute::read_write("DLM_GLUE"),
        Attribute::read_write("VOTE"),
        Attribute::read_write("CONN"),
        Attribute::read_write("QUORUM"),
        Attribute::read_write("BASTS"),
        Attribute::read_write("CLUSTER"),
        Attribute::read_write("ERROR"),
        Attribute::read_write("NOTICE"),
        Attribute::read_write("KTHREAD"),
    ],
};

/// The stack that runs: the only plugin there is.
const PLUGIN: &str = "o2cb";
/// Version of the protocol between the file system and the stack.
const LOCKING_PROTOCOL: &str = "1.0";

/// The four letters in /sys/fs/ocfs2/cluster_stack.
#[derive(Debug)]
pub(crate) struct ClusterStack([u8; 4]);

impl Default for ClusterStack {
    fn default() -> Self {
        Self(*b"o2cb")
    }
}

/// Fills the view.
pub(crate) fn build(tree: &mut Tree, mainline: bool, now: Now) -> Result<(), Refusal> {
    let o2cb = |kind| Made { kind, groups: Vec::from([("logmask", Made::plain(&LOGMASK))]) };
    let fs = Vec::from([("o2cb", o2cb(&O2CB)), ("ocfs2", Made::plain(&OCFS2))]);
    tree.add(ItemId::ROOT, "fs", &Made { kind: &DIRECTORY, groups: fs }, now)?;
    let old = if mainline { &O2CB } else { &OLD_O2CB };
    tree.add(ItemId::ROOT, "o2cb", &o2cb(old), now)?;
    Ok(())
}

/// Whether a directory of this kind is answered for here.
pub(crate) fn owns(kind: &'static Kind) -> bool {
    [&O2CB, &OLD_O2CB, &OCFS2, &LOGMASK].into_iter().any(|ours| kind.is(ours))
}

pub(crate) fn show(
    stack: &Stack,
    kind: &'static Kind,
    attribute: usize,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    if kind.is(&LOGMASK) {
        line(out, stack.logmask.word(attribute));
    } else if kind.is(&OCFS2) {
        match attribute {
            0 => {
                out.extend_from_slice(&stack.cluster_stack.0);
                out.push(b'\n');
            }
            1 if in_use(stack) => line(out, PLUGIN),
            1 => {}
            2 => line(out, 1),
            3 => line(out, PLUGIN),
            _ => line(out, LOCKING_PROTOCOL),
        }
    } else if kind.is(&OLD_O2CB) && attribute < 2 {
        stack.show_modes(attribute, out);
    } else {
        line(out, INTERFACE_REVISION);
    }
    Ok(())
}

pub(crate) fn store(
    stack: &mut Stack,
    kind: &'static Kind,
    attribute: usize,
    data: &[u8],
) -> Result<(), Refusal> {
    if kind.is(&LOGMASK) {
        stack.logmask.set(attribute, data)
    } else if kind.is(&OCFS2) && attribute == 0 {
        let label = <[u8; 4]>::try_from(chomp(data)).map_err(|_| Refusal::BadStackLabel)?;
        if label.contains(&0) {
            return Err(Refusal::BadStackLabel);
        }
        if label != stack.cluster_stack.0 && in_use(stack) {
            return Err(Refusal::StackInUse);
        }
        stack.cluster_stack = ClusterStack(label);
        Ok(())
    } else if kind.is(&OLD_O2CB) && attribute == 0 {
        stack.select_method(data)
    } else {
        Err(Refusal::ReadOnly)
    }
}

/// In the kernel a mounted file system uses the stack; what stands for one here is a consumer that holds a region.
fn in_use(stack: &Stack) -> bool {
    let callbacks = stack.heartbeat.layer.delivery.callbacks();
    callbacks.iter().any(|callback| matches!(callback.scope, Scope::Region(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logmask::SUBJECTS;

    #[test]
    fn the_files_of_logmask_are_its_subjects() {
        assert!(LOGMASK.attributes.iter().map(|attribute| attribute.name).eq(SUBJECTS));
    }
}
