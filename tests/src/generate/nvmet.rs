//! Random operations on links and on what they point to.

use super::{FLAGS, descriptor_line};
use crate::rng::Rng;

const HOSTS: &[&str] = &["h1", "h2", "h3"];
const SUBSYSTEMS: &[&str] = &["s1", "s2"];
const LINKS: &[&str] = &["h1", "h2", "h3", "l"];
const VALUES: &[&str] = &["0", "1", "1%0A", "y", "n", "junk"];
const FOLDERS: &[&str] =
    &["@", "@/nvmet", "@/nvmet/hosts", "@/nvmet/hosts/h1", "@/nvmet/subsystems/s1/allowed_hosts", "^", "^/d"];

/// Something to meet from the first operation on, and every descriptor open.
pub(super) fn start() -> Vec<String> {
    let mut lines = vec!["mkdir @/nvmet/hosts/h1".to_owned(), "mkdir @/nvmet/subsystems/s1".to_owned()];
    lines.extend(super::DESCRIPTORS.iter().map(|descriptor| format!("open {descriptor} @/nvmet/hosts r")));
    lines
}

/// One operation, or a few that belong together.
pub(super) fn step(rng: &mut Rng, lines: &mut Vec<String>) {
    match rng.below(100) {
        0..14 => lines.push(format!("mkdir {}", item(rng))),
        14..22 => lines.push(format!("rmdir {}", item(rng))),
        22..48 => lines.push(format!("symlink {} {}", target(rng), link(rng))),
        48..58 => lines.push(format!("unlink {}", link(rng))),
        58..64 => lines.push(format!("readlink {}", link(rng))),
        64..70 => lines.push(format!("{} {}", rng.pick(&["lstat", "stat", "rmdir", "mkdir"]), link(rng))),
        70..78 => lines.push(format!("readdir {}", listing(rng))),
        78..84 => lines.push(format!("chdir {}", rng.pick(FOLDERS))),
        84..88 => lines.push(format!("put {} {}", attribute(rng), rng.pick(VALUES))),
        88..90 => lines.push(format!("cat {}", attribute(rng))),
        90..93 => {
            lines.push(format!("open {} {} {}", rng.pick(super::DESCRIPTORS), listing(rng), rng.pick(FLAGS)));
        }
        93..97 => lines.push(descriptor_line(rng, VALUES, super::PLAIN_WHENCES)),
        97 => {
            // One name outside, pointing somewhere else each time.
            lines.push("unlink ^/outer".to_owned());
            lines.push(format!("symlink {} ^/outer", target(rng)));
        }
        98 => lines.push(format!("rename {} {}", link(rng), link(rng))),
        _ => lines.push(format!("as 1000 unlink {}", link(rng))),
    }
}

fn item(rng: &mut Rng) -> String {
    if rng.chance(60) {
        format!("@/nvmet/hosts/{}", rng.pick(HOSTS))
    } else {
        format!("@/nvmet/subsystems/{}", rng.pick(SUBSYSTEMS))
    }
}

fn link(rng: &mut Rng) -> String {
    format!("@/nvmet/subsystems/{}/allowed_hosts/{}", rng.pick(SUBSYSTEMS), rng.pick(LINKS))
}

fn attribute(rng: &mut Rng) -> String {
    format!("@/nvmet/subsystems/{}/attr_allow_any_host", rng.pick(SUBSYSTEMS))
}

/// Directories of which a real kernel shows nothing else.
fn listing(rng: &mut Rng) -> String {
    match rng.below(5) {
        0 => "@/nvmet/hosts".to_owned(),
        1 => "@/nvmet/subsystems".to_owned(),
        2 => format!("@/nvmet/hosts/{}", rng.pick(HOSTS)),
        _ => format!("@/nvmet/subsystems/{}/allowed_hosts", rng.pick(SUBSYSTEMS)),
    }
}

fn target(rng: &mut Rng) -> String {
    match rng.below(20) {
        0..9 => format!("@/nvmet/hosts/{}", rng.pick(HOSTS)),
        9 => format!("hosts/{}", rng.pick(HOSTS)),
        10 => format!("nvmet/hosts/{}", rng.pick(HOSTS)),
        11 => rng.pick(HOSTS).to_owned(),
        12 => format!("../../../hosts/{}", rng.pick(HOSTS)),
        13..15 => link(rng),
        15 => item(rng),
        16 => attribute(rng),
        17 => "^/outer".to_owned(),
        18 => listing(rng),
        _ => rng.pick(&["^/d", "^/f", "@", ".", "..", "missing", "/"]).to_owned(),
    }
}
