//! The disks on which regions run: images for a guest, loop devices here, alike in both places.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::guest::Error;
use crate::loops::Loop;
use crate::program;

/// Bytes, logical block size, and whether it is read-only: `+0` has room for many regions, `+1` for 31 slots and what
/// lies before them, `+2` has large blocks, `+3` takes none.
const DISKS: [(u64, u32, bool); 4] =
    [(4 << 20, 512, false), (16 << 10, 512, false), (1 << 20, 4096, false), (1 << 20, 512, true)];

/// Empty images of every disk.
#[derive(Debug)]
pub struct Images(TempDir);

/// One image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Where it lies.
    pub path: PathBuf,
    /// Logical block size of the disk in bytes.
    pub sector_bytes: u32,
    /// Whether it can only be read.
    pub read_only: bool,
}

impl Images {
    /// New ones; they go with this value.
    ///
    /// # Errors
    /// No room for temporary files.
    pub fn new() -> Result<Self, Error> {
        // Not in /tmp: that may be in memory, where there is no direct I/O.
        let images = Self(tempfile::tempdir_in(program::target_dir()?)?);
        for (image, (bytes, ..)) in images.all().zip(DISKS) {
            File::create(image.path)?.set_len(bytes)?;
        }
        Ok(images)
    }

    /// In the order in which lists number them.
    pub fn all(&self) -> impl Iterator<Item = Image> {
        let folder: &Path = self.0.path();
        DISKS.iter().enumerate().map(|(at, (_, sector_bytes, read_only))| Image {
            path: folder.join(format!("disk{at}")),
            sector_bytes: *sector_bytes,
            read_only: *read_only,
        })
    }
}

impl Image {
    /// Properties of such a disk for QEMU's `virtio-blk-pci`.
    pub fn properties(&self) -> String {
        let bytes = self.sector_bytes;
        format!(",logical_block_size={bytes},physical_block_size={bytes}")
    }

    /// Options of losetup for such a disk.
    fn losetup(&self) -> &'static [&'static str] {
        if self.read_only { &["--read-only"] } else { &[] }
    }

    /// Properties of it for QEMU's `-drive`.
    pub fn drive(&self) -> &'static str {
        if self.read_only { ",readonly=on" } else { "" }
    }
}

/// Loop devices of this machine on such images.
#[derive(Debug)]
pub struct Loops {
    devices: Vec<Loop>,
    _images: Images,
}

impl Loops {
    /// New ones; they go with this value.
    ///
    /// # Errors
    /// The machine gives no loop devices (no root, no /dev/loop-control, a container).
    pub fn new() -> Result<Self, Error> {
        let images = Images::new()?;
        let all: Vec<Image> = images.all().collect();
        let mut loops = Self { devices: Vec::new(), _images: images };
        for image in all {
            loops.devices.push(Loop::new(&image.path, image.sector_bytes, image.losetup())?);
        }
        Ok(loops)
    }

    /// The devices as words.
    pub fn words(&self) -> impl Iterator<Item = OsString> {
        self.devices.iter().map(|device| device.path().into())
    }
}
