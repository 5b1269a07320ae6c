//! A copy of a descriptor that another thread holds.

use std::fs::read_to_string;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, fcntl_getfl, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, geteuid, pidfd_getfd, pidfd_open};

use crate::open_error::OpenError;

/// `PIDFD_THREAD` (Linux 6.9): the descriptor stands for one thread, not for its process.
const PIDFD_THREAD: PidfdFlags = PidfdFlags::from_bits_retain(libc::O_EXCL.unsigned_abs());

/// What kcmp(2) is to compare: the tables of descriptors.
const KCMP_FILES: libc::c_int = 2;

/// The thread that named a descriptor of its own, and in whose name that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Number of the thread, in the PID name space of this process; /proc must be of that name space, too.
    pub thread: u32,
    /// User with whose rights the thread asked.
    pub uid: u32,
}

/// A copy of the holder's descriptor, or of the path behind it.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) fd: OwnedFd,
    /// The holder is this process' own user, who may have anything that this process may have.
    pub(crate) own: bool,
}

impl Holder {
    /// Takes the copy. Everything is checked on it, so that nothing can be put in its place meanwhile.
    ///
    /// Own user: every one of the thread's user ids is that of this process; else a program that changes its
    /// user id could be made to ask for somebody else. Any other user gets no more than he holds: a descriptor
    /// that is open for reading and writing.
    pub(crate) fn copy(self, descriptor: i32) -> Result<Copied, OpenError> {
        let thread = i32::try_from(self.thread).ok().and_then(Pid::from_raw);
        let (Some(thread), true) = (thread, descriptor >= 0) else { return Err(OpenError::BadDescriptor) };
        let held = Held::open(thread)?;
        let own = held.is_own(self.uid)?;
        let copy = held.copy(descriptor);
        // Alive after all was looked at: so it was looked at, and not another with the same number.
        held.is_alive()?;
        match copy {
            Ok(fd) => {
                let flags = fcntl_getfl(&fd)?;
                if flags.contains(OFlags::PATH) {
                    return Err(OpenError::BadDescriptor);
                }
                if !own && flags & OFlags::RWMODE != OFlags::RDWR {
                    return Err(OpenError::NotForWriting);
                }
                Ok(Copied { fd, own })
            }
            Err(Errno::BADF) => Err(OpenError::BadDescriptor),
            // An old kernel, or one that lets nobody look into others (Yama): /proc will do for one's own.
            Err(_) if own => Ok(Copied { fd: held.path_of(descriptor)?, own }),
            Err(errno) => Err(OpenError::NotCopied(errno)),
        }
    }
}

/// A thread whose number cannot become another one's unnoticed.
struct Held {
    /// None where there is no such thing: then it is held by its being in the middle of a call.
    pidfd: Option<OwnedFd>,
    /// Its directory below /proc.
    proc: String,
    /// Its table of descriptors is the one that `pidfd` leads to.
    table: Result<(), Errno>,
}

impl Held {
    fn open(thread: Pid) -> Result<Self, OpenError> {
        let number = thread.as_raw_nonzero();
        match pidfd_open(thread, PIDFD_THREAD) {
            Ok(pidfd) => Ok(Self { pidfd: Some(pidfd), proc: format!("/proc/{number}"), table: Ok(()) }),
            Err(Errno::INVAL) => {
                // The process then, and only if the thread shares its descriptors.
                let status = read_to_string(format!("/proc/{number}/status")).map_err(of_proc)?;
                let process = field(&status, "Tgid:").and_then(|numbers| numbers.trim().parse().ok());
                let process = process.and_then(Pid::from_raw).ok_or(OpenError::Failed(Errno::SRCH))?;
                let pidfd = Some(pidfd_open(process, PidfdFlags::empty())?);
                let proc = format!("/proc/{}/task/{number}", process.as_raw_nonzero());
                let table = if process == thread { Ok(()) } else { same_table(process, thread) };
                Ok(Self { pidfd, proc, table })
            }
            // A kernel before 5.3, or a filter of system calls.
            Err(errno @ (Errno::NOSYS | Errno::PERM)) => {
                Ok(Self { pidfd: None, proc: format!("/proc/{number}"), table: Err(errno) })
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Is the thread this process' own user through and through? It must be who asked.
    fn is_own(&self, asked: u32) -> Result<bool, OpenError> {
        let status = read_to_string(format!("{}/status", self.proc)).map_err(of_proc)?;
        let line = field(&status, "Uid:").unwrap_or_default();
        let uids: Vec<u32> = line.split_whitespace().filter_map(|uid| uid.parse().ok()).collect();
        let [.., file_system] = uids[..] else { return Err(OpenError::Failed(Errno::SRCH)) };
        if file_system != asked {
            return Err(OpenError::Failed(Errno::SRCH));
        }
        Ok(uids.iter().all(|uid| *uid == geteuid().as_raw()))
    }

    fn copy(&self, descriptor: i32) -> Result<OwnedFd, Errno> {
        self.table?;
        let pidfd = self.pidfd.as_ref().ok_or(Errno::NOSYS)?;
        pidfd_getfd(pidfd, descriptor, PidfdGetfdFlags::empty())
    }

    /// What the descriptor is open on, without the descriptor itself.
    fn path_of(&self, descriptor: i32) -> Result<OwnedFd, OpenError> {
        let path = format!("{}/fd/{descriptor}", self.proc);
        let fd = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let fd =
            fd.map_err(|errno| if errno == Errno::NOENT { OpenError::BadDescriptor } else { errno.into() })?;
        let facts = read_to_string(format!("{}/fdinfo/{descriptor}", self.proc)).map_err(of_proc)?;
        let flags = field(&facts, "flags:").and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        if flags.is_none_or(|flags| OFlags::from_bits_retain(flags).contains(OFlags::PATH)) {
            return Err(OpenError::BadDescriptor);
        }
        self.is_alive()?;
        Ok(fd)
    }

    fn is_alive(&self) -> Result<(), OpenError> {
        let Some(pidfd) = &self.pidfd else { return Ok(()) };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&now)) {
            Ok(0) => Ok(()),
            Ok(_) => Err(OpenError::Failed(Errno::SRCH)),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Do two threads share their descriptors?
fn same_table(one: Pid, other: Pid) -> Result<(), Errno> {
    let (one, other) = (one.as_raw_nonzero().get(), other.as_raw_nonzero().get());
    // SAFETY: takes five numbers and no pointer; the last two are not used for this comparison.
    match unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0, 0) } {
        0 => Ok(()),
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::PERM)),
        _ => Err(Errno::OPNOTSUPP),
    }
}

/// What follows `name` in the lines of a file of /proc.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

fn of_proc(error: std::io::Error) -> OpenError {
    match Errno::from_io_error(&error) {
        None | Some(Errno::NOENT) => OpenError::Failed(Errno::SRCH),
        Some(errno) => OpenError::Failed(errno),
    }
}
