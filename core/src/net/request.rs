//! What the stack asks of the driver's sockets, and what these tell it.

use alloc::vec::Vec;

use crate::error::Errno;
use crate::ids::ConnectionId;
use crate::nodeman::Address;

/// For the driver's sockets. None of it blocks, and none of it is answered but by [`NetEvent`]s.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NetRequest {
    /// Connect from this node's address, any port, to another node; then [`NetEvent::Connected`] or
    /// [`NetEvent::Closed`].
    Connect {
        /// Its name from now on.
        connection: ConnectionId,
        /// This node's address.
        from: Address,
        /// The other node's.
        to: Address,
        /// The other node's.
        port: u16,
    },
    /// Send behind what is not sent yet. Who keeps too much unread is told of as [`Closing::Full`]; the limit is the
    /// driver's.
    Send {
        /// To whom.
        connection: ConnectionId,
        /// All of it, in order.
        bytes: Vec<u8>,
    },
    /// End it: what was to be sent and can be at once is sent, and nothing more is said of it.
    Close(ConnectionId),
}

/// What happened to a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetEvent<'a> {
    /// Somebody has connected.
    Accepted {
        /// Its name, always [`ConnectionId::Accepted`], never given before.
        connection: ConnectionId,
        /// The other end's address.
        from: Address,
        /// The other end's port.
        port: u16,
    },
    /// It is established.
    Connected {
        /// Which.
        connection: ConnectionId,
        /// This node's port, chosen by the system.
        port: u16,
    },
    /// Bytes have come: a part of the stream, of any size.
    Received(ConnectionId, &'a [u8]),
    /// It has ended, or could not be made. The driver has closed it.
    Closed(ConnectionId, Closing),
}

impl NetEvent<'_> {
    /// Which connection it is about.
    pub(crate) fn connection(&self) -> ConnectionId {
        match *self {
            Self::Accepted { connection, .. }
            | Self::Connected { connection, .. }
            | Self::Received(connection, _)
            | Self::Closed(connection, _) => connection,
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closing {
    /// It could not even be tried: no socket, no such own address, no route.
    NotTried(Errno),
    /// Refused, unreachable, or reset.
    Reset(Errno),
    /// The other end has closed its half.
    Ended,
    /// The other end does not read: the driver keeps no more for it.
    Full,
}
