//! Global mode: a node lives on while more than half of its quorum regions do.
//!
//! The faults of a daemon hit all its disks, each so long after it was opened: so the regions are started one
//! after the other, and lost in that order.

use super::*;

const DEAD_THRESHOLD: u32 = 3;
/// A node gives a region up this long after its last good write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2 * (DEAD_THRESHOLD as u64 - 1));
/// The others call it dead after as many silent samples, two seconds apart.
const CALLED_DEAD: Duration = Duration::from_secs(2 * DEAD_THRESHOLD as u64);
/// What a beat on these disks and a look at a file take: by so much it may seem early.
const SLACK: Duration = Duration::from_millis(400);

/// A daemon in global mode with the regions R0, R1 ... configured.
struct Global {
    daemon: Daemon,
    /// The tree of debugfs.
    debug: tempfile::TempDir,
    disks: Vec<Disk>,
}

impl Global {
    fn new(name: &str, regions: usize, fault: &str) -> Self {
        let debug = tempfile::tempdir().unwrap();
        let options = ["--fault", fault, "--debugfs", debug.path().to_str().unwrap()];
        let daemon = Daemon::new(0, DEAD_THRESHOLD, &options);
        fs::write(daemon.at("cluster/c/heartbeat/mode"), "global").unwrap();
        let disks: Vec<_> = (0..regions).map(|region| Disk::new(&format!("{name}{region}"))).collect();
        for (region, disk) in disks.iter().enumerate() {
            let dir = daemon.at(&format!("cluster/c/heartbeat/R{region}"));
            fs::create_dir(&dir).unwrap();
            for (file, value) in [("block_bytes", "512"), ("start_block", "1"), ("blocks", "8")] {
                fs::write(dir.join(file), value).unwrap();
            }
            // An old slot is steady sooner than a zeroed one.
            let mut slot = [0; 512];
            Block { seq: 1, ..Block::default() }.encode(&mut slot);
            File::options().write(true).open(&disk.0).unwrap().write_all_at(&slot, 512).unwrap();
        }
        Self { daemon, debug, disks }
    }

    /// Starts a region; returns when it is steady.
    fn start(&self, region: usize) -> Result<(), i32> {
        let disk = File::options().read(true).write(true).open(&self.disks[region].0).unwrap();
        let dev = self.daemon.at(&format!("cluster/c/heartbeat/R{region}/dev"));
        let mut dev = File::options().write(true).open(dev).unwrap();
        let result = dev.write_all(disk.as_raw_fd().to_string().as_bytes());
        result.map_err(|error| error.raw_os_error().unwrap())
    }

    /// A file of debugfs; none when the daemon is gone.
    fn debug(&self, file: &str) -> Option<String> {
        let text = fs::read_to_string(self.debug.path().join("o2hb").join(file)).ok()?;
        Some(text.trim().to_owned())
    }

    /// The regions that are live, count for the quorum, and have failed.
    fn sets(&self) -> [String; 3] {
        ["live_regions", "quorum_regions", "failed_regions"].map(|file| self.debug(file).unwrap())
    }

    /// When the last good write of a region ended.
    fn last_good(&self, region: usize) -> Option<Instant> {
        let asked = Instant::now();
        let elapsed = self.debug(&format!("R{region}/elapsed_time_in_ms"))?;
        asked.checked_sub(Duration::from_millis(elapsed.parse().unwrap()))
    }

    /// Waits for the end; gives the last good write of a region and how long after it that came.
    fn until_fenced(&mut self, region: usize) -> Duration {
        let mut last = None;
        until("fenced", || {
            last = self.last_good(region).or(last);
            self.daemon.child.try_wait().unwrap().is_some()
        });
        let took = last.unwrap().elapsed();
        assert_eq!(self.daemon.exit_status(), Some(uo2cb::CRASH_STATUS));
        took
    }

