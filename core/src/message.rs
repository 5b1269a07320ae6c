//! The whole vocabulary between the stack and its driver: what goes in, what comes out.

use alloc::vec::Vec;
use core::time::Duration;

use crate::error::{Errno, Refusal};
use crate::fence::FenceMethod;
use crate::fence::FenceReason;
use crate::heartbeat::disk::request::{DiskRequest, DiskResult};
use crate::heartbeat::event::{Edge, Event, NodeName};
use crate::ids::{Caller, ConsumerId, ItemId, RequestId, View};
use crate::net::{NetEvent, NetRequest};
use crate::nodeman::address::Address;
use crate::note::{Note, Topic};
use crate::tree::{Answer, Change, Op};

/// What the driver hands in.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A call on a tree. Answered by [`Action::Reply`] with [`Reply::Tree`].
    Tree {
        /// Its name, new with each request.
        request: RequestId,
        /// Whose it is.
        caller: Caller,
        /// On which tree.
        view: View,
        /// What is wanted.
        op: Op<'a>,
    },
    /// The caller of a waiting request was killed. Answered if the request can still be given up.
    Cancel(RequestId),
    /// Result of [`Action::Listen`].
    Listening {
        /// The request of the action.
        request: RequestId,
        /// Bound and listening, or why not.
        result: Result<(), Errno>,
    },
    /// Result of [`Action::Disk`], by the region's name.
    Disk(ItemId, DiskResult<'a>),
    /// Something happened to a connection.
    Net(NetEvent<'a>),
    /// Register a consumer of heartbeat events. Answered by [`Action::Reply`] with [`Reply::Subscribed`].
    Subscribe(Subscribe<'a>),
    /// The consumer goes; its pins with it. Unknown ones are ignored.
    Unsubscribe(ConsumerId),
    /// The consumer has been told of the event that [`Action::Deliver`] brought; the next may come.
    Delivered {
        /// Who.
        consumer: ConsumerId,
        /// [`Event::number`].
        event: u64,
    },
    /// The program ends: everybody who waits is answered, every region says that it stops, then
    /// [`Action::Stopped`].
    Shutdown,
}

/// Registration of a consumer.
#[derive(Clone, Copy, Debug)]
pub struct Subscribe<'a> {
    /// Name of the request.
    pub request: RequestId,
    /// The consumer, new with each registration.
    pub consumer: ConsumerId,
    /// Name of one region, which it then pins together with the local node; none: all regions, no pin.
    pub region: Option<&'a [u8]>,
    /// Events of this edge only; none: both.
    pub edge: Option<Edge>,
    /// Lower is told first; equal ones in order of registration.
    pub priority: i32,
    /// After how long without [`Input::Delivered`] it is expelled; none: never.
    pub patience: Option<Duration>,
}

/// What the driver has to do, in this order, none of it blocking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Answer a request: exactly once for each.
    Reply {
        /// Which.
        request: RequestId,
        /// The answer; a refusal's errno is what the caller gets.
        result: Result<Reply, Refusal>,
    },
    /// Tell a consumer of an event, then hand in [`Input::Delivered`].
    Deliver {
        /// Whom.
        consumer: ConsumerId,
        /// Of what.
        event: Event,
    },
    /// The consumer has been expelled; it gets nothing more.
    Expelled {
        /// Who.
        consumer: ConsumerId,
    },
    /// A tree changed: caches of it must be invalidated.
    Changed {
        /// Which tree.
        view: View,
        /// The call that changed it; none: the stack itself.
        request: Option<RequestId>,
        /// How.
        change: Change,
    },
    /// Listen on the local node's address, then hand in [`Input::Listening`].
    Listen {
        /// Name for the result.
        request: RequestId,
        /// Who asked for it: in his network, if it is another one than the driver's.
        caller: Caller,
        /// Where.
        address: Address,
        /// Where.
        port: u16,
    },
    /// Close the listening socket.
    StopListening,
    /// Do this with a connection.
    Net(NetRequest),
    /// Do this with a region's disk, which has the region's name, then hand in [`Input::Disk`]; nothing after
    /// [`DiskRequest::Close`]. A disk has one request to read or write at a time.
    Disk(ItemId, DiskRequest),
    /// Tell who watches, beside events, and whatever the log shows.
    Watched(Topic, Note),
    /// This node must go, at once: nothing but lines, for the log and who watches, comes before it in what is
    /// polled with it.
    Fence {
        /// The word in `fence_method`.
        method: FenceMethod,
        /// Why.
        reason: FenceReason,
    },
    /// Something for the log.
    Note(Note),
    /// After [`Input::Shutdown`]: nothing more will come.
    Stopped,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// To a call on a tree.
    Tree(Answer),
    /// To a registration: who is up at that moment. Every later change comes as an event, none twice.
    Subscribed(Vec<Up>),
}

/// A node that is up when a consumer registers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Up {
    /// In the region of this directory; none: as a whole, as the events about it say it.
    pub region: Option<ItemId>,
    /// The node.
    pub node: NodeName,
    /// Since when, wall clock since 1970.
    pub since: Duration,
}
