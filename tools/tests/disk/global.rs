//! Global mode: a node lives on while more than half of its quorum regions do.
//!
//! The faults of a daemon hit all its disks, each after so many requests: so the regions are started one after the other,
//! and lost in that order. There is one read before the first beat, and two requests a beat.

use super::*;

/// A daemon in global mode with the regions R0, R1 ... configured.
struct Global {
    daemon: Daemon,
    /// The tree of debugfs.
    debug: tempfile::TempDir,
    disks: Vec<Disk>,
    _beside: Beside,
}

impl Global {
    fn new(name: &str, regions: usize, fault: &str) -> Self {
        let debug = tempfile::tempdir().unwrap();
        let options = ["--fault", fault, "--debugfs", debug.path().to_str().unwrap()];
        let daemon = Daemon::new(0, 3, &options);
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
        let _beside = beside(&disks, 3);
        Self { daemon, debug, disks, _beside }
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

/// Four quorum regions: one may be lost, with the second one the node must go.
pub(super) fn two_of_four(name: &str, fault: &str) {
    // So R0 is lost 30 s after its start, and given up 2 s later.
    let mut global = Global::new(name, 4, &format!("{fault}@32.."));
    let begin = Instant::now();
    thread::scope(|scope| {
        for (region, second) in [(0, 0), (1, 8), (2, 12), (3, 12)] {
            thread::sleep(Duration::from_secs(second).saturating_sub(begin.elapsed()));
            let global = &global;
            scope.spawn(move || assert_eq!(global.start(region), Ok(()), "region {region}"));
        }
    });
    until("a quorum of four", || global.sets() == ["0 1 2 3", "0 1 2 3", ""]);
    let mut then = None;
    until("one has failed", || {
        let sets = global.sets();
        let live = global.debug("livenodes").unwrap();
        let silent: u64 = global.debug("R0/elapsed_time_in_ms").unwrap().parse().unwrap();
        let failed = !sets[2].is_empty();
        then = Some((sets, live, silent));
        failed
    });
    let (sets, live, silent) = then.unwrap();
    assert_eq!(sets, ["0 1 2 3", "0 1 2 3", "0"]);
    assert!(silent >= 4000, "{silent}");
    // Nobody is gone, least of all this node.
    assert_eq!(live, "0 1");

    until("fenced", || global.daemon.child.try_wait().unwrap().is_some());
    global.daemon.went_in_time("R1");
    assert!(!mountpoint::ours(&global.daemon.world.mount) && !mountpoint::ours(global.debug.path()));
    for disk in &global.disks {
        assert_ne!(disk.slot(0).generation, 0, "stopped uncleanly");
    }
    let log = global.log();
    let first = format!("Heartbeat write timeout to device {} ", global.disks[0].name());
    let lines: Vec<_> = log.lines().filter(|line| line.contains(&first)).collect();
    assert_eq!(lines.len(), 1, "{log}");
    in_time(lines[0], " after ");
}

/// Two of four configured regions have no disk that works: they do not count, and of the other two none may be lost.
pub(super) fn two_of_four_missing() {
    let mut global = Global::new("missing", 4, "eio=write@13..");
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
    until("fenced", || global.daemon.child.try_wait().unwrap().is_some());
    global.daemon.went_in_time("R0");
}
