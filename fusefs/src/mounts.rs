//! The table of mounts of this process, and which of them a descriptor stands on. Nothing in here asks a file system,
//! so nothing waits for one that hangs.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags, statx};

/// Name of every mount in /proc/self/mountinfo, by which a stale one is known.
pub const SOURCE: &str = "uo2cb";

/// `STATX_MNT_ID_UNIQUE` (Linux 6.8): an id that no later mount gets.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// Which mount: the id that mountinfo shows, and where the kernel has one, the id that is never used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Id {
    shown: u64,
    unique: Option<u64>,
}

impl Id {
    /// The mount on which an open descriptor stands; `O_PATH` will do.
    ///
    /// # Errors
    /// Those of statx(2) or of reading /proc/self/fdinfo.
    pub fn of(fd: impl AsFd) -> io::Result<Self> {
        let ask = |flag: StatxFlags| {
            let found = statx(&fd, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, flag).ok()?;
            (found.stx_mask & flag.bits() != 0).then_some(found.stx_mnt_id)
        };
        // Another user's mount refuses statx; the kernel's own file does not ask it.
        let shown = match ask(StatxFlags::MNT_ID) {
            Some(id) => id,
            None => from_fdinfo(&fd)?,
        };
        Ok(Self { shown, unique: ask(MNT_ID_UNIQUE) })
    }

    /// As /proc/self/mountinfo has it.
    pub fn shown(&self) -> u64 {
        self.shown
    }
}

fn from_fdinfo(fd: impl AsFd) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()))?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    id.ok_or_else(|| io::Error::other("/proc/self/fdinfo has no mnt_id"))
}

/// The device number of a file system: of a FUSE mount the minor number is the name of its connection, which is the
/// same in every name space and nobody else's as long as the connection lasts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl std::str::FromStr for Device {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (major, minor) = text.split_once(':').unwrap_or((text, ""));
        Ok(Self { major: major.parse()?, minor: minor.parse()? })
    }
}

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// Its id; a later mount may get it again.
    pub id: u64,
    /// The mount it hangs on.
    pub parent: u64,
    /// Its file system.
    pub device: Device,
    /// Where it hangs, from this process' root.
    pub point: PathBuf,
    /// Whether it is a tree of this program's, by type and source.
    pub ours: bool,
}

/// The mounts that this process sees.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// Reads the table.
    ///
    /// # Errors
    /// Where there is no /proc.
    pub fn read() -> io::Result<Self> {
        Ok(Self::parse(&fs::read("/proc/self/mountinfo")?))
    }

    fn parse(table: &[u8]) -> Self {
        Self(table.split(|byte| *byte == b'\n').filter_map(line).collect())
    }

    /// The mount with this id.
    pub fn get(&self, id: Id) -> Option<&Mount> {
        self.0.iter().find(|mount| mount.id == id.shown)
    }

    /// What is mounted on the root of `mount` and hides it.
    pub fn cover(&self, mount: &Mount) -> Option<&Mount> {
        self.0.iter().find(|over| over.parent == mount.id && over.point == mount.point)
    }

    /// Whether anything is mounted on `mount`, at its root or below.
    pub fn carries(&self, mount: &Mount) -> bool {
        self.0.iter().any(|over| over.parent == mount.id && over.id != mount.id)
    }

    /// The topmost mount at a path.
    pub fn top(&self, point: &Path) -> Option<&Mount> {
        // The last line of a place is the topmost mount.
        self.0.iter().rev().find(|mount| mount.point == point)
    }

    /// All of them, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter()
    }
}

/// `36 35 98:0 /root /point options - type source ...`
fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut text = || std::str::from_utf8(fields.next()?).ok();
    let (id, parent, device) = (text()?.parse().ok()?, text()?.parse().ok()?, text()?.parse().ok()?);
    let point = unescaped(fields.nth(1)?);
    let mut fields = fields.skip_while(|field| field != b"-").skip(1);
    let (kind, source) = (fields.next()?, fields.next()?);
    let ours = kind.starts_with(b"fuse") && source == SOURCE.as_bytes();
    Some(Mount { id, parent, device, point, ours })
}

/// Spaces, tabs, newlines and backslashes stand as three octal digits behind a backslash.
fn unescaped(mut field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    while let Some((first, rest)) = field.split_first() {
        let octal = rest
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        field = if octal.is_some() { &rest[3..] } else { rest };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let table =
            b"36 35 98:0 / /mnt/a\\040b\\134 rw,nosuid shared:1 master:2 - fuse.uo2cb uo2cb rw,user_id=0\n\
            37 36 0:52 / /mnt/a\\040b\\134 rw - tmpfs none rw\n\
            38 35 98:0 / /mnt rw - ext4 uo2cb rw\n\
            39 36 0:54 / /mnt/a\\040b\\134/c rw - fuse sshfs rw\nnot a line\n";
        let mounts = Mounts::parse(table);
        let all: Vec<_> = mounts.iter().map(|mount| (mount.id, mount.ours)).collect();
        assert_eq!(all, [(36, true), (37, false), (38, false), (39, false)]);
        let place = Path::new("/mnt/a b\\");
        let under = mounts.get(Id { shown: 36, unique: None }).unwrap();
        assert_eq!((under.point.as_path(), under.device), (place, Device { major: 98, minor: 0 }));
        assert_eq!(mounts.top(place).unwrap().id, 37);
        assert_eq!(mounts.cover(under).unwrap().id, 37);
        assert!(mounts.carries(under) && !mounts.carries(mounts.top(place).unwrap()));
        assert_eq!(mounts.top(Path::new("/mnt/a")), None);
    }

    #[test]
    fn a_descriptor_stands_on_a_mount_of_the_table() {
        let proc = fs::File::open("/proc/self").unwrap();
        let id = Id::of(&proc).unwrap();
        assert_eq!(from_fdinfo(&proc).unwrap(), id.shown());
        assert_eq!(Mounts::read().unwrap().get(id).unwrap().point, Path::new("/proc"));
        assert_ne!(Id::of(fs::File::open("/").unwrap()).unwrap(), id);
    }

    #[test]
    fn devices_as_text() {
        let device: Device = "0:51".parse().unwrap();
        assert_eq!((device, device.to_string().as_str()), (Device { major: 0, minor: 51 }, "0:51"));
        assert!("51".parse::<Device>().is_err());
    }
}
