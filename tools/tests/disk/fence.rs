//! A node whose one disk is lost goes, in time, and a hung disk holds up nobody's end.

use super::*;

/// A node that has become steady, and whose disk takes nothing from the seventh beat on.
pub(super) fn fenced(name: &str, fault: &str) {
    let disk = Disk::new(name);
    let mut daemon = Daemon::new(0, 3, &["--fault", fault]);
    daemon.region();
    let pid = daemon.child.id().try_into().unwrap();
    let look = || fs::read(&disk.0).unwrap();
    // A write came between two looks: it counts from the first of them.
    let (mut looked, mut written) = (Instant::now(), Instant::now());
    let mut found = look();
    thread::scope(|scope| {
        let start = scope.spawn(|| daemon.start(&disk.0));
        until("fenced", || {
            let before = std::mem::replace(&mut looked, Instant::now());
            let now = look();
            if now != found {
                (found, written) = (now, before);
            }
            ended(pid)
        });
        assert_eq!(start.join().unwrap().0, Ok(()));
    });
    about(name, written.elapsed(), 4.0, LATE);
    daemon.went_in_time("R");
    assert!(!mountpoint::ours(&daemon.world.mount));
    assert_ne!(disk.slot(0).generation, 0, "stopped uncleanly");
}

/// The end of a daemon waits for the last blocks, but not for ever.
pub(super) fn hung_end() {
    let disk = Disk::new("end");
    let daemon = Daemon::new(0, 31, &["--fault", "hang=write@6.."]);
    daemon.region();
    assert_eq!(daemon.start(&disk.0).0, Ok(()));
    until("a beat hangs", || daemon.world.status()["regions"][0]["phase"] == "silent");
    let begin = Instant::now();
    drop(daemon);
    about("hung end", begin.elapsed(), 3.0, LATE);
}
