//! Work that a file system or a process which does not answer may hold up.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use parking_lot::Mutex;

/// Does `work` on a thread of its own. None when it takes longer: the thread stays with the file system then, and dies
/// with this process at the latest.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, result) = bounded(1);
    let work = move || {
        let _ = done.send(work());
    };
    thread::Builder::new().name("look".into()).spawn(work).ok()?;
    result.recv_timeout(limit).ok()
}

/// Does `work` for each of `items`, for all at the same time: one that takes its time costs the others nothing. The
/// results are in the order of the items; where there is no thread for one, it is done here.
pub fn side_by_side<I: Send + 'static, T: Send + 'static>(
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> T + Clone + Send + 'static,
) -> Vec<T> {
    let start = |item: I| {
        let place = Arc::new(Mutex::new(Some(item)));
        let (taken, work) = (Arc::clone(&place), work.clone());
        let body = move || {
            let item = taken.lock().take();
            item.map(work)
        };
        (place, thread::Builder::new().name("ask".into()).spawn(body))
    };
    let mut results = Vec::new();
    let all: Vec<_> = items.into_iter().map(start).collect();
    for (place, thread) in all {
        results.extend(match thread {
            Ok(thread) => thread.join().ok().flatten(),
            Err(_) => {
                let item = place.lock().take();
                item.map(&work)
            }
        });
    }
    results
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn all_are_under_way_at_once_and_end_in_order() {
        let all = Arc::new(Barrier::new(8));
        let work = move |number: u32| {
            // Nobody comes through before all are here.
            all.wait();
            number * 2
        };
        assert_eq!(side_by_side(0..8, work), (0..8).map(|number| number * 2).collect::<Vec<_>>());
        assert!(side_by_side(Vec::<u8>::new(), |item| item).is_empty());
    }

    #[test]
    fn one_that_panics_costs_the_others_nothing() {
        let work = |number: u8| {
            assert_ne!(number, 1);
            number
        };
        assert_eq!(side_by_side([0, 1, 2], work), [0, 2]);
    }
}
