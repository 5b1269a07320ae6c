//! What a heartbeat method supplies. A new one is one new file that implements [`Method`].

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::time::Duration;

use super::disk::RegionSets;
use super::disk::{DiskNote, DiskRequest, DiskResult};
use super::event::NodeName;
use super::layer::Layer;
use crate::error::Refusal;
use crate::fence::FenceReason;
use crate::ids::{Caller, ItemId, NodeNum, NodeSet, RequestId};
use crate::name::Name;
use crate::nodeman::NodeManager;
use crate::status::DiskStatus;
use crate::time::{Instant, Now};
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
    /// A request to a region's disk, for the driver.
    Disk(ItemId, DiskRequest),
    /// End a store that waits.
    FinishStore {
        /// The store.
        request: RequestId,
        /// Its result.
        result: Result<(), Refusal>,
    },
    /// The answer to this removal must wait for [`Want::Stopped`].
    Stopping(RequestId),
    /// It need not wait any longer.
    Stopped(RequestId),
    /// Somebody depends on an item.
    Pin(ItemId),
    /// No longer.
    Unpin(ItemId),
    /// This node must go.
    Fence(FenceReason),
    /// Something about a region for the log.
    Note {
        /// The region's name.
        region: Name,
        /// Its device's name.
        device: String,
        /// What.
        note: DiskNote,
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
    fn make_region(&mut self, at: Surroundings<'_>, region: ItemId) -> Result<(), Refusal>;

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

    /// Sets of regions, for debugfs.
    fn region_sets(&self) -> RegionSets {
        RegionSets::default()
    }

    /// The device of a region, if it beats on one.
    fn disk_status(&self, region: ItemId) -> Option<DiskStatus> {
        let _ = region;
        None
    }

    /// Time since the last good beat of a region; zero before the first, and where nothing beats.
    fn elapsed(&self, region: ItemId, now: Instant) -> Duration {
        let _ = (region, now);
        Duration::ZERO
    }

    /// A consumer holds a region: pin what must not be removed.
    fn hold(&mut self, at: Surroundings<'_>, region: ItemId) {
        at.wants.push(Want::Pin(region));
    }

    /// It lets go.
    fn release(&mut self, at: Surroundings<'_>, region: ItemId) {
        at.wants.push(Want::Unpin(region));
    }

    /// A request to a disk has ended.
    fn disk(&mut self, at: Surroundings<'_>, region: ItemId, result: DiskResult<'_>) {
        let _ = (at, region, result);
    }

    /// The caller of a waiting store has gone.
    fn cancel(&mut self, at: Surroundings<'_>, request: RequestId) {
        let _ = (at, request);
    }

    /// Is the region pinned by rules of the method's own? None: only by who holds it.
    fn pinned(&self, region: ItemId) -> Option<bool> {
        let _ = region;
        None
    }

    /// There is no local node any more, or the program ends: every region stops, cleanly.
    fn stop_all(&mut self, at: Surroundings<'_>) {
        let _ = at;
    }

    /// Is a region still about to stop?
    fn stopping(&self) -> bool {
        false
    }

    /// Time has passed.
    fn timeout(&mut self, at: Surroundings<'_>) {
        let _ = at;
    }

    /// When [`timeout`](Self::timeout) is wanted next.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// This node goes at once: nothing more is written.
    fn stop_uncleanly(&mut self, wants: &mut Vec<Want>) {
        let _ = wants;
    }
}
