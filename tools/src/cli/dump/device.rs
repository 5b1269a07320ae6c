//! Reading a disk that others write.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Alignment of direct reads.
const DIRECT: u64 = 4096;

/// A block device or a file, read past what this machine remembers of it where possible.
pub(super) struct Device {
    plain: File,
    direct: Option<File>,
    refused: Cell<bool>,
    sector: u32,
}

impl Device {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // A pipe without a writer is not to be waited for; disks do not care.
        let open = |flags| File::options().read(true).custom_flags(libc::O_NONBLOCK | flags).open(path);
        let plain = open(0)?;
        let is_block = plain.metadata()?.file_type().is_block_device();
        let sector = if is_block { rustix::fs::ioctl_blksszget(&plain)? } else { 512 };
        Ok(Self { plain, direct: open(libc::O_DIRECT).ok(), refused: Cell::new(false), sector })
    }

    /// Bytes of a sector: those of a slot, if ocfs2's own tools start the region. 512 for a file.
    pub(super) fn sector(&self) -> u32 {
        self.sector
    }

    /// Fills `into` up to the end of the device; says how much that was.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        if let Some(file) = self.direct.as_ref().filter(|_| !self.refused.get()) {
            match read_aligned(file, offset, into) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.refused.set(true),
                other => return other,
            }
        }
        fill(&self.plain, into, offset)
    }
}

fn read_aligned(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    let before = (offset % DIRECT) as usize;
    let length = (before + into.len()).next_multiple_of(DIRECT as usize);
    let mut buffer = vec![0; length + DIRECT as usize];
    let at = buffer.as_ptr().align_offset(DIRECT as usize);
    let count = fill(file, &mut buffer[at..at + length], offset - before as u64)?;
    let count = count.saturating_sub(before).min(into.len());
    into[..count].copy_from_slice(&buffer[at + before..][..count]);
    Ok(count)
}

fn fill(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut count = 0;
    while count < into.len() {
        match file.read_at(&mut into[count..], offset + count as u64) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Behind the end a direct read may be refused instead of being empty.
            Err(error) if count > 0 && error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_file() {
        let bytes: Vec<u8> = (0..10_000u32).map(|number| (number % 251) as u8).collect();
        for folder in [std::env::temp_dir(), env!("CARGO_MANIFEST_DIR").into()] {
            let file = tempfile::NamedTempFile::new_in(folder).unwrap();
            std::fs::write(file.path(), &bytes).unwrap();
            let device = Device::open(file.path()).unwrap();
            assert_eq!(device.sector(), 512);
            for (offset, length) in
                [(0, 512), (512, 4096), (4608, 512), (9728, 512), (3, 9990), (20_000, 512)]
            {
                let mut read = vec![0; length];
                let count = device.read(offset, &mut read).unwrap();
                let there = bytes.get(offset as usize..).unwrap_or_default();
                assert_eq!(read[..count], there[..length.min(there.len())], "{length} from {offset}");
            }
        }
    }
}
