//! What can serve as a disk, and what is known of it. Block devices need root: they are loop
//! devices.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::{file_disk, queues, run};
use uo2cb_blockio::{Device, DirectFile, Errno, Holder, Kind, OpenError, Room};
use uo2cb_test_support::loops::Loop;
use uo2cb_test_support::not_run;

/// A loop device; `None`, and reported, where none can be had.
fn loop_device(file: &Path, sector: u32, options: &[&str]) -> Option<Loop> {
    let device = Loop::new(file, sector, options);
    device.inspect_err(|why| not_run(&format!("blockio: loop devices, which need root: {why}"))).ok()
}

fn refusal(path: &Path) -> OpenError {
    DirectFile::open(path, false).unwrap_err()
}

#[test]
fn block_devices() {
    let folder = tempfile::tempdir().unwrap();
    for sector in [512, 4096] {
        let (path, file) = file_disk(&folder, &format!("backing{sector}"), 1 << 20);
        file.write_all_at(&[6; 4096], 8192).unwrap();
        file.sync_all().unwrap();
        let Some(block) = loop_device(&path, sector, &[]) else { return };
        let device = Arc::new(DirectFile::open(block.path(), true).unwrap());
        let info = device.info();
        assert_eq!((info.kind, info.sector_bytes, info.bytes), (Kind::Block, sector, 1 << 20));
        assert_eq!(
            (info.name.as_str(), info.direct),
            (block.path().file_name().unwrap().to_str().unwrap(), true)
        );

        let bytes = sector as usize;
        for mut queue in queues() {
            let disk = queue.add(device.clone(), Room { read: 16384, write: 4096 }).unwrap();
            let read = run(&mut *queue, |queue| queue.read(disk, 1, 4096, 8192));
            assert_eq!((read.result, read.bytes[4095], read.bytes[4096]), (Ok(8192), 0, 6), "{sector}");
            let block = vec![7; bytes];
            assert_eq!(run(&mut *queue, |queue| queue.write(disk, 2, 0, &block)).result, Ok(bytes));
            assert_eq!(run(&mut *queue, |queue| queue.read(disk, 3, 0, bytes)).bytes, block);
            let end = (1 << 20) - u64::from(sector);
            assert_eq!(run(&mut *queue, |queue| queue.read(disk, 4, end, 2 * bytes)).result, Ok(bytes));
            assert_eq!(run(&mut *queue, |queue| queue.read(disk, 5, 1 << 20, bytes)).result, Ok(0));
            let beyond = run(&mut *queue, |queue| queue.write(disk, 6, 1 << 20, &block));
            assert_eq!(beyond.result, Err(Errno::NOSPC));
            let crooked = run(&mut *queue, |queue| queue.read(disk, 7, 0, 256));
            assert_eq!(crooked.result, Err(Errno::INVAL));
            if sector == 4096 {
                let half = run(&mut *queue, |queue| queue.read(disk, 8, 512, 512));
                assert_eq!(half.result, Err(Errno::INVAL), "less than a sector");
            }
        }
    }
}

#[test]
fn a_partition_has_a_name_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = file_disk(&folder, "parted", 1 << 20);
    let Some(block) = loop_device(&path, 512, &["--partscan"]) else { return };
    // 64 sectors from sector 8 on.
    let added = Command::new("addpart").arg(block.path()).args(["1", "8", "64"]).status();
    let part = PathBuf::from(format!("{}p1", block.path().display()));
    if !added.is_ok_and(|status| status.success()) || !part.exists() {
        not_run("blockio: partitions of loop devices");
        return;
    }
    let device = DirectFile::open(&part, true).unwrap();
    assert_eq!(device.info().name, part.file_name().unwrap().to_str().unwrap());
    assert_eq!(device.info().bytes, 64 * 512);
}

#[test]
fn a_read_only_device() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = file_disk(&folder, "readonly", 1 << 20);
    let Some(block) = loop_device(&path, 512, &["--read-only"]) else { return };
    // As the kernel's own heartbeat finds it: it can be opened, and each write fails.
    let device = DirectFile::open(block.path(), true).unwrap();
    let device = Arc::new(device);
    for mut queue in queues() {
        let disk = queue.add(device.clone(), Room { read: 512, write: 512 }).unwrap();
        assert_eq!(run(&mut *queue, |queue| queue.read(disk, 1, 0, 512)).result, Ok(512));
        assert_eq!(run(&mut *queue, |queue| queue.write(disk, 2, 0, &[7; 512])).result, Err(Errno::PERM));
    }
}

