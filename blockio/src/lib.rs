//! Sectors and bytes of shared disks: what a disk is, how to reach it past the page cache, and how to keep
//! many of them busy from one thread.
//!
//! - [`Device`]: a disk. [`DirectFile`] is a block device or a regular file, [`MemDisk`] lives in memory,
//!   [`Faulty`] makes any other one suffer by a script.
//! - [`Queue`]: runs requests on many devices. [`best()`] picks io_uring where it is allowed, else threads.
//!
//! # A tick
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//! use uo2cb_blockio::{MemDisk, Op, Queue, Room, best};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut queue = best()?.queue;
//! let device = Arc::new(MemDisk::new("mem0", 512, 64 * 1024));
//! let disk = queue.add(device, Room { read: 255 * 512, write: 512 })?;
//!
//! queue.read(disk, 7, 0, 4 * 512)?; // one for every disk of the tick ...
//! let mut seen = None;
//! let deadline = Instant::now() + Duration::from_secs(5);
//! while seen.is_none() && Instant::now() < deadline {
//!     // ... and all of them start here, together.
//!     queue.complete(Some(deadline), &mut |done| {
//!         assert_eq!((done.disk, done.tag, done.op), (disk, 7, Op::Read));
//!         seen = Some(done.bytes.to_vec());
//!     })?;
//! }
//! assert_eq!(seen, Some(vec![0; 4 * 512]));
//! # Ok(())
//! # }
//! ```

mod align;
mod bell;
mod best;
mod device;
mod direct;
mod faulty;
mod holder;
mod info;
mod mem;
mod open_error;
mod queue;
mod threads;
mod uring;

pub use best::{Best, best};
pub use device::{Device, Info, Kind};
pub use direct::DirectFile;
pub use faulty::{Effect, Fate, Faulty, Plan, Script, ScriptError};
pub use holder::Holder;
pub use mem::MemDisk;
pub use open_error::{DescriptorError, OpenError};
pub use queue::{Completion, DiskKey, Op, Queue, Refused, Room, Waker};
/// An error number of the system.
pub use rustix::io::Errno;
pub use threads::Threads;
pub use uring::Uring;