    fn log(&self) -> String {
        fs::read_to_string(self.daemon.world.folder.path().join("log")).unwrap()
    }
}

impl Drop for Global {
    fn drop(&mut self) {
        // What a failed test leaves.
        if mountpoint::ours(self.debug.path()) {
            let _ = mountpoint::detach(self.debug.path());
        }
    }
}

/// Not before the write timeout, and before others call this node dead.
#[track_caller]
fn in_time(name: &str, took: Duration) {
    let margin = CALLED_DEAD.saturating_sub(took);
    println!("{name}: gone {took:?} after the last good write, {margin:?} before others miss it");
    // It counts from when the write was wanted, and this from when it ended.
    assert!(took + SLACK > WRITE_TIMEOUT && took < CALLED_DEAD, "{name}: {took:?}");
}

/// Four quorum regions: one may be lost, with the second one the node must go.
pub(super) fn two_of_four(name: &str, fault: &str) {
    let mut global = Global::new(name, 4, &format!("{fault}@20s.."));
    let begin = Instant::now();
    thread::scope(|scope| {
        // So R0 is lost after 20 s, and given up after at most 24; R1 after 25 and at least 27.
        for (region, second) in [(0, 0), (1, 5), (2, 8), (3, 8)] {
            thread::sleep(Duration::from_secs(second).saturating_sub(begin.elapsed()));
            let global = &global;
            scope.spawn(move || assert_eq!(global.start(region), Ok(()), "region {region}"));
        }
    });
    until("a quorum of four", || global.sets() == ["0 1 2 3", "0 1 2 3", ""]);
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "steady too late for this test: {:?}",
        begin.elapsed()
    );
    let mut lost = None;
    until("one has failed", || {
        lost = global.last_good(0).or(lost);
        global.sets()[2] == "0"
    });
    in_time(&format!("{name}, the first"), lost.unwrap().elapsed());
    assert_eq!(global.sets(), ["0 1 2 3", "0 1 2 3", "0"]);
    // Nobody is gone, least of all this node.
    assert_eq!(global.debug("livenodes").unwrap(), "0");
    let timeouts = || global.log().matches("Heartbeat write timeout").count();
    until("a line of the log", || timeouts() > 0);
    assert_eq!(timeouts(), 1);

    let took = global.until_fenced(1);
    in_time(&format!("{name}, the second"), took);
    assert!(!mountpoint::ours(&global.daemon.world.mount) && !mountpoint::ours(global.debug.path()));
    let words = global.daemon.last_words();
    assert!(words.contains("fenced: no good beat of region R1"), "{words}");
    for disk in &global.disks {
        assert_ne!(disk.slot(0).generation, 0, "stopped uncleanly");
    }
}

/// Two of four configured regions have no disk that works: they do not count, and of the other two none may be lost.
pub(super) fn two_of_four_missing() {
    let mut global = Global::new("missing", 4, "eio=write@14s..");
    for region in [2, 3] {
        File::options().write(true).open(&global.disks[region].0).unwrap().set_len(512).unwrap();
        assert_eq!(global.start(region), Err(libc::EIO));
    }
    let begin = Instant::now();
    thread::scope(|scope| {
        let global = &global;
        scope.spawn(|| assert_eq!(global.start(0), Ok(())));
        thread::sleep(Duration::from_secs(3).saturating_sub(begin.elapsed()));
        assert_eq!(global.start(1), Ok(()));
    });
    until("a quorum of two", || global.sets() == ["0 1", "0 1", ""]);
    let status = global.daemon.world.status();
    let steady = |region: usize| status["regions"][region]["disk"]["steady"].as_bool();
    assert_eq!([0, 1, 2, 3].map(steady), [Some(true), Some(true), None, None], "{status}");
    let took = global.until_fenced(0);
    in_time("two missing", took);
    let words = global.daemon.last_words();
    assert!(words.contains("fenced: no good beat of region R0"), "{words}");
}
