//! A node whose one disk is lost goes, in time, and a hung disk holds up nobody's end.

use super::*;

/// A node that has become steady, and whose disk takes nothing from some time on.
pub(super) fn fenced(name: &str, fault: &str) {
    let disk = Disk::new(name);
    let mut daemon = Daemon::new(0, 3, &["--fault", fault]);
    daemon.region();
    assert_eq!(daemon.start(&disk.0).0, Ok(()));
    // A write came between two looks, and counts from the first of them at the latest.
    let (mut slots, mut looked) = (Vec::new(), Instant::now());
    let mut last = looked;
    until("fenced", || {
        let before = std::mem::replace(&mut looked, Instant::now());
        let found = fs::read(&disk.0).unwrap();
        if found != slots {
            (slots, last) = (found, before);
        }
        daemon.child.try_wait().unwrap().is_some()
    });
    about(name, last.elapsed(), 4.0, LATE);
    assert_eq!(daemon.exit_status(), Some(uo2cb::CRASH_STATUS));
    assert!(!mountpoint::ours(&daemon.world.mount));
    let words = daemon.last_words();
    assert!(words.contains("fenced: no good beat of region R"), "{words}");
    assert_ne!(disk.slot(0).generation, 0, "stopped uncleanly");
}

/// The end of a daemon waits for the last blocks, but not for ever.
pub(super) fn hung_end() {
    let disk = Disk::new("end");
    let daemon = Daemon::new(0, 31, &["--fault", "hang@11s.."]);
    daemon.region();
    assert_eq!(daemon.start(&disk.0).0, Ok(()));
    // Until a beat hangs.
    thread::sleep(Duration::from_secs(5));
    let begin = Instant::now();
    drop(daemon);
    about("hung end", begin.elapsed(), 3.0, 2.0);
}
