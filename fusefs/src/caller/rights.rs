//! The rights with which a caller's path is to be walked.

use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::{self, Errno};
use rustix::process::Gid;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities, set_thread_groups};
use uo2cb_core::Caller;

use super::look::Ident;
use super::procfs::{field, read};

/// What file systems ask of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    /// Effective capabilities over files of this process' user name space.
    capabilities: u64,
}

/// Whose rights a walk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those of the thread that walks, which are the caller's (or their like).
    Thread,
    /// Nobody's in particular: what not everybody may search is refused.
    Anybody,
}

impl Rights {
    /// Those of a caller; without supplementary groups and capabilities where `proc` cannot show it.
    pub(super) fn of(proc: impl AsFd, caller: Caller) -> Self {
        let Caller { pid, uid, gid } = caller;
        let unknown = Self { uid, gid, groups: Vec::new(), capabilities: 0 };
        if pid == 0 {
            return unknown;
        }
        match Self::read(&proc, &pid.to_string()) {
            // Else the number is somebody else's by now.
            Some(rights) if rights.uid == uid => {
                let name_space = |who: &str| Ident::at(&proc, format!("{who}/ns/user"));
                let (his, own) = (name_space(&pid.to_string()), name_space("self"));
                let same = matches!((his, own), (Ok(his), Ok(own)) if his.same_object(&own));
                // Capabilities of another user name space give nothing here.
                let capabilities = if same { rights.capabilities } else { 0 };
                Self { gid, capabilities, ..rights }
            }
            _ => unknown,
        }
    }

    /// Those of the calling thread.
    pub(super) fn own(proc: impl AsFd) -> Option<Self> {
        Self::read(&proc, "thread-self")
    }

    fn read(proc: impl AsFd, who: &str) -> Option<Self> {
        let status = read(proc, &format!("{who}/status")).ok()?;
        let numbers = |name| -> Vec<u32> {
            let line = field(&status, name).unwrap_or_default();
            line.split_whitespace().filter_map(|number| number.parse().ok()).collect()
        };
        // Real, effective, saved, of the file system.
        let (uid, gid) = (*numbers("Uid:").get(3)?, *numbers("Gid:").get(3)?);
        let capabilities = u64::from_str_radix(field(&status, "CapEff:")?.trim(), 16).ok()?;
        Some(Self { uid, gid, groups: numbers("Groups:"), capabilities })
    }

    /// May these rights search every directory that belongs to somebody of this user name space?
    pub(crate) fn search_anything(&self) -> bool {
        const DAC_OVERRIDE: u64 = 1 << 1;
        const DAC_READ_SEARCH: u64 = 1 << 2;
        self.capabilities & (DAC_OVERRIDE | DAC_READ_SEARCH) != 0
    }

    pub(crate) fn has_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    /// Gives the calling thread, for the rest of its life, these rights before all file systems; what it may
    /// not do itself it cannot give. `dumpable` says whether the process is, which a change of rights ends.
    pub(super) fn take_on(&self, proc: impl AsFd, dumpable: bool) -> Whose {
        let own = Self::own(proc);
        if own.as_ref() == Some(self) {
            return Whose::Thread;
        }
        let taken = self.try_take_on();
        if dumpable {
            // The ids that decide who may look into this process are as they were.
            // SAFETY: takes numbers only.
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
        }
        match taken {
            Ok(()) => Whose::Thread,
            // The same user might as well trace this process.
            Err(_) if own.is_some_and(|own| own.uid == self.uid) => Whose::Thread,
            Err(_) => Whose::Anybody,
        }
    }

    fn try_take_on(&self) -> io::Result<()> {
        let mut sets = capabilities(None)?;
        let groups: Vec<Gid> = self.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
        // Of this thread alone, as are the following ones.
        set_thread_groups(&groups)?;
        set_id(libc::setfsgid, self.gid)?;
        set_id(libc::setfsuid, self.uid)?;
        sets.effective &= CapabilitySet::from_bits_retain(self.capabilities);
        set_capabilities(None, sets)
    }
}

/// setfsuid(2) and setfsgid(2) tell nothing but the id before.
fn set_id(set: unsafe extern "C" fn(u32) -> libc::c_int, id: u32) -> io::Result<()> {
    // SAFETY: both take a number; -1 is no id and changes nothing.
    let now = unsafe {
        set(id);
        set(u32::MAX)
    };
    if now as u32 == id { Ok(()) } else { Err(Errno::PERM) }
}

/// Is this process dumpable?
pub(super) fn is_dumpable() -> bool {
    // SAFETY: takes numbers only.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 }
}

/// May everybody search this directory: by its mode, without a list that says otherwise? Asks its file system.
pub(super) fn open_to_all(dir: impl AsFd) -> bool {
    const SEARCH: u16 = 0o111;
    let fd = dir.as_fd();
    let stat = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MODE);
    if !stat.is_ok_and(|stat| stat.stx_mode & SEARCH == SEARCH) {
        return false;
    }
    let path = format!("/proc/thread-self/fd/{}", fd.as_raw_fd());
    let list = rustix::fs::getxattr(path, c"system.posix_acl_access", &mut [0_u8; 0]);
    matches!(list, Err(Errno::NODATA | Errno::OPNOTSUPP))
}
