//! One call on a tree, as every machine that is asked about it sees it.

use crate::ids::{Caller, RequestId};
use crate::time::Now;

/// When, for whom, and under which name an answer that comes later is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// The time of the call.
    pub now: Now,
    /// Who asks.
    pub caller: Caller,
    /// The call's name.
    pub request: RequestId,
}

impl Call {
    /// What happens without anybody's call: time passes, a disk answers.
    pub(crate) fn nobody(now: Now) -> Self {
        Self { now, caller: Caller::default(), request: RequestId(u64::MAX) }
    }
}
