//! A disk in memory.

use parking_lot::RwLock;
use rustix::io::Errno;

use crate::device::{Device, Info, Kind};

/// A disk in memory, zeroed at first. Share it between several users with an `Arc`, as machines share a disk.
/// It is as particular as direct I/O: offsets and lengths are whole sectors.
#[derive(Debug)]
pub struct MemDisk {
    info: Info,
    bytes: RwLock<Vec<u8>>,
}

impl MemDisk {
    /// A disk of `bytes` bytes in sectors of `sector_bytes`.
    pub fn new(name: &str, sector_bytes: u32, bytes: usize) -> Self {
        let info =
            Info { kind: Kind::Memory, name: name.into(), sector_bytes, bytes: bytes as u64, direct: true };
        Self { info, bytes: RwLock::new(vec![0; bytes]) }
    }

    /// Looks at or changes the whole disk at once, behind the back of its users.
    pub fn with_bytes<T>(&self, look: impl FnOnce(&mut [u8]) -> T) -> T {
        look(&mut self.bytes.write())
    }

    /// Where a request of `length` bytes starts and ends in the memory.
    fn place(&self, offset: u64, length: usize) -> Result<std::ops::Range<usize>, Errno> {
        let sector = u64::from(self.info.sector_bytes.max(1));
        if offset % sector != 0 || length as u64 % sector != 0 {
            return Err(Errno::INVAL);
        }
        let start = usize::try_from(offset.min(self.info.bytes)).map_err(|_| Errno::INVAL)?;
        let end = self.info.bytes.min(offset.saturating_add(length as u64));
        let end = usize::try_from(end).map_err(|_| Errno::INVAL)?;
        Ok(start..end.max(start))
    }
}

impl Device for MemDisk {
    fn info(&self) -> &Info {
        &self.info
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let place = self.place(offset, into.len())?;
        let count = place.len();
        into[..count].copy_from_slice(&self.bytes.read()[place]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize, Errno> {
        let place = self.place(offset, from.len())?;
        let count = place.len();
        if count == 0 && !from.is_empty() {
            return Err(Errno::NOSPC);
        }
        self.bytes.write()[place].copy_from_slice(&from[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_sectors_up_to_the_end() {
        let disk = MemDisk::new("m", 512, 1536);
        assert_eq!(disk.write_at(512, &[7; 1024]), Ok(1024));
        let mut read = [1; 1024];
        assert_eq!(disk.read_at(0, &mut read), Ok(1024));
        assert_eq!((read[511], read[512]), (0, 7));
        assert_eq!(disk.read_at(1024, &mut read), Ok(512), "short at the end");
        assert_eq!(disk.read_at(1536, &mut read), Ok(0));
        assert_eq!(disk.read_at(u64::MAX - 511, &mut read), Ok(0));
        assert_eq!(disk.write_at(1024, &[1; 1024]), Ok(512));
        assert_eq!(disk.write_at(1536, &[1; 512]), Err(Errno::NOSPC));
        assert_eq!(disk.read_at(1, &mut read), Err(Errno::INVAL));
        assert_eq!(disk.write_at(0, &[1; 100]), Err(Errno::INVAL));
        assert_eq!(disk.with_bytes(|bytes| bytes[1024]), 1);
    }
}
