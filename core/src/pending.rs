//! Who waits for an answer, and for what: one table for all requests that were not answered at once.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::error::Refusal;
use crate::ids::{Caller, ItemId, RequestId};
use crate::message::Reply;

/// A store that its machine will end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PendingStore {
    /// The item whose attribute is being stored.
    pub(crate) item: ItemId,
    /// Which attribute.
    pub(crate) attribute: u8,
    /// The new value; the store returns its length if all goes well.
    pub(crate) data: Vec<u8>,
    /// Whose store it is.
    pub(crate) caller: Caller,
}

/// What a request waits for.
#[derive(Debug)]
enum Wait {
    /// Until the machine that took the value says that it is done.
    Store(PendingStore),
    /// A removal: until the stores of its item have ended.
    Stores { item: ItemId, caller: Caller },
    /// Its result is known. Until consumers have been told of all events below `events`.
    Told { events: u64, result: Result<Reply, Refusal> },
}

/// The requests that wait.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    waits: BTreeMap<RequestId, Wait>,
    /// How many of them wait for consumers: a beat looks at none where there are none.
    untold: usize,
    /// Removals whose region still writes its last block, and whose answer must wait for that, too.
    stopping: Vec<RequestId>,
}

impl Pending {
    pub(crate) fn len(&self) -> usize {
        self.waits.len()
    }

    pub(crate) fn add_store(&mut self, request: RequestId, store: PendingStore) {
        self.waits.insert(request, Wait::Store(store));
    }

    pub(crate) fn add_removal(&mut self, request: RequestId, item: ItemId, caller: Caller) {
        self.waits.insert(request, Wait::Stores { item, caller });
    }

    /// A request with a known result, which waits for events below `events`, and for its region.
    pub(crate) fn add_answer(&mut self, request: RequestId, events: u64, result: Result<Reply, Refusal>) {
        self.waits.insert(request, Wait::Told { events, result });
        self.untold += 1;
    }

    /// The store has ended. `None`: no such store waits.
    pub(crate) fn take_store(&mut self, request: RequestId) -> Option<PendingStore> {
        match self.waits.remove(&request)? {
            Wait::Store(store) => Some(store),
            other @ (Wait::Stores { .. } | Wait::Told { .. }) => {
                self.waits.insert(request, other);
                None
            }
        }
    }

    /// Stores that still go on.
    pub(crate) fn stores(&self) -> Vec<RequestId> {
        let stores = self.waits.iter().filter(|(_, wait)| matches!(wait, Wait::Store(_)));
        stores.map(|(request, _)| *request).collect()
    }

    /// The removal of `item` that waits for its stores.
    pub(crate) fn take_removal_of(&mut self, item: ItemId) -> Option<(RequestId, Caller)> {
        let found = self.waits.iter().find_map(|(request, wait)| match wait {
            Wait::Stores { item: of, caller } if *of == item => Some((*request, *caller)),
            Wait::Stores { .. } | Wait::Store(_) | Wait::Told { .. } => None,
        })?;
        self.waits.remove(&found.0);
        Some(found)
    }

    /// Cancels a removal that waits for stores; returns its item and its caller.
    pub(crate) fn cancel_removal(&mut self, request: RequestId) -> Option<(ItemId, Caller)> {
        match self.waits.get(&request)? {
            Wait::Stores { item, caller } => {
                let given_up = (*item, *caller);
                self.waits.remove(&request);
                Some(given_up)
            }
            Wait::Store(_) | Wait::Told { .. } => None,
        }
    }

    /// The answer to this removal must wait until its region has stopped.
    pub(crate) fn stopping(&mut self, request: RequestId) {
        self.stopping.push(request);
    }

    /// It need not any longer.
    pub(crate) fn stopped(&mut self, request: RequestId) {
        self.stopping.retain(|stopping| *stopping != request);
    }

    pub(crate) fn is_stopping(&self, request: RequestId) -> bool {
        self.stopping.contains(&request)
    }

    /// Takes the answers that need not wait any longer, now that all events below `told` have been told, in the
    /// order of their requests.
    pub(crate) fn take_told(&mut self, told: u64, mut answer: impl FnMut(RequestId, Result<Reply, Refusal>)) {
        if self.untold == 0 {
            return;
        }
        let stopping = &self.stopping;
        let due = |request: &RequestId, wait: &mut Wait| match wait {
            Wait::Told { events, .. } => *events <= told && !stopping.contains(request),
            Wait::Store(_) | Wait::Stores { .. } => false,
        };
        let due: Vec<_> =
            self.waits.iter_mut().filter_map(|(id, wait)| due(id, wait).then_some(*id)).collect();
        for request in due {
            if let Some(Wait::Told { result, .. }) = self.waits.remove(&request) {
                self.untold -= 1;
                answer(request, result);
            }
        }
    }

    /// The end: what is known is answered, whatever it waited for.
    pub(crate) fn take_known(&mut self, answer: impl FnMut(RequestId, Result<Reply, Refusal>)) {
        self.stopping.clear();
        self.take_told(u64::MAX, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pending: &mut Pending, events: u64) -> Vec<u64> {
        let mut answered = Vec::new();
        pending.take_told(events, |request, _| answered.push(request.0));
        answered
    }

    #[test]
    fn an_answer_waits_for_events_and_for_its_region() {
        let mut pending = Pending::default();
        pending.add_answer(RequestId(1), 3, Err(Refusal::Gone));
        pending.stopping(RequestId(2));
        pending.add_answer(RequestId(2), 2, Err(Refusal::Gone));
        assert!(told(&mut pending, 1).is_empty());
        assert!(told(&mut pending, 2).is_empty());
        assert_eq!(told(&mut pending, 3), [1]);
        pending.stopped(RequestId(2));
        assert_eq!(told(&mut pending, 3), [2]);
        assert_eq!((pending.len(), pending.untold), (0, 0));
    }

    #[test]
    fn a_request_waits_for_one_thing_only() {
        let mut pending = Pending::default();
        let caller = Caller::default();
        let store = PendingStore { item: ItemId(5), attribute: 3, data: b"7".to_vec(), caller };
        pending.add_store(RequestId(1), store.clone());
        pending.add_removal(RequestId(2), ItemId(5), caller);
        pending.add_answer(RequestId(3), 1, Err(Refusal::Gone));
        assert_eq!(pending.stores(), [RequestId(1)]);
        for other in [2, 3, 4] {
            assert_eq!(pending.take_store(RequestId(other)), None);
        }
        for other in [1, 3, 4] {
            assert_eq!(pending.cancel_removal(RequestId(other)), None);
        }
        assert_eq!(pending.len(), 3);
        assert_eq!(pending.take_store(RequestId(1)), Some(store));
        assert_eq!(pending.take_removal_of(ItemId(6)), None);
        assert_eq!(pending.take_removal_of(ItemId(5)), Some((RequestId(2), caller)));
        assert_eq!(pending.take_removal_of(ItemId(5)), None);
        pending.take_known(|request, _| assert_eq!(request, RequestId(3)));
        assert_eq!(pending.len(), 0);
    }
}
