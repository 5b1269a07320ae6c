//! Devices that go while they are beaten on: the node ends before the others think it dead.

use std::process::Command;
use std::time::Instant;

use uo2cb_tests::poll::until;

use crate::daemon::Daemon;
use crate::device::{Device, Place, output};

const PLACE: Place = Place { start_block: 64, block_bytes: 512, blocks: 8 };
const DEAD_THRESHOLD: u32 = 4;

/// How far from the formula is right on a busy machine. The daemon counts the silence from the end of the last good
/// write and its deadline from the beginning, and one of these may be late.
const LATE: u32 = 1500;
/// And the end of the process, after it has decided.
const END: u32 = 6000;

/// Counted from the look before the one that saw a write.
fn fenced(what: &str, take_away: fn(&Device)) {
    let device = Device::new(1 << 20, 512);
    let mut daemon = Daemon::new(1, DEAD_THRESHOLD);
    assert_eq!(daemon.start(PLACE, &device.open()).0, Ok(()));
    let before = device.slot(PLACE, 1);
    let mut last_good = Instant::now();
    until("a beat", || {
        let look = Instant::now();
        let seen = device.slot(PLACE, 1) != before;
        if !seen {
            last_good = look;
        }
        seen
    });
    take_away(&device);
    let (status, took) = (daemon.exit_status(), last_good.elapsed());
    assert_eq!(status, Some(uo2cb::CRASH_STATUS), "{}", daemon.log());
    let formula = (DEAD_THRESHOLD - 1) * 2000;
    println!("{what}: {:.2} s", took.as_secs_f64());
    let allowed = (formula - LATE).into()..=(formula + LATE + END).into();
    assert!(allowed.contains(&took.as_millis()), "{what}: {took:?}");
    let decided = daemon
        .log()
        .split_once("Heartbeat write timeout to device ")
        .and_then(|(_, rest)| rest.split_once(" after "))
        .and_then(|(_, rest)| rest.split_once(" milliseconds")?.0.parse::<u32>().ok());
    let allowed = formula - LATE..=formula + LATE;
    assert!(decided.is_some_and(|after| allowed.contains(&after)), "{}", daemon.log());
    for line in ["failed: ", "Heartbeat write timeout to device", "fenced: no good beat of region R"] {
        daemon.until_line(line);
    }
    assert!(!uo2cb::mountpoint::ours(&daemon.at("")));
}

pub(crate) fn shrunk() {
    fenced("a device that shrinks", |device| {
        device.file.as_file().set_len(4096).unwrap();
        output(Command::new("losetup").arg("--set-capacity").arg(device.path()));
    });
}

pub(crate) fn read_only() {
    fenced("a device that becomes read-only", |device| {
        output(Command::new("blockdev").arg("--setro").arg(device.path()));
    });
}
