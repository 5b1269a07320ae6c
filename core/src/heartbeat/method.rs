//! What a heartbeat method supplies. A new one is one new file that implements [`Method`], and one line where the
//! methods of a stack are listed.

use alloc::vec::Vec;
use core::any::Any;
use core::fmt::Debug;
use core::time::Duration;

use super::event::{Cause, NodeName, Telling};
use super::layer::Layer;
use crate::call::Call;
use crate::effect::{Effect, Effects};
use crate::error::Refusal;
use crate::fence::Good;
use crate::ids::{ItemId, NodeNum, RequestId};
use crate::name::Name;
use crate::net::SendError;
use crate::nodeman::NodeManager;
use crate::time::Instant;
use crate::tree::{Kind, Stored};

/// What a method can reach in a call.
#[derive(Debug)]
pub struct Context<'a> {
    /// When, for whom, and under which name a later answer must be given.
    pub call: Call,
    /// The generic layer: regions of all methods, and who is up in them.
    pub layer: &'a mut Layer,
    /// The configured nodes.
    pub nodes: &'a NodeManager,
    /// What the method wants done by others.
    pub effects: &'a mut Effects,
}

impl Context<'_> {
    /// A node is in the group of a region from now on. True if that makes it up for the whole node.
    pub fn joined(&mut self, region: ItemId, node: NodeName, cause: Cause) -> bool {
        let edge = self.layer.join(region, node, cause, self.call.now.unix);
        edge.is_some_and(|edge| self.carry(edge))
    }

    /// A node is no longer in the group of a region. True if that makes it down for the whole node.
    pub fn left(&mut self, region: ItemId, node: NodeNum, cause: Cause) -> bool {
        let edge = self.layer.leave(region, node, cause, self.call.now.unix);
        edge.is_some_and(|edge| self.carry(edge))
    }

    fn carry(&mut self, edge: super::event::NodeEdge) -> bool {
        let whole = edge.whole;
        self.effects.push(Effect::Edge(edge));
        whole
    }
}

/// Lets the owner of a [`Method`] find it again by its type.
pub trait AsAny {
    /// As anything.
    fn as_any(&self) -> &dyn Any;

    /// As anything, to change it.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Any> AsAny for T {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// A way to find out who is alive, or who is in the group of a region.
pub trait Method: AsAny + Debug + Send {
    /// Its word in `heartbeat_mode`.
    fn name(&self) -> &'static str;

    /// Of which edges its consumers are told.
    fn telling(&self) -> Telling;

    /// Kind of `cluster/C/heartbeat`.
    fn group(&self) -> &'static Kind;

    /// Kind of a region in it.
    fn region(&self) -> &'static Kind;

    /// After how long without a beat a node of this method fences itself; zero: never. Nodes that do not agree on it do
    /// not talk to each other.
    fn heartbeat_timeout(&self) -> Duration {
        Duration::ZERO
    }

    /// Quorum listens to this method's edges of whole nodes; from the loss of a connection it waits this long until it
    /// decides. None: who is lost is for userspace to say.
    fn quorum_delay(&self) -> Option<Duration> {
        None
    }

    /// mkdir of a region; refusing is all that is to be done when it cannot be.
    fn make_region(&mut self, cx: Context<'_>, region: ItemId, name: &Name) -> Result<(), Refusal>;

    /// Whether rmdir of a region must wait. Asked when it is tried; [`Effect::Quiet`] ends the wait.
    fn detains(&mut self, _: ItemId) -> bool {
        false
    }

    /// rmdir of a region. It is still in the layer's list.
    fn drop_region(&mut self, cx: Context<'_>, region: ItemId);

    /// Text of a file of the group (`None`) or of a region; files are numbered as the kind declares them.
    fn show(&self, region: Option<ItemId>, file: usize, out: &mut Vec<u8>) -> Result<(), Refusal>;

    /// New value of a file of the group (`None`) or of a region.
    fn store(
        &mut self,
        cx: Context<'_>,
        region: Option<ItemId>,
        file: usize,
        data: &[u8],
    ) -> Result<Stored, Refusal>;

    /// A link from a region to a node of the same cluster. Asked only when the region's kind has links.
    fn allow_link(
        &mut self,
        cx: Context<'_>,
        region: ItemId,
        node: &Name,
        num: Option<NodeNum>,
    ) -> Result<(), Refusal>;

    /// Such a link goes away.
    fn drop_link(&mut self, cx: Context<'_>, region: ItemId, node: NodeName);

    /// A consumer holds a region: pin what must not be removed.
    fn hold(&mut self, cx: Context<'_>, region: ItemId) {
        cx.effects.push(Effect::Pin(region));
    }

    /// It lets go.
    fn release(&mut self, cx: Context<'_>, region: ItemId) {
        cx.effects.push(Effect::Unpin(region));
    }

    /// The caller of a waiting store has gone.
    fn cancel(&mut self, cx: Context<'_>, request: RequestId) {
        let _ = (cx, request);
    }

    /// A message of a kind that a region handles has come ([`Effect::Handle`]). Returns the status that is sent back.
    fn message(
        &mut self,
        cx: Context<'_>,
        region: ItemId,
        message: u16,
        from: NodeNum,
        payload: &[u8],
    ) -> i32 {
        let _ = (cx, region, message, from, payload);
        0
    }

    /// A message that a region sent ([`Effect::Send`]) has been answered, or will not be.
    fn answered(
        &mut self,
        cx: Context<'_>,
        region: ItemId,
        message: u16,
        to: NodeNum,
        result: Result<i32, SendError>,
    ) {
        let _ = (cx, region, message, to, result);
    }

    /// There is no local node any more, or the program ends: every region stops, cleanly.
    fn stop_all(&mut self, cx: Context<'_>) {
        let _ = cx;
    }

    /// Is a region still about to stop?
    fn stopping(&self) -> bool {
        false
    }

    /// Time has passed.
    fn timeout(&mut self, cx: Context<'_>) {
        let _ = cx;
    }

    /// When [`timeout`](Self::timeout) is wanted next.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// Until when this node proves that it lives by what it has done so far. None: others do not count on it, at least
    /// not for anything that this method does.
    fn good(&self) -> Option<Good> {
        None
    }

    /// This node goes at once: nothing more is written.
    fn stop_uncleanly(&mut self, effects: &mut Effects) {
        let _ = effects;
    }
}
