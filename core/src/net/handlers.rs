//! Who handles which messages.

use alloc::collections::BTreeMap;

use super::wire::{Kind, SystemStatus};
use crate::ids::ItemId;

/// Who sends and handles messages. Another user of o2net is another variant, and an arm where the engine dispatches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum User {
    /// A region of disk heartbeat that negotiates its write timeout.
    Region(ItemId),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Handler {
    user: User,
    /// The longest payload that it takes.
    limit: usize,
}

/// The handlers by what they handle (`o2net_register_handler`).
#[derive(Debug, Default)]
pub(super) struct Handlers(BTreeMap<Kind, Handler>);

impl Handlers {
    /// False: somebody handles these already.
    pub(super) fn register(&mut self, kind: Kind, limit: usize, user: User) -> bool {
        let free = !self.0.contains_key(&kind);
        if free {
            self.0.insert(kind, Handler { user, limit });
        }
        free
    }

    pub(super) fn unregister(&mut self, user: User) {
        self.0.retain(|_, handler| handler.user != user);
    }

    /// Who takes a message with `length` bytes behind its header.
    pub(super) fn find(&self, kind: Kind, length: usize) -> Result<User, SystemStatus> {
        let handler = self.0.get(&kind).ok_or(SystemStatus::NoHandler)?;
        if length > handler.limit {
            return Err(SystemStatus::Overflow);
        }
        Ok(handler.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_handled_once_and_only_up_to_its_limit() {
        let (one, two) = (User::Region(ItemId(1)), User::Region(ItemId(2)));
        let kind = |message| Kind { message, key: 7 };
        let mut handlers = Handlers::default();
        assert!(handlers.register(kind(1), 1, one) && handlers.register(kind(2), 1, one));
        assert!(!handlers.register(kind(1), 9, two));
        assert_eq!(handlers.find(kind(1), 1), Ok(one));
        assert_eq!(handlers.find(kind(1), 2), Err(SystemStatus::Overflow));
        assert_eq!(handlers.find(kind(3), 0), Err(SystemStatus::NoHandler));
        handlers.unregister(one);
        assert_eq!(handlers.find(kind(2), 0), Err(SystemStatus::NoHandler));
        assert!(handlers.register(kind(1), 0, two));
    }
}
