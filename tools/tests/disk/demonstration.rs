//! `uo2cb demo --disk`: the words that its reader is to find, and the times that they promise.

use super::*;

pub(super) fn ends_well() {
    let world = World::new();
    let mut demo = world.command();
    let output = demo.args(["demo", "--disk"]).env("TMPDIR", world.folder.path()).output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let after = |step: &str| -> f64 {
        let rest = out.split_once(step).unwrap_or_else(|| panic!("{step}: {out}")).1;
        let time = rest.split_once("# after ").and_then(|(_, rest)| rest.split_once(" s\n"));
        time.unwrap_or_else(|| panic!("no time after {step}: {out}")).0.parse().unwrap()
    };
    let first = |words: &str| out.find(words).unwrap_or_else(|| panic!("{words}: {out}"));
    // Steady after 8.1 s; dead after 4 equal samples, where the last block was up to a beat old at the kill, and seen
    // up to a beat after it was written; left at the next beat. On a busy machine all that is late.
    assert!((8.0..12.5).contains(&after("$ wait $starts")), "{out}");
    assert!((6.0..14.0).contains(&after("$ kill -9 ")), "{out}");
    let left = &out[first("$ uo2cb umount beta")..first("\n# and all back")];
    assert!(left.contains("beta (1) down, stopped") && left.contains("1     left"), "{left}");
    for words in ["gamma is killed", "gamma (2) down, silent", "nothing is left behind"] {
        first(words);
    }
    assert!(
        first("gamma (2) up") < first("gamma (2) down") && first("gamma (2) down") < first("beta (1) down")
    );
}
