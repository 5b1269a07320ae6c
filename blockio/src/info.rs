//! Facts about an opened block device or file.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, SeekFrom, StatxFlags, fstat, ioctl_blksszget, major, minor, readlink, seek, statx,
};
use rustix::io::{Errno, pread};

use crate::align::{ALIGN, AlignedBuf};
use crate::device::{Info, Kind};

/// Sectors of a file unless its file system wants larger ones.
const FILE_SECTOR: u32 = 512;
/// The largest sector that is tried.
const LARGEST: u32 = 4096;

/// Of a block device with this device number.
pub(crate) fn of_block(file: &OwnedFd, number: u64) -> Result<Info, Errno> {
    let sector_bytes = ioctl_blksszget(file)?;
    // The position is nobody else's, and no request uses it.
    let bytes = seek(file, SeekFrom::End(0))?;
    Ok(Info { kind: Kind::Block, name: block_name(number), sector_bytes, bytes, direct: true })
}

/// The kernel's name for a device number: its directory in sysfs.
fn block_name(number: u64) -> String {
    let number = format!("{}:{}", major(number), minor(number));
    let place = std::fs::read_link(format!("/sys/dev/block/{number}"));
    match place.as_deref().map(Path::file_name) {
        // sysfs has an exclamation mark where a device node has a slash (cciss/c0d0).
        Ok(Some(name)) => name.to_string_lossy().into_owned(),
        _ => number,
    }
}

/// Of a regular file at `path`, with the sector that direct I/O on it wants, if it can do that.
pub(crate) fn of_file(file: &OwnedFd, path: &Path, direct_sector: Option<u32>) -> Result<Info, Errno> {
    let bytes = fstat(file)?.st_size.try_into().unwrap_or(0);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let sector_bytes = direct_sector.unwrap_or(FILE_SECTOR);
    Ok(Info { kind: Kind::File, name, sector_bytes, bytes, direct: direct_sector.is_some() })
}

/// Where a link of /proc leads, as far as a path can say that; else the link.
pub(crate) fn name_behind(link: &Path) -> PathBuf {
    match readlink(link, Vec::new()) {
        Ok(target) => PathBuf::from(String::from_utf8_lossy(target.as_bytes()).into_owned()),
        Err(_) => link.to_owned(),
    }
}

/// The sector of a file opened with O_DIRECT; `None` if its file system cannot do direct I/O on it, or only in
/// pieces too large for a disk.
pub(crate) fn direct_sector(file: &OwnedFd) -> Option<u32> {
    let stat = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok();
    let told = stat.filter(|stat| StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::DIOALIGN));
    match told {
        Some(stat) => {
            let sector = stat.stx_dio_offset_align;
            let ours = (1..=LARGEST).contains(&sector) && stat.stx_dio_mem_align as usize <= ALIGN;
            ours.then_some(sector.max(FILE_SECTOR))
        }
        None => try_sectors(file),
    }
}

/// The smallest sector with which a read succeeds: for kernels before 6.1, and file systems that do not say.
fn try_sectors(file: &OwnedFd) -> Option<u32> {
    let mut buffer = AlignedBuf::new(LARGEST as usize).ok()?;
    let mut sector = FILE_SECTOR;
    while sector <= LARGEST {
        // At the second one: at 0 even a small read is aligned to anything.
        match pread(file, &mut buffer[..sector as usize], sector.into()) {
            Err(Errno::INVAL) => sector *= 2,
            Err(_) => return None,
            Ok(_) => return Some(sector),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_device_is_its_name() {
        assert_eq!(block_name(rustix::fs::makedev(4000, 77)), "4000:77");
    }

    #[test]
    fn sectors_are_found_without_being_told() {
        let file = tempfile::tempfile_in(std::env::temp_dir()).unwrap();
        file.set_len(16384).unwrap();
        assert_eq!(try_sectors(&file.into()), Some(512), "buffered: anything goes");
    }
}
