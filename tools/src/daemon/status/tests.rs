use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use uo2cb_core::heartbeat::NodeName;
use uo2cb_core::heartbeat::disk::{Block, DiskStatus, Findings, Own, OwnSlot};
use uo2cb_core::{DiskPhase, Errno, Instant, ItemId, Name, NodeNum, RegionStatus};

use super::super::clock::utc;
use super::regions::Regions;
use super::text::Times;

fn num(num: u64) -> NodeNum {
    NodeNum::new(num).unwrap()
}

fn disk() -> DiskStatus {
    DiskStatus {
        device: "disk.img".into(),
        pid: 7,
        block_bytes: 512,
        start_block: 1,
        blocks: 8,
        steady: true,
        beats_left: 0,
        beats_limit: 0,
        next_beat: None,
        beating: false,
        last_good: Some(Instant::at(Duration::from_secs(10))),
        write_timeout: Duration::from_secs(60),
        dead_ms: 62_000,
        findings: Findings::default(),
    }
}

fn region(disk: Option<DiskStatus>, phase: Option<DiskPhase>) -> RegionStatus {
    let name = |text: &[u8]| Name::new(text).unwrap();
    let node = |of: u64| (NodeName { num: num(of), name: name(b"n\"\xff") }, Duration::from_millis(1_001));
    RegionStatus {
        id: ItemId(3),
        name: name(b"R\\"),
        method: "disk",
        holds: 1,
        pins: 2,
        phase,
        disk,
        up: vec![node(1), node(2)],
        unconfigured: [num(2)].into_iter().collect(),
    }
}

fn shown(region: &RegionStatus, place: Option<&str>, seconds: u64) -> Value {
    let mut out = b"[".to_vec();
    let mut regions = Regions::default();
    let now = Instant::at(Duration::from_secs(seconds));
    for _ in 0..2 {
        regions.write(&mut out, region, place.map(Path::new), now);
    }
    out.push(b']');
    let mut shown: Value = serde_json::from_slice(&out).unwrap();
    let (first, second) = (shown[0].take(), shown[1].take());
    assert_eq!(first, second);
    first
}

#[test]
fn a_region_of_disk_heartbeat() {
    let steady = shown(&region(Some(disk()), Some(DiskPhase::Steady)), Some("/a/disk.img"), 11);
    let texts = [("name", "R\\\\"), ("method", "disk"), ("phase", "steady")];
    texts.into_iter().for_each(|(key, value)| assert_eq!(steady[key], value, "{key}"));
    assert_eq!((&steady["holds"], &steady["pins"]), (&1.into(), &2.into()));
    let up = serde_json::json!([
        {"name": "n\"\\xff", "num": 1, "since": "1970-01-01T00:00:01.001Z"},
        {"name": "n\"\\xff", "num": 2, "since": "1970-01-01T00:00:01.001Z", "configured": false}]);
    assert_eq!(steady["up"], up);
    let disk = &steady["disk"];
    assert_eq!(disk["path"], "/a/disk.img");
    assert_eq!((&disk["deleted"], &disk["steady"]), (&false.into(), &true.into()));
    assert_eq!((&disk["elapsed_time_in_ms"], &disk["silent_in_ms"]), (&1000.into(), &Value::Null));
    assert_eq!((&disk["own_slot"], &disk["warnings"]), (&Value::Null, &Value::Array(Vec::new())));
}

#[test]
fn a_region_without_a_device() {
    let phase = DiskPhase::NoDevice { numbered: true };
    let shown = shown(&region(None, Some(phase)), None, 11);
    assert_eq!((&shown["phase"], &shown["disk"]), (&"no device".into(), &Value::Null));
}

#[test]
fn a_steady_region_that_hangs_is_silent() {
    let silent = shown(&region(Some(disk()), Some(DiskPhase::Steady)), Some("/a/x (deleted)"), 14);
    assert_eq!((&silent["phase"], &silent["disk"]["silent_in_ms"]), (&"silent".into(), &4000.into()));
    assert_eq!((&silent["disk"]["path"], &silent["disk"]["deleted"]), (&"/a/x".into(), &true.into()));
    assert_eq!(silent["disk"]["write_timeout_in_ms"], 60_000);
}

#[test]
fn findings_and_warnings() {
    let at = Duration::from_secs(60);
    let found = Block { seq: 16, node: 4, generation: 255, dead_ms: 0 };
    let findings = Findings {
        own_slot: Some(OwnSlot { at, own: Own::OtherNode, found, beats: 3 }),
        failed: Some((at, Errno::EIO)),
        dead_ms: vec![(num(1), 20_000), (num(2), 64_000)],
        strangers: [num(5), num(6)].into_iter().collect(),
    };
    let disk = DiskStatus { findings, beats_left: 3, beats_limit: 2, steady: false, ..disk() };
    let shown = shown(&region(Some(disk), Some(DiskPhase::Starting)), None, 11);
    let disk = &shown["disk"];
    assert_eq!(disk["own_slot"]["generation"], "0xff");
    assert_eq!(disk["last_failure"]["errno"], "EIO");
    assert_eq!(disk["strangers"], serde_json::json!([5, 6]));
    assert_eq!(disk["other_dead_ms"][1], serde_json::json!({"num": 2, "dead_ms": 64_000}));
    assert_eq!((&disk["start_at_least_in_ms"], &disk["start_at_most_in_ms"]), (&4000.into(), &2000.into()));
    let warnings: Vec<_> =
        disk["warnings"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    let expected = [
        "cannot succeed any more: it wants 3 good beats, and at most 2 will come",
        "the own slot was written by another node: last at 1970-01-01T00:01:00.000Z, 3 beats so far, then node 4",
        "a beat failed: last at 1970-01-01T00:01:00.000Z (EIO)",
        "node 5 writes here and is not configured",
        "node 6 writes here and is not configured",
        "node 1 takes others for dead after 20000 ms, this one after 62000, and this one goes only after 60000 ms",
        "node 2 takes others for dead after 64000 ms, this one after 62000: dead_threshold",
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    warnings.iter().zip(expected).for_each(|(one, part)| assert!(one.contains(part), "{one}"));
}

#[test]
fn times_are_those_of_the_log() {
    let mut times = Times::default();
    for ms in
        [0, 1, 59_999, 60_000, 1_795_334_131_123, 1_795_334_131_124, 1_709_251_199_000, 0, 4_107_542_400_010]
    {
        let mut out = Vec::new();
        let time = Duration::from_millis(ms);
        times.write(&mut out, time);
        assert_eq!(String::from_utf8(out).unwrap(), format!("\"{}\"", utc(time)));
    }
}
