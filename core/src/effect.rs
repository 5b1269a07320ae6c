//! What a machine asks of the rest of the stack: one vocabulary for all of them. The engine carries it out, in the
//! order in which it was asked for.

use alloc::vec::Vec;

use crate::error::Refusal;
use crate::fence::FenceReason;
use crate::heartbeat::event::NodeEdge;
use crate::ids::{ItemId, NodeNum, RequestId};
use crate::message::Action;
use crate::net::wire::Kind;
use crate::net::{ConnectionEdge, Incoming, Outgoing, SendError, User};
use crate::note::Note;

/// Something that only the engine can do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// For the driver, as it is.
    Do(Action),
    /// For the log, if `logmask` shows its subject.
    Note(Note),
    /// A node came into the group of a region, or left it.
    Edge(NodeEdge),
    /// A store that was answered [`Stored::Later`](crate::tree::Stored::Later) has ended.
    EndStore {
        /// The store.
        request: RequestId,
        /// Its result.
        result: Result<(), Refusal>,
    },
    /// The removal of this region, which [waited](crate::heartbeat::Method::detains) for its beat, can go on.
    Quiet(ItemId),
    /// The answer to this removal must wait for [`Effect::Stopped`]: its region still writes its last block.
    Stopping(RequestId),
    /// It need not wait any longer.
    Stopped(RequestId),
    /// Pin an item of the config tree.
    Pin(ItemId),
    /// No longer.
    Unpin(ItemId),
    /// A region has come.
    RegionMade(ItemId),
    /// A region has gone.
    RegionDropped(ItemId),
    /// A connection to a node came up, was lost, or its quorum delay has ended.
    Connection(NodeNum, ConnectionEdge),
    /// A request has come for whoever handles it.
    Message(Incoming),
    /// A request is to be sent; [`Effect::Answered`] follows.
    Send(Outgoing),
    /// A request has been answered, or will not be.
    Answered {
        /// Who sent it.
        user: User,
        /// To which node.
        node: NodeNum,
        /// What it was for.
        kind: Kind,
        /// What the other side's handler returned.
        result: Result<i32, SendError>,
    },
    /// Messages of this kind go to a user, with at most so many bytes.
    Handle(Kind, usize, User),
    /// A user handles nothing any more.
    HandleNothing(User),
    /// A node has got its number.
    NodeNumbered(NodeNum),
    /// A node that had this number is not configured any more.
    NodeRemoved(NodeNum),
    /// There is no local node any more: nobody can connect.
    StopListening,
    /// There is no local node any more: every region stops.
    StopRegions,
    /// This node must go.
    Fence(FenceReason),
}

/// What is asked for and not carried out yet.
#[derive(Debug, Default)]
pub struct Effects(Vec<Effect>);

impl Effects {
    /// Asks for something.
    pub fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    /// Asks for something that the driver does.
    pub fn act(&mut self, action: Action) {
        self.push(Effect::Do(action));
    }

    /// Says something to the log.
    pub fn note(&mut self, note: Note) {
        self.push(Effect::Note(note));
    }

    /// Nothing asked for?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of it, to be carried out; [`restore`](Self::restore) takes the room back.
    pub(crate) fn take(&mut self) -> Vec<Effect> {
        core::mem::take(&mut self.0)
    }

    /// Keeps the room of a list that has been carried out, so that beats allocate nothing.
    pub(crate) fn restore(&mut self, mut room: Vec<Effect>) {
        room.clear();
        if self.0.capacity() < room.capacity() {
            room.append(&mut self.0);
            self.0 = room;
        }
    }
}
