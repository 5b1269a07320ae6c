//! What `status` says of real daemons and their disks.

use super::*;
use serde_json::Value;

impl Daemon {
    /// A region whose numbers have been written.
    fn complete(&self, region: &str) {
        let dir = self.at("cluster/c/heartbeat").join(region);
        fs::create_dir(&dir).unwrap();
        for (file, value) in [("block_bytes", "512"), ("start_block", "1"), ("blocks", "8")] {
            fs::write(dir.join(file), value).unwrap();
        }
    }

    /// Returns when it is steady.
    fn beats_on(&self, region: &str, disk: &Path) {
        let disk = File::options().read(true).write(true).open(disk).unwrap();
        let dev = self.at("cluster/c/heartbeat").join(region).join("dev");
        let mut dev = File::options().write(true).open(dev).unwrap();
        dev.write_all(disk.as_raw_fd().to_string().as_bytes()).unwrap();
    }

    fn shown(&self, region: usize) -> Value {
        self.world.status()["regions"][region].clone()
    }

    /// Waits for a warning about the first region.
    #[track_caller]
    fn until_warned(&self, words: &str) -> Value {
        let mut shown = Value::Null;
        until(words, || {
            shown = self.shown(0);
            let warnings = shown["disk"]["warnings"].as_array().cloned().unwrap_or_default();
            warnings.iter().any(|warning| warning.as_str().unwrap().contains(words))
        });
        shown
    }
}

#[test]
fn status_tells_what_is() {
    side_by_side(&[
        ("a hung disk", hung),
        ("files", files),
        ("other writers", others),
        ("a fence", the_next_daemon_tells_of_a_fence),
    ]);
}

fn hung() {
    let disk = Disk::new("hung");
    let daemon = Daemon::new(0, 31, &["--fault", "hang=write@7.."]);
    daemon.complete("R");
    assert_eq!(daemon.shown(0)["phase"], "no device");
    assert!(daemon.world.ok(&["status"]).contains("none: it does not beat, dev has not been written"));
    thread::scope(|scope| {
        let start = scope.spawn(|| daemon.start(&disk.0));
        let mut shown = Value::Null;
        until("it starts", || {
            shown = daemon.shown(0);
            shown["phase"] == "starting"
        });
        let seconds = |key: &str| shown["disk"][key].as_u64().unwrap();
        assert!(seconds("start_at_least_in_ms") <= 8000, "{shown}");
        assert!((8000..=18_000).contains(&seconds("start_at_most_in_ms")), "{shown}");
        assert_eq!(start.join().unwrap().0, Ok(()));
    });
    let mut shown = Value::Null;
    until("it is silent", || {
        shown = daemon.shown(0);
        shown["phase"] == "silent"
    });
    let disk = &shown["disk"];
    // Whole milliseconds: it was more than that by less than one, perhaps.
    assert!(disk["silent_in_ms"].as_u64().unwrap() >= 3000, "{shown}");
    assert_eq!((&disk["steady"], &disk["write_timeout_in_ms"]), (&true.into(), &60_000.into()));
    let text = daemon.world.ok(&["status"]);
    assert!(text.contains(", silent for ") && text.contains(" ms of 60000 ms write timeout"), "{text}");
}

fn files() {
    let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()).collect();
    let paths: Vec<_> = dirs.iter().map(|dir| fs::canonicalize(dir).unwrap().join("disk.img")).collect();
    let daemon = Daemon::new(0, 31, &[]);
    thread::scope(|scope| {
        for (region, path) in ["R", "S"].into_iter().zip(&paths) {
            File::create(path).unwrap().set_len(16 * 512).unwrap();
            daemon.complete(region);
            let daemon = &daemon;
            scope.spawn(move || daemon.beats_on(region, path));
        }
    });
    for (region, path) in paths.iter().enumerate() {
        let shown = daemon.shown(region);
        assert_eq!(shown["phase"], "steady", "{shown}");
        let disk = &shown["disk"];
        assert_eq!((&disk["device"], &disk["deleted"]), (&"disk.img".into(), &false.into()));
        assert_eq!(disk["path"], path.to_str().unwrap());
    }
    let elsewhere = paths[1].with_file_name("moved.img");
    fs::rename(&paths[1], &elsewhere).unwrap();
    fs::remove_file(&paths[0]).unwrap();
    let disk = daemon.shown(0)["disk"].take();
    assert_eq!((&disk["path"], &disk["deleted"]), (&paths[0].to_str().unwrap().into(), &true.into()));
    assert_eq!(daemon.shown(1)["disk"]["path"], elsewhere.to_str().unwrap());
    let text = daemon.world.ok(&["status"]);
    assert!(
        text.contains("  disk     disk.img, steady; ")
            && text.contains(&format!(" of {} (deleted)\n", paths[0].display())),
        "{text}"
    );
    // What is removed has no place any more.
    fs::remove_dir(daemon.at("cluster/c/heartbeat/R")).unwrap();
    assert_eq!(daemon.world.status()["regions"].as_array().unwrap().len(), 1);
}

