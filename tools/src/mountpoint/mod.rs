//! Mount points: whether a tree can be mounted on a directory, what stands there already, and whose it is. Mounts are
//! told apart by their ids and device numbers, not by their paths. Knows nothing of nodes and sockets.

mod limited;
mod place;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
pub(crate) use uo2cb_fusefs::fusermount;
use uo2cb_fusefs::mounts::{Device, Id, Mounts};

use crate::error::Error;
pub use limited::side_by_side;
pub(crate) use limited::within;
use place::{Follow, failed};
pub use place::{Place, SETTLED};

/// How long another one of us may take to mount.
const LOCK: Duration = Duration::from_secs(5);
/// How many dead mounts may lie on top of one another.
const STACKED: usize = 16;
/// How long a mount may take to show that its daemon is there.
const ALIVE: Duration = Duration::from_secs(3);

/// The path from the root, without links. Works on a dead mount too, and on one whose daemon does not answer.
pub fn canonical(dir: &Path) -> Result<PathBuf, Error> {
    Ok(Place::open(dir, Follow::All)?.path)
}

/// Whether this user can mount at all.
pub fn may_mount(allow_other: bool) -> Result<(), Error> {
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        return Err(match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => Error::FuseDenied(error),
            _ => Error::NoFuse,
        });
    }
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    if fusermount().is_none() {
        return Err(Error::NoFusermount);
    }
    let conf = fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    if allow_other && !conf.lines().any(|line| line.trim() == "user_allow_other") {
        return Err(Error::AllowOther);
    }
    Ok(())
}

/// A tree of ours that a path leads to or into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tree {
    /// Its FUSE connection.
    pub device: Device,
    id: Id,
}

impl Tree {
    /// The tree that a path leads to or into, which may be dead, or served by a daemon that does not answer.
    pub fn at(path: &Path) -> Result<Option<Self>, Error> {
        let place = Place::open(path, Follow::IntoTree)?;
        let mounts = Mounts::read().map_err(Error::System)?;
        let mount = place.mount(&mounts).filter(|mount| mount.ours);
        Ok(mount.map(|mount| Self { device: mount.device, id: place.id }))
    }

    /// All that this process can see.
    pub fn all() -> Vec<(PathBuf, Device)> {
        let mounts = Mounts::read().unwrap_or_default();
        let ours = mounts.iter().filter(|mount| mount.ours && mounts.cover(mount).is_none());
        ours.map(|mount| (mount.point.clone(), mount.device)).collect()
    }

    /// Those of [`all`](Self::all) that have lost their daemons; all are asked at the same time.
    pub fn all_dead() -> Vec<PathBuf> {
        let dead = |(point, _): (PathBuf, Device)| {
            let tree = Self::at(&point).ok().flatten()?;
            tree.is_dead(&point).then_some(point)
        };
        side_by_side(Self::all(), dead).into_iter().flatten().collect()
    }

    /// Has it lost its daemon? One that is there but does not answer counts as there.
    pub fn is_dead(&self, path: &Path) -> bool {
        let Ok(place) = Place::open(path, Follow::IntoTree) else { return false };
        place.id == self.id
            && within(ALIVE, move || uo2cb_fusefs::has_lost_its_server(place.fd.as_fd())).unwrap_or(false)
    }
}

/// A mount point that will do, locked against others of us until it is dropped.
#[derive(Debug)]
pub struct Prepared {
    /// What a killed daemon had left there was taken away.
    pub recovered: bool,
    pub(crate) place: Place,
    _lock: Option<File>,
}

impl Prepared {
    /// Whether the path still leads to where the mount with this id is, on the way that it led to the directory.
    pub(crate) fn confirms(&self, dir: &Path, mounted: Id) -> bool {
        Place::open(dir, Follow::IntoTree).is_ok_and(|now| now.id == mounted && now.same_way(&self.place))
    }
}

/// The directory that a path leads to, for [`Builder::seen`](crate::Builder::seen).
pub fn identity(dir: &Path) -> Result<String, Error> {
    Ok(Place::open(dir, Follow::All)?.identity())
}

/// Opens and checks a mount point, after taking away what a killed daemon left there.
pub fn prepare(dir: &Path) -> Result<Prepared, Error> {
    let recovered = recover(dir)?;
    let place = Place::open(dir, Follow::All)?;
    free(dir, &place)?;
    if !place.settles() {
        return Err(Error::Replaced(dir.to_owned()));
    }
    let inside = place.descriptor();
    let looked = within(LOCK, move || {
        let mut names = fs::read_dir(&inside)?;
        Ok((names.next().is_some(), File::open(&inside)?))
    });
    let lock = match looked.ok_or_else(|| Error::Hangs(dir.to_owned()))? {
        Ok((true, _)) => return Err(Error::NotEmpty(dir.to_owned())),
        Ok((false, lock)) => lock,
        // Mounting on it needs no leave to read it.
        Err(error) if io::Error::kind(&error) == io::ErrorKind::PermissionDenied => {
            return Ok(Prepared { recovered, place, _lock: None });
        }
        Err(error) => return Err(failed(dir, error)),
    };
    // Held by somebody for another reason it does not stand in the way for ever.
    let deadline = Instant::now() + LOCK;
    while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    // Another may have been faster.
    let again = Place::open(dir, Follow::All)?;
    free(dir, &again)?;
    if !again.same(&place) {
        return Err(Error::Replaced(dir.to_owned()));
    }
    Ok(Prepared { recovered, place, _lock: Some(lock) })
}

