//! A disk that suffers by a script.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;

use crate::align::AlignedBuf;
use crate::device::{Device, Info};
use crate::queue::Op;

mod plan;
mod script;

pub use plan::{Effect, Fate, Plan};
pub use script::{Script, ScriptError};

/// Any device, with the faults of a [`Script`]. Its time starts when it is made. It has no descriptor, so that
/// every request comes by here.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Device>,
    start: Instant,
    plan: Mutex<Plan>,
    /// Have hung requests been let go?
    released: Mutex<bool>,
    release: Condvar,
    /// Offset and bytes of the last true read, if the script has stale ones.
    last: Option<Mutex<(u64, Vec<u8>)>>,
}

impl Faulty {
    /// Lets `device` suffer.
    pub fn new(device: Arc<dyn Device>, script: Script) -> Self {
        let last = script.has_stale_reads().then(Mutex::default);
        Self {
            inner: device,
            start: Instant::now(),
            plan: Mutex::new(Plan::new(script)),
            released: Mutex::default(),
            release: Condvar::new(),
            last,
        }
    }

    /// Lets all hung requests go on; from now on none hangs.
    pub fn release(&self) {
        *self.released.lock() = true;
        self.release.notify_all();
    }

    /// Waits as the script wants it; what remains is to be done to the bytes.
    fn suffer(&self, op: Op) -> Effect {
        let fate = self.plan.lock().next(op, self.start.elapsed());
        if !fate.delay.is_zero() {
            std::thread::sleep(fate.delay);
        }
        if fate.hang {
            let mut released = self.released.lock();
            while !*released {
                self.release.wait(&mut released);
            }
        }
        fate.effect
    }

    /// Writes the first `count` bytes of `from` and leaves the rest as it is on the disk.
    fn tear(&self, offset: u64, from: &[u8], count: usize) -> Result<usize, Errno> {
        let count = count.min(from.len());
        let mut whole = AlignedBuf::new(from.len())?;
        let whole = &mut whole[..from.len()];
        self.inner.read_at(offset, whole)?;
        whole[..count].copy_from_slice(&from[..count]);
        self.inner.write_at(offset, whole)
    }
}

impl Device for Faulty {
    fn info(&self) -> &Info {
        self.inner.info()
    }

    fn place(&self) -> Option<PathBuf> {
        self.inner.place()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        match self.suffer(Op::Read) {
            Effect::Eio => return Err(Errno::IO),
            Effect::Stale => {
                if let Some(last) = &self.last {
                    let (place, bytes) = &*last.lock();
                    if *place == offset && !bytes.is_empty() && bytes.len() <= into.len() {
                        into[..bytes.len()].copy_from_slice(bytes);
                        return Ok(bytes.len());
                    }
                }
            }
            Effect::None | Effect::Lost | Effect::Torn(_) => {}
        }
        let count = self.inner.read_at(offset, into)?;
        if let Some(last) = &self.last {
            let (place, bytes) = &mut *last.lock();
            *place = offset;
            bytes.clear();
            bytes.extend_from_slice(&into[..count]);
        }
        Ok(count)
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize, Errno> {
        match self.suffer(Op::Write) {
            Effect::Eio => Err(Errno::IO),
            Effect::Lost => Ok(from.len()),
            Effect::Torn(count) => self.tear(offset, from, count),
            Effect::None | Effect::Stale => self.inner.write_at(offset, from),
        }
    }
}

#[cfg(test)]
mod tests;
