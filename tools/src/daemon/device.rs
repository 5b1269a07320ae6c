//! What a descriptor of a caller is, asked without waiting for any file system.

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};
use uo2cb_core::{Caller, Refusal};

/// Is descriptor `descriptor` of the caller a block device? The caller is blocked in its write meanwhile, so
/// the descriptor stays. It may be a file of our own mount: cached attributes do.
pub(crate) fn look(caller: Caller, descriptor: i32) -> Result<(), Refusal> {
    if caller.pid == 0 || descriptor < 0 {
        return Err(Refusal::BadDescriptor);
    }
    let path = format!("/proc/{}/fd/{descriptor}", caller.pid);
    let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT, StatxFlags::TYPE)
        .map_err(|_| Refusal::BadDescriptor)?;
    match FileType::from_raw_mode(found.stx_mode.into()) {
        FileType::BlockDevice => Ok(()),
        _ => Err(Refusal::NotABlockDevice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn descriptors_of_this_process() {
        let here = Caller { pid: std::process::id(), uid: 0, gid: 0 };
        let file = tempfile::tempfile().unwrap();
        assert_eq!(look(here, file.as_raw_fd()), Err(Refusal::NotABlockDevice));
        assert_eq!(look(here, -1), Err(Refusal::BadDescriptor));
        assert_eq!(look(here, 1_000_000), Err(Refusal::BadDescriptor));
        assert_eq!(look(Caller::default(), 0), Err(Refusal::BadDescriptor));
    }
}