/// Is the place no root of a mount of ours?
fn free(dir: &Path, place: &Place) -> Result<(), Error> {
    let mounts = Mounts::read().map_err(Error::System)?;
    match place.mount(&mounts) {
        Some(mount) if mount.ours && mount.point == place.path => {
            Err(Error::Mounted(dir.to_owned(), mount.device, None))
        }
        _ => Ok(()),
    }
}

/// Takes dead mounts of ours away from where `dir` leads to. False if there was none.
pub fn recover(dir: &Path) -> Result<bool, Error> {
    let mut recovered = false;
    for _ in 0..STACKED {
        match Tree::at(dir)? {
            Some(tree) if tree.is_dead(dir) => {
                uo2cb_fusefs::unmount(tree.id).map_err(|error| Error::Stale(dir.to_owned(), error))?;
                recovered = true;
            }
            _ => break,
        }
    }
    Ok(recovered)
}

/// Is the topmost mount on `dir` (a path without links) one of ours, dead or alive?
pub fn ours(dir: &Path) -> bool {
    Mounts::read().is_ok_and(|mounts| mounts.top(dir).is_some_and(|mount| mount.ours))
}

/// Unmounts the tree at `dir` now for everybody who comes, later for those who are in it.
pub fn detach(dir: &Path) -> io::Result<()> {
    let other = |error: Error| io::Error::other(error.to_string());
    let place = Place::open(dir, Follow::IntoTree).map_err(other)?;
    let mounts = Mounts::read()?;
    match place.mount(&mounts) {
        Some(mount) if mount.ours => uo2cb_fusefs::unmount(place.id),
        _ => Err(Errno::INVAL.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_that_will_not_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(dir.path()).unwrap();
        assert!(!prepare(&path).unwrap().recovered);
        fs::write(path.join("file"), "").unwrap();
        assert!(matches!(prepare(&path), Err(Error::NotEmpty(_))));
        assert!(matches!(prepare(&path.join("file")), Err(Error::NotADirectory(_))));
        assert!(matches!(canonical(&path.join("none")), Err(Error::NoMountPoint(_))));
        assert!(matches!(canonical(&path.join("file/x")), Err(Error::NotADirectory(_))));
        assert!(matches!(canonical(Path::new("")), Err(Error::NoMountPoint(_))));
        std::os::unix::fs::symlink(".", path.join("self")).unwrap();
        assert_eq!(canonical(&path.join("self/self")).unwrap(), path);
        let again = Path::new("self/..").join(path.file_name().unwrap()).join("./");
        assert_eq!(canonical(&path.join(again)).unwrap(), path);
        std::os::unix::fs::symlink("loop", path.join("loop")).unwrap();
        assert!(matches!(canonical(&path.join("loop")), Err(Error::MountPoint(..))));
    }

    /// A link that belongs to a stranger, who can change it at any time, is not followed.
    #[test]
    fn links_of_strangers() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(canonical(&link).is_ok());
        std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
        assert!(matches!(canonical(&link.join(".")), Err(Error::Link(_, _, 65534))));
    }

    /// What has been opened stays what it is when its name leads elsewhere.
    #[test]
    fn a_place_that_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("place");
        fs::create_dir(&place).unwrap();
        let prepared = prepare(&place).unwrap();
        fs::rename(&place, dir.path().join("aside")).unwrap();
        std::os::unix::fs::symlink("/tmp", &place).unwrap();
        let now = Place::open(&place, Follow::All).unwrap();
        assert!(!now.same(&prepared.place) && !now.same_way(&prepared.place));
        // The name leads to a directory as before, but not all the time it did.
        fs::remove_file(&place).unwrap();
        std::os::unix::fs::symlink("aside", &place).unwrap();
        let followed = Place::open(&place, Follow::All).unwrap();
        assert!(
            followed.same(&prepared.place) && followed.same_way(&Place::open(&place, Follow::All).unwrap())
        );
        fs::rename(&place, dir.path().join("away")).unwrap();
        fs::rename(dir.path().join("away"), &place).unwrap();
        assert!(!followed.same_way(&Place::open(&place, Follow::All).unwrap()));
        let aside = Place::open(&dir.path().join("aside"), Follow::All).unwrap();
        assert!(aside.same(&prepared.place) && aside.same_way(&prepared.place));
    }
}
