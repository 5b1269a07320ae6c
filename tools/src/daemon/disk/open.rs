//! From a descriptor of the writer of `dev` to a device.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::rand::{GetRandomFlags, getrandom};
use uo2cb_blockio::{Device, DirectFile, Faulty, Holder, Info, Kind, OpenError};
use uo2cb_core::heartbeat::disk::DiskInfo;
use uo2cb_core::{Errno, Refusal};
use uo2cb_fusefs::caller::proc_is_own;

use super::super::notes::Notes;
use super::{Choice, Wanted, system};

/// How many devices may be being opened at a time: some may never answer.
const AT_A_TIME: usize = 64;

static OPENING: AtomicUsize = AtomicUsize::new(0);

/// Counts an open that is under way.
struct Opening;

impl Opening {
    fn begin() -> Option<Self> {
        let begin = |count: usize| (count < AT_A_TIME).then_some(count + 1);
        OPENING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, begin).ok().map(|_| Self)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        OPENING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Opens once more what the caller's descriptor is open on; says in the log why not.
pub(super) fn device(wanted: &Wanted, choice: &Choice, notes: &Notes) -> Result<Arc<dyn Device>, Refusal> {
    let Wanted { caller, descriptor, .. } = *wanted;
    let refused = |refusal: Refusal, why: &dyn std::fmt::Display| {
        let (pid, uid) = (caller.pid, caller.uid);
        notes.warn(&format!(
            "dev: descriptor {descriptor} of pid {pid} uid {uid}: {why} ({})",
            refusal.errno()
        ));
        refusal
    };
    let hidden = Refusal::System(Errno::EACCES);
    if caller.pid == 0 {
        return Err(refused(hidden, &"the caller lives outside the PID name space of uo2cb"));
    }
    if !proc_is_own() {
        return Err(refused(hidden, &"/proc shows another PID name space than that of uo2cb"));
    }
    let Some(_opening) = Opening::begin() else {
        return Err(refused(
            Refusal::System(Errno::EBUSY),
            &"too many devices that do not answer are being opened",
        ));
    };
    let holder = Holder { thread: caller.pid, uid: caller.uid };
    let file = DirectFile::open_descriptor(holder, descriptor, choice.strict).map_err(|why| {
        let refusal = match why.error {
            OpenError::BadDescriptor => Refusal::BadDescriptor,
            OpenError::NotADisk | OpenError::RegularFile => Refusal::NotABlockDevice,
            OpenError::NotForWriting | OpenError::NotCopied(_) => Refusal::System(Errno::EACCES),
            OpenError::Failed(errno) => Refusal::System(system(errno)),
        };
        refused(refusal, &why)
    })?;
    if !file.info().direct {
        notes.warn(&format!(
            "{}: no direct I/O on this file: nodes on other machines would not see the beats in time",
            file.info().name
        ));
    }
    let file: Arc<dyn Device> = Arc::new(file);
    Ok(match &choice.faults {
        Some(script) => Arc::new(Faulty::new(file, script.clone())),
        None => file,
    })
}

/// What the stack wants to know. `pid`: the thread that beats.
pub(super) fn info(device: &Info, pid: u32) -> Result<DiskInfo, Refusal> {
    Ok(DiskInfo {
        name: device.name.clone(),
        sector_bytes: device.sector_bytes,
        regular_file: device.kind != Kind::Block,
        generation: generation()?,
        pid,
    })
}

/// Random and not 0.
fn generation() -> Result<u64, Refusal> {
    loop {
        let mut bytes = [0; 8];
        match getrandom(&mut bytes, GetRandomFlags::empty()) {
            Ok(8) if bytes != [0; 8] => return Ok(u64::from_ne_bytes(bytes)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Refusal::System(system(errno))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LogFormat, LogTarget};
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use uo2cb_core::{Caller, ItemId, RequestId};

    use super::super::Extent;

    #[test]
    fn descriptors_of_this_process() {
        let notes = Notes::open(LogTarget::Discard, LogFormat::Text).unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let here = Caller { pid: std::process::id(), uid, gid: 0 };
        let open = |caller, descriptor, strict| {
            let extent = Extent { block_bytes: 512, start_block: 1, blocks: 1 };
            let wanted = Wanted { disk: ItemId(1), request: RequestId(1), caller, descriptor, extent };
            device(&wanted, &Choice { strict, faults: None }, &notes).map(|device| device.info().kind)
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        let readable = File::open(file.path()).unwrap();
        let (null, dir) = (File::open("/dev/null").unwrap(), File::open("/").unwrap());
        assert_eq!(open(here, readable.as_raw_fd(), false), Ok(Kind::File));
        assert_eq!(open(here, readable.as_raw_fd(), true), Err(Refusal::NotABlockDevice));
        assert_eq!(open(here, null.as_raw_fd(), false), Err(Refusal::NotABlockDevice));
        assert_eq!(open(here, dir.as_raw_fd(), false), Err(Refusal::NotABlockDevice));
        assert_eq!(open(here, -1, false), Err(Refusal::BadDescriptor));
        assert_eq!(open(here, 1_000_000, false), Err(Refusal::BadDescriptor));
        let hidden = Refusal::System(Errno::EACCES);
        assert_eq!(open(Caller::default(), readable.as_raw_fd(), false), Err(hidden));
    }

    #[test]
    fn generations_differ() {
        assert_ne!(generation().unwrap(), generation().unwrap());
    }
}
