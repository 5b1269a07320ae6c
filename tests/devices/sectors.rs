//! Sectors of a device and slots of a region.

use std::fs;

use crate::daemon::{Daemon, about};
use crate::device::{Device, Place};

/// The region's slots must be the device's sectors, as in the kernel.
fn slots(sector: u32, own: u8) {
    let device = Device::new(1 << 20, sector);
    let daemon = Daemon::new(own, 3);
    let place = |block_bytes| Place { start_block: 7, block_bytes, blocks: 9 };
    for wrong in [512, 1024, 2048, 4096].into_iter().filter(|bytes| *bytes != sector) {
        daemon.refuses(place(wrong), &device.open(), libc::EINVAL);
        let line = format!("blocksize {wrong} incorrect for device ({}), expected {sector}", device.name());
        daemon.until_line(&line);
        assert_eq!(daemon.lines(&line), 1);
    }
    let place = place(sector);
    // The descriptor need not be able to write.
    let (result, took) = daemon.start(place, &device.open());
    assert_eq!(result, Ok(()));
    about(&format!("steady with sectors of {sector}"), took, 8.0, 6.0);
    assert_eq!(daemon.shows("dev"), format!("{}\n", device.name()));
    daemon.until_up(&[own.into()]);
    let found = device.found(place, own.into());
    assert!(found.good && found.block.node == own && found.block.generation != 0, "{found:?}");
    fs::remove_dir(daemon.file("")).unwrap();
    // Nothing else was written, neither in the other slots nor around the region.
    let all = fs::read(device.file.path()).unwrap();
    let written: Vec<usize> = all
        .chunks(sector as usize)
        .enumerate()
        .filter(|(_, block)| block.iter().any(|byte| *byte != 0))
        .map(|(number, _)| number)
        .collect();
    assert_eq!(written, [7 + usize::from(own)]);
    let left = device.found(place, own.into());
    assert!(left.good && left.block.generation == 0 && left.block.dead_ms == 6000, "{left:?}");
    assert!(device.slot(place, own.into())[28..].iter().all(|byte| *byte == 0));
}

pub(crate) fn small() {
    slots(512, 3);
}

pub(crate) fn large() {
    slots(4096, 2);
}
