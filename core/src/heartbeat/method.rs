//! What a heartbeat method supplies. A new one is one new file that implements [`Method`].

use alloc::vec::Vec;
use core::fmt::Debug;
use core::time::Duration;

use super::event::NodeName;
use super::layer::Layer;
use crate::error::Refusal;
use crate::ids::{Caller, ItemId, NodeNum, NodeSet, RequestId};
use crate::name::Name;
use crate::nodeman::NodeManager;
use crate::time::Now;
use crate::tree::{Kind, Stored};

/// The surroundings of a call on a method.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The generic layer: regions of all methods, and where events go.
    pub layer: &'a mut Layer,
    /// The configured nodes.
    pub nodes: &'a NodeManager,
    /// The time.
    pub now: Now,
    /// Whose call it is.
    pub caller: Caller,
    /// Under which name a later answer must be given.
    pub request: RequestId,
    /// What the method wants done by others.
    pub wants: &'a mut Vec<Want>,
}

/// What a method asks of the rest of the stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Want {
    /// Look at the writer's descriptor as a device for this region; the store under `request` waits.
    OpenDevice {
        /// The waiting store.
        request: RequestId,
        /// The region.
        region: ItemId,
        /// Descriptor number in the writer.
        descriptor: i32,
    },
    /// `heartbeat/mode` was set to this word.
    ModeSet(&'static str),
}

/// A way to find out who is alive, or who is in the group.
pub trait Method: Debug + Send {
    /// Its word in `heartbeat_mode`.
    fn name(&self) -> &'static str;

    /// Kind of `cluster/C/heartbeat`.
    fn group(&self) -> &'static Kind;

    /// Kind of a region in it.
    fn region(&self) -> &'static Kind;

    /// mkdir of a region; refusing is all that is to be done when it cannot be.
    fn make_region(&mut self, at: Surroundings<'_>, region: ItemId, name: &Name) -> Result<(), Refusal>;

    /// rmdir of a region. It is still in the layer's list.
    fn drop_region(&mut self, at: Surroundings<'_>, region: ItemId);

    /// Text of a file of the group (`None`) or of a region.
    fn show(&self, region: Option<ItemId>, attribute: usize, out: &mut Vec<u8>) -> Result<(), Refusal>;

    /// New value of a file of the group (`None`) or of a region.
    fn store(
        &mut self,
        at: Surroundings<'_>,
        region: Option<ItemId>,
        attribute: usize,
        data: &[u8],
    ) -> Result<Stored, Refusal>;

    /// A link from a region to a node of the same cluster. Asked only when the region's kind has links.
    fn allow_link(
        &mut self,
        at: Surroundings<'_>,
        region: ItemId,
        node: &Name,
        num: Option<NodeNum>,
    ) -> Result<(), Refusal>;

    /// Such a link goes away.
    fn drop_link(&mut self, at: Surroundings<'_>, region: ItemId, node: NodeName);

    /// Who is up in a region; `None`: in any (`fill_node_map`).
    fn fill_node_map(&self, region: Option<ItemId>) -> NodeSet;

    /// Is the node up (`check_node_status`)?
    fn check_node_status(&self, region: Option<ItemId>, node: NodeNum) -> bool {
        self.fill_node_map(region).contains(node)
    }

    /// Since when (wall clock, since 1970) a node is up in a region.
    fn up_since(&self, region: ItemId, node: NodeNum) -> Option<Duration>;

    /// Number of a region among those that have one; 0 for all others.
    fn region_num(&self, region: ItemId) -> u32 {
        let _ = region;
        0
    }
}
