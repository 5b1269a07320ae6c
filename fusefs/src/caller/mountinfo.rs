//! The table of mounts as one process sees it.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags};
use rustix::io;

/// One mount of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: u64,
    pub(super) parent: u64,
    /// The directory of the file system which the mount shows at its root.
    pub(super) root: Vec<u8>,
    /// Where it hangs, as seen from the process' root.
    pub(super) point: Vec<u8>,
    /// The kind of file system.
    pub(super) kind: Vec<u8>,
}

/// The mounts that a process can see.
#[derive(Debug)]
pub(super) struct Mounts(Vec<Mount>);

impl Mounts {
    /// Reads the table of the process `who` (a number or "self").
    pub(super) fn read(proc: impl AsFd, who: &str) -> io::Result<Self> {
        let path = format!("{who}/mountinfo");
        let fd = rustix::fs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = Vec::new();
        File::from(fd)
            .read_to_end(&mut text)
            .map_err(|error| io::Errno::from_io_error(&error).unwrap_or(io::Errno::IO))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &[u8]) -> Self {
        Self(text.split(|&byte| byte == b'\n').filter_map(line).collect())
    }

    pub(super) fn find(&self, id: u64) -> Option<&Mount> {
        self.0.iter().find(|mount| mount.id == id)
    }

    /// The lowest of the mounts that are stacked under `id` at one place:
    /// `..` at the root of the topmost leaves them all.
    pub(super) fn bottom(&self, id: u64) -> Option<&Mount> {
        let mut mount = self.find(id)?;
        // A table has no cycles, but it is not ours: bound the climb.
        for _ in 0..self.0.len() {
            match self.find(mount.parent) {
                Some(under) if under.point == mount.point && under.id != mount.id => mount = under,
                _ => break,
            }
        }
        Some(mount)
    }
}

/// `36 35 98:0 /root /point options ...`
fn line(text: &[u8]) -> Option<Mount> {
    let mut fields = text.split(|&byte| byte == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
    let (id, parent) = (number()?, number()?);
    let _device = fields.next()?;
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    // Behind the options comes any number of fields, and then a dash.
    let kind = fields.skip_while(|field| *field != b"-").nth(1).map(unescape).unwrap_or_default();
    Some(Mount { id, parent, root, point, kind })
}

/// Blanks and the like stand as `\040`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if first == b'\\' => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => plain.push(first),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 21 0:20 / /sys rw shared:7 - sysfs sysfs rw
41 21 0:30 / /a\\040b\\134 rw - tmpfs none rw
42 41 0:51 /cluster/c /a\\040b\\134 rw - fuse x rw
not a line
";

    #[test]
    fn lines_are_taken_apart() {
        let mounts = Mounts::parse(TABLE);
        assert_eq!(mounts.0.len(), 4);
        let bind = mounts.find(42).cloned();
        let expected = Mount {
            id: 42,
            parent: 41,
            root: b"/cluster/c".to_vec(),
            point: b"/a b\\".to_vec(),
            kind: b"fuse".to_vec(),
        };
        assert_eq!(bind, Some(expected));
        assert_eq!(mounts.find(7), None);
    }

    #[test]
    fn stacked_mounts_are_left_together() {
        let mounts = Mounts::parse(TABLE);
        assert_eq!(mounts.bottom(42).map(|mount| mount.id), Some(41));
        assert_eq!(mounts.bottom(30).map(|mount| mount.id), Some(30));
        assert_eq!(mounts.bottom(7), None);
    }

    #[test]
    fn broken_escapes_stay() {
        assert_eq!(unescape(b"a\\04"), b"a\\04");
        assert_eq!(unescape(b"\\377\\400"), b"\xff\\400");
    }
}
