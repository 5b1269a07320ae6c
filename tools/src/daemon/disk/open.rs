//! From a descriptor of the writer of `dev` to a device.

use std::sync::Arc;

use rustix::rand::{GetRandomFlags, getrandom};
use uo2cb_blockio::{Device, DirectFile, Faulty, Info, Kind, OpenError};
use uo2cb_core::Refusal;
use uo2cb_core::heartbeat::disk::DiskInfo;

use super::super::notes::Notes;
use super::{Choice, Wanted, system};

/// Opens once more what the caller's descriptor is open on. The caller is blocked in its write meanwhile, so
/// the descriptor stays.
pub(super) fn device(wanted: &Wanted, choice: &Choice, notes: &Notes) -> Result<Arc<dyn Device>, Refusal> {
    if wanted.caller.pid == 0 {
        return Err(Refusal::BadDescriptor);
    }
    let opened = DirectFile::open_descriptor(wanted.caller.pid, wanted.descriptor, choice.strict);
    let file = opened.map_err(|error| match error {
        OpenError::BadDescriptor => Refusal::BadDescriptor,
        OpenError::NotADisk | OpenError::RegularFile => Refusal::NotABlockDevice,
        OpenError::Failed(errno) => Refusal::System(system(errno)),
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
        let here = Caller { pid: std::process::id(), uid: 0, gid: 0 };
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
        assert_eq!(open(Caller::default(), 0, false), Err(Refusal::BadDescriptor));
    }

    #[test]
    fn generations_differ() {
        assert_ne!(generation().unwrap(), generation().unwrap());
    }
}
