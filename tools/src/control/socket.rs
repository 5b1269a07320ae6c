//! Control sockets as files: reaching them, and taking away what is left of one.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Longest path that a socket can be bound to or connected to (`sun_path` less the NUL behind it).
const SUN_PATH: usize = 107;

/// Does `work` with a path to the same socket that is short enough for the system.
pub(crate) fn within_limit<T>(path: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().as_bytes().len() <= SUN_PATH {
        return work(path);
    }
    let dir = File::open(path.parent().unwrap_or(Path::new(".")))?;
    let name = Path::new(path.file_name().unwrap_or(OsStr::new("")));
    work(&Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name))
}

/// Connects; `WouldBlock` when a listener that does not accept has no room for so long.
pub(super) fn reach(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
    within_limit(path, |path| Ok(connect(&socket, &SocketAddrUnix::new(path)?)?))?;
    Ok(socket.into())
}

/// A socket of this user's that nobody listens on any more, as it was when that was found out.
#[derive(Debug)]
pub(crate) struct Left(Metadata);

impl Left {
    /// What is at the path, if it is that and nothing else: a file is never taken for a socket, a link never followed.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok()?;
        if !found.file_type().is_socket() || found.uid() != rustix::process::geteuid().as_raw() {
            return None;
        }
        let refused = reach(path, Duration::from_secs(1)).err()?;
        (refused.kind() == io::ErrorKind::ConnectionRefused).then_some(Self(found))
    }

    /// Removes it, and what stood beside it, if it still is this very one.
    pub(crate) fn remove(self, path: &Path) -> io::Result<()> {
        let now = fs::symlink_metadata(path)?;
        if (now.dev(), now.ino()) != (self.0.dev(), self.0.ino()) || !now.file_type().is_socket() {
            return Ok(());
        }
        fs::remove_file(path)?;
        remove_record(path);
        Ok(())
    }
}

/// The file beside a socket that names the node's mounts.
pub(crate) fn record(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".mounts");
    name.into()
}

/// Removes the record of a socket; nothing else is taken for one.
pub(crate) fn remove_record(socket: &Path) {
    let record = record(socket);
    let me = rustix::process::geteuid().as_raw();
    if fs::symlink_metadata(&record).is_ok_and(|found| found.is_file() && found.uid() == me) {
        let _ = fs::remove_file(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn sockets_in_deep_folders() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let path = deep.join("a.sock");
        assert!(UnixListener::bind(&path).is_err());
        let _listener = within_limit(&path, |path| UnixListener::bind(path)).unwrap();
        assert!(path.exists());
        reach(&path, Duration::from_secs(1)).unwrap();
    }

    #[test]
    fn only_sockets_that_nobody_listens_on_are_left() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, file, link) =
            (folder.path().join("a.sock"), folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "precious").unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        assert!(
            [&socket, &file, &link, &folder.path().join("none")].iter().all(|path| Left::at(path).is_none())
        );
        drop(listener);
        assert!([&file, &link].iter().all(|path| Left::at(path).is_none()));
        // Another has taken the name meanwhile.
        let left = Left::at(&socket).unwrap();
        fs::remove_file(&socket).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        fs::write(record(&socket), "").unwrap();
        // The inode's number may be used again at once; then the name is the only difference that could be told.
        let same = fs::symlink_metadata(&socket).unwrap().ino() == left.0.ino();
        left.remove(&socket).unwrap();
        assert!(same || socket.exists() && record(&socket).exists());
    }

    /// A listener that does not accept is not waited for without end.
    #[test]
    fn a_full_backlog() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let limit = Duration::from_millis(50);
        let mut held = Vec::new();
        let error = loop {
            match reach(&path, limit) {
                Ok(stream) => held.push(stream),
                Err(error) => break error,
            }
            assert!(held.len() < 100);
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(Left::at(&path).is_none());
    }
}
