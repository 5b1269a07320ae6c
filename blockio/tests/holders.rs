//! Descriptors of other users: a process of another user is made, so this wants root.
#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::CString;
use std::fs::Permissions;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::file_disk;
use uo2cb_blockio::{DescriptorError, Device, DirectFile, Holder, Kind, OpenError};
use uo2cb_test_support::loops::Loop;
use uo2cb_test_support::not_run;

/// A user whom nobody else is.
const UID: u32 = 54_321;

/// What the process of the other user opens, and how: its descriptors are numbered from 40 on.
type Opens<'a> = &'a [(&'a Path, libc::c_int)];

const FIRST: i32 = 40;
/// The descriptor that is one of the others, now this and now that.
const SWAPPED: i32 = 60;

/// A process of the other user; killed when dropped.
struct Other(libc::pid_t);

impl Other {
    fn start(opens: Opens<'_>) -> Self {
        let paths: Vec<_> = opens
            .iter()
            .map(|(path, flags)| (CString::new(path.as_os_str().as_bytes()).unwrap(), *flags))
            .collect();
        let (ready, tell) = rustix::pipe::pipe().unwrap();
        // SAFETY: the child allocates nothing, takes no lock and never returns.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            // SAFETY: only system calls, on memory that was there before.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if libc::setgroups(0, std::ptr::null()) != 0
                    || libc::setresgid(UID, UID, UID) != 0
                    || libc::setresuid(UID, UID, UID) != 0
                {
                    libc::_exit(1);
                }
                // Its files in /proc are its own again.
                libc::prctl(libc::PR_SET_DUMPABLE, 1);
                let mut number = FIRST;
                for (path, flags) in &paths {
                    let fd = libc::open(path.as_ptr(), *flags);
                    if fd < 0 || libc::dup2(fd, number) != number {
                        libc::_exit(2);
                    }
                    number += 1;
                }
                libc::dup2(FIRST, SWAPPED);
                libc::write(tell.as_raw_fd(), c"x".as_ptr().cast(), 1);
                loop {
                    for each in FIRST..number {
                        libc::dup2(each, SWAPPED);
                    }
                }
            }
        }
        drop(tell);
        let other = Self(pid);
        let ready = rustix::io::read(&ready, &mut [0; 1]);
        assert_eq!(ready, Ok(1), "the other process opens what it is to open");
        other
    }

    fn open(&self, descriptor: i32) -> Result<DirectFile, DescriptorError> {
        let thread = self.0.unsigned_abs();
        DirectFile::open_descriptor(Holder { thread, uid: UID }, descriptor, false)
    }

    fn refusal(&self, descriptor: i32) -> (OpenError, Option<PathBuf>) {
        let DescriptorError { error, open_on } = self.open(descriptor).unwrap_err();
        (error, open_on)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // SAFETY: the number is that of a child which nobody has waited for yet.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// A folder that everybody may search.
fn folder() -> Option<tempfile::TempDir> {
    if !rustix::process::geteuid().is_root() {
        not_run("blockio: descriptors of other users: that needs root");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    Some(folder)
}

fn with_mode(folder: &tempfile::TempDir, name: &str, owner: u32, mode: u32) -> PathBuf {
    let path = file_disk(folder, name, 1 << 16).0;
    chown(&path, Some(owner), Some(owner)).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn another_user_gets_what_he_holds() {
    let Some(folder) = folder() else { return };
    let his = with_mode(&folder, "his", UID, 0o600);
    let readable = with_mode(&folder, "readable", 0, 0o644);
    let other = Other::start(&[
        (&his, libc::O_RDWR),
        (&his, libc::O_RDONLY),
        (&his, libc::O_WRONLY),
        (&readable, libc::O_RDONLY),
        (&readable, libc::O_PATH),
        (Path::new("/proc/self/uid_map"), libc::O_RDWR),
        (Path::new("/dev/null"), libc::O_RDWR),
    ]);
    assert_eq!(other.open(FIRST).unwrap().info().name, "his");
    assert_eq!(other.refusal(FIRST + 1).0, OpenError::NotForWriting);
    assert_eq!(other.refusal(FIRST + 2).0, OpenError::NotForWriting);
    assert_eq!(other.refusal(FIRST + 3).0, OpenError::NotForWriting);
    assert_eq!(other.refusal(FIRST + 4).0, OpenError::BadDescriptor);
    let (error, open_on) = other.refusal(FIRST + 5);
    assert_eq!(error, OpenError::NotADisk, "its opener's rights count at each write");
    assert!(open_on.unwrap().ends_with("uid_map"));
    assert_eq!(other.refusal(FIRST + 6), (OpenError::NotADisk, Some("/dev/null".into())));
    assert_eq!(other.refusal(FIRST + 7).0, OpenError::BadDescriptor);
}

/// Whoever has the number now is not who asked.
#[test]
fn a_number_that_is_somebody_elses_by_now() {
    let Some(folder) = folder() else { return };
    let his = with_mode(&folder, "his", UID, 0o600);
    let other = Other::start(&[(&his, libc::O_RDWR)]);
    let thread = other.0.unsigned_abs();
    for uid in [0, UID + 1] {
        let error = DirectFile::open_descriptor(Holder { thread, uid }, FIRST, false).unwrap_err();
        assert_eq!(error.error, OpenError::Failed(uo2cb_blockio::Errno::SRCH), "{uid}");
    }
}

/// A program with the set-user-id bit: not every one of its user ids is that of this process.
#[test]
fn who_runs_a_set_user_id_program_is_somebody_else() {
    let Some(folder) = folder() else { return };
    let disk = with_mode(&folder, "disk", 0, 0o644);
    let own = OwnedFd::from(std::fs::File::open(&disk).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: changes this thread alone, which ends with this closure.
            assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, UID, -1, -1) }, 0);
            let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
            let error = DirectFile::open_descriptor(Holder { thread, uid: 0 }, own.as_raw_fd(), false);
            assert_eq!(error.unwrap_err().error, OpenError::NotForWriting);
        });
    });
}

