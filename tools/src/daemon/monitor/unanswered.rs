//! The requests that have no answer yet.

use std::collections::BTreeMap;

use uo2cb_core::RequestId;

/// A table by request. Nearly every request is answered before the next one comes, so the latest stands apart and costs
/// no look into the map.
#[derive(Debug)]
pub(crate) struct Unanswered<T> {
    latest: Option<(RequestId, T)>,
    others: BTreeMap<RequestId, T>,
}

impl<T> Default for Unanswered<T> {
    fn default() -> Self {
        Self { latest: None, others: BTreeMap::new() }
    }
}

impl<T> Unanswered<T> {
    /// Adds a request; its name is new.
    pub(crate) fn insert(&mut self, request: RequestId, waiting: T) {
        if let Some((request, waiting)) = self.latest.replace((request, waiting)) {
            self.others.insert(request, waiting);
        }
    }

    pub(crate) fn get(&self, request: RequestId) -> Option<&T> {
        match &self.latest {
            Some((latest, waiting)) if *latest == request => Some(waiting),
            _ => self.others.get(&request),
        }
    }

    pub(crate) fn contains(&self, request: RequestId) -> bool {
        self.get(request).is_some()
    }

    pub(crate) fn remove(&mut self, request: RequestId) -> Option<T> {
        match self.latest.take_if(|(latest, _)| *latest == request) {
            Some((_, waiting)) => Some(waiting),
            None => self.others.remove(&request),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.others.len() + usize::from(self.latest.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_found_until_it_is_removed() {
        let mut table = Unanswered::default();
        let requests = [1, 2, 3, 4].map(RequestId);
        for request in requests {
            table.insert(request, request.0);
            assert_eq!(table.get(request), Some(&request.0));
        }
        for (left, request) in (0..4).rev().zip([requests[3], requests[1], requests[0], requests[2]]) {
            assert!(table.contains(request));
            assert_eq!(table.remove(request), Some(request.0));
            assert_eq!((table.remove(request), table.len()), (None, left));
        }
    }
}
