//! `uo2cb demo --disk` and `--cut`: the words that its reader is to find, and the times that they promise.

use super::*;

/// What it shows.
fn shown(option: &str) -> String {
    let world = World::new();
    // Its disk in memory, if there is such a place: on a slow one a node with a threshold of four beats goes.
    let memory = tempfile::tempdir_in("/dev/shm").ok();
    let place = memory.as_ref().unwrap_or(&world.folder);
    let output = world.command().args(["demo", option]).env("TMPDIR", place.path()).output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    out
}

/// How long a step took.
fn time(out: &str, step: &str) -> f64 {
    let rest = out.split_once(step).unwrap_or_else(|| panic!("{step}: {out}")).1;
    let time = rest.split_once("# after ").and_then(|(_, rest)| rest.split_once(" s\n"));
    time.unwrap_or_else(|| panic!("no time after {step}: {out}")).0.parse().unwrap()
}

/// Fenced as kernels were seen to be: 22.9 s behind the cut, and called dead 37.0 s behind it.
pub(super) fn cut_ends_well() {
    if !rustix::process::geteuid().is_root() {
        return not_run("the demonstration of a network that is cut: networks are for root");
    }
    let out = shown("--cut");
    let fence = time(&out, "$ ip link set to-beta down; wait");
    assert!((20.4..25.4 + LATE).contains(&fence), "{out}");
    let dead = fence + time(&out, "$ sleep 1;") + time(&out, "$ while uo2cb");
    assert!((34.5..39.5 + LATE).contains(&dead), "{fence}, {dead}: {out}");
    assert_eq!(out.matches("hold R: ").count(), 3, "held, told once, released: {out}");
}

pub(super) fn ends_well() {
    let out = shown("--disk");
    let after = |step: &str| time(&out, step);
    let first = |words: &str| out.find(words).unwrap_or_else(|| panic!("{words}: {out}"));
    // Steady after 8.0 s, or a beat later for each other node that comes up meanwhile; dead after 4 equal samples, where
    // the last block was up to a beat old at the kill, and seen up to a beat after it was written; left at the next beat.
    // On a busy machine all that is late. Tenths of a second are shown.
    assert!((7.9..12.0 + LATE).contains(&after("$ wait $starts")), "{out}");
    assert!((5.9..10.0 + LATE).contains(&after("$ kill -9 ")), "{out}");
    let left = &out[first("$ uo2cb umount beta")..first("\n# and all back")];
    assert!(left.contains("beta (1) down, stopped") && left.contains("1     left"), "{left}");
    for words in ["gamma is killed", "gamma (2) down, silent", "nothing is left behind"] {
        first(words);
    }
    assert!(
        first("gamma (2) up") < first("gamma (2) down") && first("gamma (2) down") < first("beta (1) down")
    );
}
