//! Requests to a peer that are not answered yet.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::fmt;

use super::handlers::User;
use super::wire::{Kind, Message, SystemStatus};
use crate::effect::{Effect, Effects};
use crate::error::Errno;
use crate::ids::NodeNum;

/// How many a peer can have.
const MAX: usize = 1024;

/// Why a request has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError {
    /// There is no connection.
    NotConnected,
    /// Too many wait for an answer, or the payload is too long.
    TooMuch,
    /// The stack of the other node did not pass it on, or the node is gone.
    System(SystemStatus),
}

impl SendError {
    /// The kernel's number for it (`o2net_sys_err_to_errno`).
    pub fn errno(self) -> Errno {
        match self {
            Self::NotConnected => Errno::ENOTCONN,
            Self::TooMuch => Errno::ENOBUFS,
            Self::System(SystemStatus::NoHandler) => Errno::ENOPROTOOPT,
            Self::System(SystemStatus::Overflow) => Errno::EOVERFLOW,
            Self::System(SystemStatus::Died) => Errno::EHOSTDOWN,
            Self::System(SystemStatus::Ok | SystemStatus::Other(_)) => Errno::EINVAL,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As the kernel's lines end: with a negative number.
        write!(f, "-{}", self.errno().0)
    }
}

/// A request without an answer ends at once.
pub(super) fn failed(node: NodeNum, kind: Kind, user: User, error: SendError, effects: &mut Effects) {
    effects.push(Effect::Answered { node, kind, user, result: Err(error) });
}

/// Requests to one peer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Requests {
    /// Sent; by number.
    sent: BTreeMap<u32, (Kind, User)>,
    /// They wait for a connection.
    waiting: VecDeque<(Kind, User, Vec<u8>)>,
}

impl Requests {
    /// Numbers a request; the bytes to be sent. None: there are too many, or it is too long.
    pub(super) fn number(&mut self, kind: Kind, payload: &[u8], user: User) -> Option<Vec<u8>> {
        if self.sent.len() >= MAX {
            return None;
        }
        // The lowest that is free.
        let number = (0u32..).zip(self.sent.keys()).find(|(free, used)| free != *used);
        let number = number.map_or(self.sent.len() as u32, |(free, _)| free);
        let message = Message::Request { kind, ticket: number.into(), payload };
        let mut bytes = Vec::from(message.header()?);
        bytes.extend_from_slice(payload);
        self.sent.insert(number, (kind, user));
        Some(bytes)
    }

    /// Keeps a request until there is a connection. False: too many wait.
    pub(super) fn wait(&mut self, kind: Kind, payload: &[u8], user: User) -> bool {
        let room = self.waiting.len() < MAX;
        if room {
            self.waiting.push_back((kind, user, payload.to_vec()));
        }
        room
    }

    /// The first one that waits.
    pub(super) fn next_waiting(&mut self) -> Option<(Kind, User, Vec<u8>)> {
        self.waiting.pop_front()
    }

    /// A status has come. None: for nobody.
    pub(super) fn answered(&mut self, number: u32) -> Option<(Kind, User)> {
        self.sent.remove(&number)
    }

    /// None of them will be answered: those that were sent may have been carried out, those that waited were not.
    pub(super) fn fail(&mut self, node: NodeNum, effects: &mut Effects) {
        for (kind, user) in core::mem::take(&mut self.sent).into_values() {
            failed(node, kind, user, SendError::System(SystemStatus::Died), effects);
        }
        self.fail_waiting(node, effects);
    }

    /// Those that wait for a connection will not be sent.
    pub(super) fn fail_waiting(&mut self, node: NodeNum, effects: &mut Effects) {
        for (kind, user, _) in self.waiting.drain(..) {
            failed(node, kind, user, SendError::NotConnected, effects);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sent.len() + self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ItemId;

    const KIND: Kind = Kind { message: 1, key: 2 };
    const USER: User = User::Region(ItemId(1));

    #[test]
    fn the_lowest_free_number_is_taken() {
        let mut requests = Requests::default();
        let number = |requests: &mut Requests| {
            let bytes = requests.number(KIND, b"x", USER).unwrap();
            match Message::decode(&bytes) {
                Ok(Some((Message::Request { ticket, payload: b"x", .. }, 25))) => ticket.number,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!([number(&mut requests), number(&mut requests), number(&mut requests)], [0, 1, 2]);
        assert_eq!(requests.answered(1), Some((KIND, USER)));
        assert_eq!(requests.answered(1), None);
        assert_eq!([number(&mut requests), number(&mut requests)], [1, 3]);
    }

    #[test]
    fn there_is_a_limit() {
        let mut requests = Requests::default();
        assert_eq!(requests.number(KIND, &[0; super::super::wire::PAYLOAD_MAX + 1], USER), None);
        assert_eq!(requests.len(), 0);
        for _ in 0..MAX {
            assert!(requests.number(KIND, &[], USER).is_some() && requests.wait(KIND, &[], USER));
        }
        assert!(requests.number(KIND, &[], USER).is_none() && !requests.wait(KIND, &[], USER));
        let mut effects = Effects::default();
        requests.fail(NodeNum::new(1).unwrap(), &mut effects);
        assert_eq!((requests.len(), effects.take().len()), (0, 2 * MAX));
    }
}
