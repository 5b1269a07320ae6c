//! One call on a tree, as every machine that is asked about it sees it.

use crate::ids::{Caller, RequestId};
use crate::time::Now;

/// The context of a call: when, by whom, and the id for an answer that comes later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// The time of the call.
    pub now: Now,
    /// The caller.
    pub caller: Caller,
    /// Its id.
    pub request: RequestId,
}

impl Call {
    /// The context of what no caller causes: a timer, a disk's result.
    pub(crate) fn nobody(now: Now) -> Self {
        Self { now, caller: Caller::default(), request: RequestId(u64::MAX) }
    }
}
