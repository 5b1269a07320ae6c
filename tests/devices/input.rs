//! What cannot be heartbeated on.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::daemon::{Daemon, about};
use crate::device::{Device, Place};

const PLACE: Place = Place { start_block: 1, block_bytes: 512, blocks: 8 };

/// It can be opened for writing all the same, and only the writes fail: for as long as the kernel tries.
pub(crate) fn read_only() {
    let device = Device::read_only(1 << 16, 512);
    let daemon = Daemon::new(0, 3);
    let (result, took) = daemon.start(PLACE, &device.open());
    assert_eq!(result, Err(libc::EIO), "{}", daemon.log());
    about("a read-only device", took, 16.0, 8.0);
    daemon.until_line("Unable to stabilize heartbeat on region R");
    assert_eq!((daemon.lines("Unable to stabilize"), daemon.lines("Beat of region R")), (1, 9));
    assert_eq!((daemon.shows("dev").as_str(), daemon.shows("pid").as_str()), ("", ""));
    assert_eq!(daemon.shows("blocks"), "8\n");
    let other = Device::new(1 << 16, 512);
    assert_eq!(daemon.start(PLACE, &other.open()).0, Ok(()), "the same region once more");
}

pub(crate) fn descriptors() {
    let (device, daemon) = (Device::new(1 << 16, 512), Daemon::new(0, 3));
    let open = |path: &str| File::open(path).unwrap();
    daemon.refuses(PLACE, &open("/"), libc::EINVAL);
    daemon.refuses(PLACE, &open("/dev/null"), libc::EINVAL);
    daemon.refuses(PLACE, &File::open(device.file.path()).unwrap(), libc::EINVAL);
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    daemon.refuses(PLACE, &File::from(reader), libc::EINVAL);
    let path = File::options().read(true).custom_flags(libc::O_PATH).open(device.path()).unwrap();
    daemon.refuses(PLACE, &path, libc::EINVAL);
    // A descriptor that the writer, a shell, does not have, but this process has.
    // SAFETY: takes no pointers.
    let number = unsafe { libc::fcntl(device.open().as_raw_fd(), libc::F_DUPFD_CLOEXEC, 700) };
    assert!(number >= 700);
    // SAFETY: the descriptor is new and owned by nothing else.
    let high = unsafe { OwnedFd::from_raw_fd(number) };
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("echo {number} > dev")]).current_dir(daemon.file(""));
    assert!(!shell.stderr(Stdio::null()).status().unwrap().success());
    daemon.until_line(&format!("dev \"{number}\\n\": not the number of an open descriptor"));
    drop(high);
    let (result, took) = daemon.start_with(number);
    assert_eq!(result, Err(libc::EINVAL), "closed");
    assert!(took < Duration::from_secs(2));
    assert!(fs::read(device.file.path()).unwrap().iter().all(|byte| *byte == 0));
}

pub(crate) fn too_few_slots() {
    let (device, daemon) = (Device::new(8 * 512, 512), Daemon::new(2, 3));
    daemon.refuses(PLACE, &device.open(), libc::EIO);
    daemon.refuses(Place { start_block: 8, ..PLACE }, &device.open(), libc::EIO);
    daemon.refuses(Place { start_block: u64::MAX, ..PLACE }, &device.open(), libc::EIO);
    // The own number has no slot.
    daemon.refuses(Place { blocks: 2, ..PLACE }, &device.open(), libc::EINVAL);
    // Node 3 has none, which is said once; the last slot is the last of the device.
    let place = Place { start_block: 5, blocks: 3, ..PLACE };
    let (result, _) = daemon.start(place, &device.open());
    assert_eq!(result, Ok(()));
    daemon.until_up(&[2]);
    assert_eq!(daemon.lines("Nodes with numbers from 3 on have no slot in region R"), 1);
    let all = fs::read(device.file.path()).unwrap();
    assert!(all[..7 * 512].iter().all(|byte| *byte == 0) && device.found(place, 2).good);
}
