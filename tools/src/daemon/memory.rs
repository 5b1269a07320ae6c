//! Memory that is there when it is needed: a thread that holds the monitor and waits for a page would hold up every beat.

use std::fs;

use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};

use super::error::plain;

/// What the heap keeps in reserve, and by how much it grows.
const RESERVE: libc::c_int = 1 << 20;

/// What a node may want at any time after its start: clients and opened devices with their threads, tables that grow.
const HEADROOM: usize = 8 << 20;

/// Whether there is room for what a node will want. Later there would be no way to refuse it.
pub(crate) fn has_headroom() -> bool {
    Vec::<u8>::new().try_reserve_exact(HEADROOM).is_ok()
}

/// Has the heap take little memory, and keep some: one for all threads instead of one each, which are of 64 MiB of
/// addresses, and little is allocated here by many at the same time.
pub(crate) fn keep_small() {
    for (what, value) in
        [(libc::M_ARENA_MAX, 1), (libc::M_TOP_PAD, RESERVE), (libc::M_TRIM_THRESHOLD, 2 * RESERVE)]
    {
        // SAFETY: takes no pointers, and is called before there is another thread.
        unsafe { libc::mallopt(what, value) };
    }
    // Taken once, it is kept.
    drop(std::hint::black_box(vec![1u8; RESERVE as usize / 2]));
}

/// Locks the memory of the process, now and later: what it uses, not what it has only reserved, such as the rest of a
/// stack or of a buffer. The program itself is read in as a whole: it may lie on a disk that hangs later.
pub(crate) fn lock() -> Result<(), String> {
    // Under a limit that this process is below only now, every later allocation could fail. The system looks
    // at the limit first, so a process above it that may lock all the same is exempt from it.
    if let Some(limit) = getrlimit(Resource::Memlock).current {
        if size().is_none_or(|size| size <= limit) {
            return Err(format!("limit {} KiB", limit / 1024));
        }
    }
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE;
    match mlockall(flags | MlockAllFlags::ONFAULT) {
        // Before 4.4.
        Err(Errno::INVAL) => mlockall(flags),
        locked => locked,
    }
    .map_err(|errno| plain(&errno.into()))?;
    read_in_files();
    Ok(())
}

/// Has what is mapped of files (program and libraries) read in and kept.
fn read_in_files() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(range), Some(rights), Some(path)) = (fields.next(), fields.next(), fields.nth(3)) else {
            continue;
        };
        let Some((from, to)) = range.split_once('-') else { continue };
        let (Ok(from), Ok(to)) = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16)) else {
            continue;
        };
        if path.starts_with('/') && rights.starts_with('r') {
            // SAFETY: changes nothing that a program can see of its memory. A mapping that has gone in between is an
            // error, which is no worse than what there was before.
            let _ = unsafe { libc::mlock(from as *const libc::c_void, to - from) };
        }
    }
}

/// Bytes of address space in use.
fn size() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let kib: u64 = size.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}
