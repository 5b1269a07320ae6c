//! A node whose one disk is lost goes, in time, and a hung disk holds up nobody's end.

use super::*;

/// A node that has become steady, and whose disk takes nothing from the seventh beat on, beside one that beats.
pub(super) fn fenced(name: &str, fault: &str) {
    let disk = Disk::new(name);
    let mut daemon = Daemon::new(0, 3, &["--fault", fault]);
    let _beside = beside([&disk], 3);
    daemon.region();
    let pid = daemon.child.id().try_into().unwrap();
    let file = File::open(&disk.0).unwrap();
    let look = || {
        let mut slot = [0; 512];
        file.read_exact_at(&mut slot, 512).unwrap();
        slot
    };
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

/// A node that nobody else is there to recover gives itself time, for as long as its disk hangs, and says so each time.
pub(super) fn alone() {
    let disk = Disk::new("alone");
    let mut daemon = Daemon::new(0, 3, &["--fault", "hang=write@7.."]);
    daemon.region();
    assert_eq!(daemon.start(&disk.0).0, Ok(()));
    let log = daemon.world.folder.path().join("log");
    // Half of the write timeout each: it would be gone after the second.
    until("it has given itself time four times", || {
        let log = fs::read_to_string(&log).unwrap();
        log.matches(&format!("node 0 hb write hung for 3s on region R ({}).", disk.name())).count() >= 4
    });
    assert!(daemon.child.try_wait().unwrap().is_none());
    assert_eq!(daemon.world.status()["regions"][0]["phase"], "silent");
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