/// A thread may have descriptors that its process has not.
#[test]
fn a_thread_with_descriptors_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (_, file) = file_disk(&folder, "disk", 1 << 16);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: the copied descriptors of this thread are closed with it, once.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
            // SAFETY: as above; the number was nobody's in this table's copy.
            let number = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 900) };
            assert!(number >= 900);
            let (uid, thread) = (rustix::process::geteuid().as_raw(), rustix::thread::gettid());
            let thread = thread.as_raw_nonzero().get().unsigned_abs();
            let opened = DirectFile::open_descriptor(Holder { thread, uid }, number, false);
            assert_eq!(opened.unwrap().info().name, "disk");
            let leader = Holder { thread: std::process::id(), uid };
            let error = DirectFile::open_descriptor(leader, number, false).unwrap_err();
            assert_eq!(error.error, OpenError::BadDescriptor);
            // SAFETY: opened above, and not used any more.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        });
    });
}

/// The descriptor is another one at every look: what is opened is only ever what he holds for writing.
#[test]
fn a_descriptor_that_is_swapped_all_the_time() {
    let Some(folder) = folder() else { return };
    let his = with_mode(&folder, "his", UID, 0o600);
    let secret = with_mode(&folder, "secret", 0, 0o600);
    let readable = with_mode(&folder, "readable", 0, 0o644);
    let backing = with_mode(&folder, "backing", 0, 0o600);
    let block = Loop::new(&backing, 512, &[]);
    let block =
        block.inspect_err(|why| not_run(&format!("blockio: loop devices, which need root: {why}"))).ok();
    let mut opens: Vec<(&Path, libc::c_int)> = vec![
        (&his, libc::O_RDWR),
        (&secret, libc::O_PATH),
        (&his, libc::O_RDWR),
        (&readable, libc::O_RDONLY),
    ];
    if let Some(block) = &block {
        opens.extend([(&*his, libc::O_RDWR), (block.path(), libc::O_PATH)]);
    }
    let other = Other::start(&opens);
    let (mut opened, mut refused) = (0, [0; 2]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while opened < 2000 || refused.contains(&0) {
        assert!(Instant::now() < deadline, "{opened} opened, {refused:?} refused");
        match other.open(SWAPPED) {
            Ok(file) => {
                assert_eq!((file.info().name.as_str(), file.info().kind), ("his", Kind::File));
                opened += 1;
            }
            Err(DescriptorError { error: OpenError::BadDescriptor, .. }) => refused[0] += 1,
            Err(DescriptorError { error: OpenError::NotForWriting, .. }) => refused[1] += 1,
            Err(other) => panic!("{other}"),
        }
    }
}