#[test]
fn regular_files() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = file_disk(&folder, "disk.img", 100_000);
    let device = DirectFile::open(&path, false).unwrap();
    let info = device.info();
    assert_eq!((info.kind, info.name.as_str(), info.bytes), (Kind::File, "disk.img", 100_000));
    assert!(info.sector_bytes.is_power_of_two() && (512..=4096).contains(&info.sector_bytes));
    assert_eq!(DirectFile::open(&path, true).unwrap_err(), OpenError::RegularFile);

    let link = folder.path().join("link");
    std::os::unix::fs::symlink("disk.img", &link).unwrap();
    assert_eq!(DirectFile::open(&link, false).unwrap().info(), info, "links are followed");
}

#[test]
fn files_in_memory() {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
        not_run("blockio: files in memory: there is no /dev/shm");
        return;
    };
    let (path, file) = file_disk(&folder, "shm.img", 4096 + 700);
    let device = Arc::new(DirectFile::open(&path, false).unwrap());
    for mut queue in queues() {
        let disk = queue.add(device.clone(), Room { read: 8192, write: 512 }).unwrap();
        assert_eq!(run(&mut *queue, |queue| queue.write(disk, 1, 1024, &[8; 512])).result, Ok(512));
        let read = run(&mut *queue, |queue| queue.read(disk, 2, 0, 8192));
        assert_eq!((read.result, read.bytes[1024]), (Ok(4796), 8));
        file.write_all_at(&[0; 512], 1024).unwrap();
    }
}

#[test]
fn what_is_no_disk() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(refusal(Path::new("/dev/null")), OpenError::NotADisk);
    assert_eq!(refusal(folder.path()), OpenError::NotADisk);
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    assert_eq!(refusal(&pipe), OpenError::NotADisk, "and nobody waits for its other end");
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_eq!(refusal(&socket), OpenError::NotADisk);
    assert_eq!(refusal(&folder.path().join("none")), OpenError::Failed(Errno::NOENT));
    assert_eq!(refusal(Path::new("/dev/null/none")), OpenError::Failed(Errno::NOTDIR));
}

#[test]
fn descriptors_of_a_process() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = file_disk(&folder, "disk.img", 8192);
    let holder = Holder { thread: std::process::id(), uid: rustix::process::geteuid().as_raw() };
    let open =
        |descriptor: i32| DirectFile::open_descriptor(holder, descriptor, false).map_err(|error| error.error);

    let mine = open(file.as_raw_fd()).unwrap();
    assert_eq!((mine.info().name.as_str(), mine.info().bytes), ("disk.img", 8192));
    let reader = File::open(&path).unwrap();
    assert!(open(reader.as_raw_fd()).is_ok(), "flags of the descriptor do not count");
    std::fs::remove_file(&path).unwrap();
    assert!(open(file.as_raw_fd()).is_ok(), "nor does its path");

    let place = File::options().read(true).custom_flags(libc::O_PATH).open(folder.path()).unwrap();
    assert_eq!(open(place.as_raw_fd()).unwrap_err(), OpenError::BadDescriptor, "O_PATH");
    let directory = File::open(folder.path()).unwrap();
    assert_eq!(open(directory.as_raw_fd()).unwrap_err(), OpenError::NotADisk);
    for nothing in [-1, 1_000_000, i32::MAX] {
        assert_eq!(open(nothing).unwrap_err(), OpenError::BadDescriptor);
    }
    let (end, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let error = open(end.as_raw_fd()).unwrap_err();
    assert!(matches!(error, OpenError::NotADisk | OpenError::Failed(Errno::NXIO)), "{error:?}");
    let nobody = Holder { thread: u32::MAX, ..holder };
    let error = DirectFile::open_descriptor(nobody, 0, false).unwrap_err().error;
    assert_eq!(error, OpenError::BadDescriptor);
}

/// No file of /proc can do direct I/O.
#[test]
fn a_file_without_direct_access_is_buffered() {
    let device = DirectFile::open(Path::new("/proc/self/comm"), false).unwrap();
    let info = device.info();
    assert_eq!((info.kind, info.direct, info.sector_bytes), (Kind::File, false, 512));
    let mut name = [0; 64];
    assert!(device.read_at(0, &mut name).unwrap() > 1, "nor is it aligned");
}
