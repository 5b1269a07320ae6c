//! fusermount3, the program through which ordinary users mount and unmount. It is never waited for without end.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Access, OFlags, fcntl_setfl};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::{Options, SOURCE};

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a killed one may take to be gone.
const DIES: Duration = Duration::from_secs(1);

/// Where the program is, if it is installed.
pub fn fusermount() -> Option<PathBuf> {
    if let Some(path) = env::var_os("FUSERMOUNT_PATH") {
        return Some(path.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> =
        env::split_paths(&path).filter(|dir| !dir.as_os_str().as_bytes().is_empty()).collect();
    ["fusermount3", "fusermount"]
        .into_iter()
        .flat_map(|name| dirs.iter().map(move |dir| dir.join(name)))
        .find(|program| rustix::fs::access(program, Access::EXEC_OK).is_ok())
}

/// A new connection, mounted on the directory as the program finds it. It gets the directory as its current one, but
/// goes by that one's name: where the mount has landed is to be looked at.
pub(super) fn attach(dir: BorrowedFd<'_>, options: &Options) -> io::Result<OwnedFd> {
    let program = fusermount().ok_or_else(|| io::Error::other("no fusermount3"))?;
    let (theirs, ours) = UnixStream::pair()?;
    ours.set_read_timeout(Some(LIMIT))?;
    let mut words = format!("fsname={SOURCE},subtype={SOURCE},default_permissions");
    if options.allow_other {
        words += ",allow_other";
    }
    let mut command = Command::new(program);
    command.args(["-o", &words, "--", "."]).env("_FUSE_COMMFD", theirs.as_raw_fd().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let (dir, socket) = (dir.as_raw_fd(), theirs.as_raw_fd());
    let prepare = move || {
        // SAFETY: both descriptors are open until the program has been started.
        if unsafe { libc::fchdir(dir) != 0 || libc::fcntl(socket, libc::F_SETFD, 0) != 0 } {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: what runs between fork and exec makes two system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
    let deadline = Instant::now() + LIMIT;
    let mut child = command.spawn()?;
    drop(theirs);
    let received = receive(&ours);
    // Closed: it has nobody to wait for.
    drop(ours);
    let said = finish(&mut child, deadline);
    match (received, said) {
        (Ok(fuse), Ok(())) => Ok(fuse),
        (_, Err(why)) => Err(why),
        (Err(error), Ok(())) => Err(error),
    }
}

fn late() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("fusermount3 did not come to an end in {} s", LIMIT.as_secs()),
    )
}

/// Unmounts what this user has mounted at a path, at once for those who come.
pub(crate) fn detach(point: &Path) -> io::Result<()> {
    let program = fusermount().ok_or_else(|| io::Error::other("no fusermount3"))?;
    let mut command = Command::new(program);
    command.args([OsStr::new("-u"), OsStr::new("-z"), OsStr::new("--"), point.as_os_str()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    finish(&mut command.spawn()?, Instant::now() + LIMIT)
}

/// Its end: what it says where that is a failure. One that does not end in time is killed.
fn finish(child: &mut Child, deadline: Instant) -> io::Result<()> {
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            // Also a stopped process dies of this, and no zombie is left; but not one that a disk holds.
            let killed = Instant::now();
            while !matches!(child.try_wait(), Ok(Some(_)) | Err(_)) && killed.elapsed() < DIES {
                thread::sleep(Duration::from_millis(2));
            }
            return Err(late());
        }
        thread::sleep(Duration::from_millis(2));
    };
    if status.success() {
        return Ok(());
    }
    let mut said = Vec::new();
    if let Some(error) = child.stderr.take() {
        // What it wrote is there. The end of the pipe may not be: a process that it left behind can hold it.
        if fcntl_setfl(&error, OFlags::NONBLOCK).is_ok() {
            let _ = error.take(4096).read_to_end(&mut said);
        }
    }
    let said = String::from_utf8_lossy(&said);
    let said = said.trim();
    Err(io::Error::other(if said.is_empty() { format!("fusermount3: {status}") } else { said.to_owned() }))
}

/// The connection, as it comes over the socket.
fn receive(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    rustix::io::retry_on_intr(|| {
        let mut into = [IoSliceMut::new(&mut byte)];
        recvmsg(socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let fuse = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    fuse.ok_or_else(|| io::Error::other("fusermount3 gave no connection"))
}
