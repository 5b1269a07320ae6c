//! Devices that go while they are beaten on: the node ends before the others think it dead.

use std::process::Command;
use std::time::Instant;

use crate::daemon::{Daemon, about, until};
use crate::device::{Device, Place, output};

const PLACE: Place = Place { start_block: 64, block_bytes: 512, blocks: 8 };
const DEAD_THRESHOLD: u32 = 4;

/// Counted from a write that was seen to arrive.
fn fenced(what: &str, take_away: fn(&Device)) {
    let device = Device::new(1 << 20, 512, &[]);
    let mut daemon = Daemon::new(1, DEAD_THRESHOLD);
    assert_eq!(daemon.start(PLACE, &device.open()).0, Ok(()));
    let before = device.slot(PLACE, 1);
    until("a beat", || device.slot(PLACE, 1) != before);
    let last_good = Instant::now();
    take_away(&device);
    let (status, took) = (daemon.exit_status(), last_good.elapsed());
    assert_eq!(status, Some(uo2cb::CRASH_STATUS), "{}", daemon.log());
    // A busy machine may take its time over the end of the process; the writes have ended before.
    about(what, took, f64::from((DEAD_THRESHOLD - 1) * 2), 1.8);
    let decided = daemon
        .log()
        .split_once(" after ")
        .and_then(|(_, rest)| rest.split_once(" milliseconds")?.0.parse::<u32>().ok());
    let formula = (DEAD_THRESHOLD - 1) * 2000;
    assert!(decided.is_some_and(|after| (formula - 100..formula + 300).contains(&after)), "{}", daemon.log());
    for line in ["failed: ", "Heartbeat write timeout to device", "fenced: no good beat of region R"] {
        daemon.until_line(line);
    }
    assert!(!uo2cb::mountpoint::ours(&daemon.at("")));
}

pub(crate) fn shrunk() {
    fenced("a device that shrinks", |device| {
        device.file.as_file().set_len(4096).unwrap();
        output(Command::new("losetup").arg("--set-capacity").arg(&device.path));
    });
}

pub(crate) fn read_only() {
    fenced("a device that becomes read-only", |device| {
        output(Command::new("blockdev").arg("--setro").arg(&device.path));
    });
}