fn others() {
    let disk = Disk::new("others");
    let daemon = Daemon::new(0, 31, &[]);
    // Of the nodes 0, 1 and 2 the middle one is not there.
    fs::remove_dir(daemon.at("cluster/c/node/n1")).unwrap();
    daemon.complete("R");
    daemon.beats_on("R", &disk.0);
    let write = |slot: u64, block: Block| {
        let mut bytes = [0; 512];
        block.encode(&mut bytes);
        File::options().write(true).open(&disk.0).unwrap().write_all_at(&bytes, (1 + slot) * 512).unwrap();
    };
    write(1, Block { seq: 5, node: 1, generation: 9, dead_ms: 62_000 });
    let shown = daemon.until_warned("node 1 writes here and is not configured");
    assert_eq!(shown["disk"]["strangers"], serde_json::json!([1]));
    assert_eq!((&shown["phase"], &shown["disk"]["own_slot"]), (&"steady".into(), &Value::Null));
    // Until it is seen: one that comes while a beat is on its way is written over.
    until("two daemons use its number", || {
        write(0, Block { generation: 0x77, ..disk.slot(0) });
        thread::sleep(Duration::from_millis(300));
        daemon.shown(0)["disk"]["own_slot"] != Value::Null
    });
    let shown = daemon.until_warned("two daemons use its number");
    assert_eq!(shown["disk"]["own_slot"]["generation"], "0x77");
    // A node of another dead threshold, which lives for a while.
    let mut seq = 100;
    until("a warning", || {
        seq += 1;
        write(2, Block { seq, node: 2, generation: 9, dead_ms: 20_000 });
        thread::sleep(Duration::from_millis(500));
        !daemon.shown(0)["disk"]["other_dead_ms"].as_array().unwrap().is_empty()
    });
    daemon.until_warned("node 2 takes others for dead after 20000 ms");
    fs::remove_dir(daemon.at("cluster/c/node/n2")).unwrap();
    let up = daemon.shown(0)["up"].take();
    assert_eq!((&up[1]["name"], &up[1]["configured"]), (&"n2".into(), &false.into()));
    assert_eq!(up[0].get("configured"), None);
    // Refusals and the log.
    assert!(fs::create_dir(daemon.at("cluster/d")).is_err());
    assert!(fs::create_dir(daemon.at("cluster/d")).is_err());
    let status = daemon.world.status();
    let refused = status["refusals"].as_array().unwrap().last().unwrap();
    assert!(refused["line"].as_str().unwrap().starts_with("mkdir cluster/d: "), "{refused}");
    assert_eq!(refused["times"], 2);
    assert!(status["log"].as_str().unwrap().ends_with("/log"), "{}", status["log"]);
    assert_eq!(status["last_fence"], Value::Null);
}

fn the_next_daemon_tells_of_a_fence() {
    let disk = Disk::new("told");
    let mut daemon = Daemon::new(0, 3, &["--fault", "eio=write@6.."]);
    daemon.complete("R");
    daemon.beats_on("R", &disk.0);
    assert_eq!(daemon.exit_status(), Some(uo2cb::CRASH_STATUS));
    let words = daemon.last_words();
    let fenced = daemon.child.id();
    let again = |times: u32| {
        daemon.world.ok(&["mount", "config"]);
        let status = daemon.world.status();
        let fence = &status["last_fence"];
        assert_eq!(fence["pid"].as_u64(), Some(fenced.into()), "{times}: {fence}");
        let why = fence["why"].as_str().unwrap();
        assert!(why.starts_with("fenced: no good beat of region R") && words.contains(why), "{why}");
        let text = daemon.world.ok(&["status"]);
        assert!(text.contains(&format!("pid {fenced}: {why}\n")), "{text}");
        daemon.world.ok(&["umount", "config"]);
    };
    // Until there is another fence.
    again(1);
    again(2);
    // A daemon in another place knows nothing of it.
    fs::create_dir(daemon.world.folder.path().join("other")).unwrap();
    daemon.world.ok(&["mount", "other"]);
    assert_eq!(daemon.world.status()["last_fence"], Value::Null);
    daemon.world.ok(&["umount", "other"]);
}
