//! The commands of README.md, section by section, each in an empty folder, as somebody who reads it would type them.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{can_mount, text};

/// Title and indented lines of each section.
fn sections() -> Vec<(String, String)> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let mut sections = vec![(String::new(), String::new())];
    for line in readme.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            sections.push((title.to_owned(), String::new()));
        } else if let Some(command) = line.strip_prefix("    ") {
            let section = sections.last_mut().unwrap();
            section.1 += &format!("{command}\n");
        }
    }
    sections
}

#[test]
fn every_section_works_from_an_empty_folder() {
    if !can_mount() {
        return;
    }
    let port = uo2cb_test_support::port::reserve().to_string();
    let bin = Path::new(env!("CARGO_BIN_EXE_uo2cb")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", bin.display());
    let mut played = 0;
    // The first one builds, and runs all tests.
    for (title, commands) in sections().into_iter().skip(1).filter(|(_, commands)| !commands.is_empty()) {
        assert!(
            commands.contains("uo2cb mount ") && commands.contains("uo2cb umount "),
            "{title}: no mount of its own"
        );
        let folder = tempfile::tempdir().unwrap();
        let runtime = folder.path().join("runtime");
        fs::create_dir(&runtime).unwrap();
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).unwrap();
        let work = folder.path().join("work");
        fs::create_dir(&work).unwrap();
        let output = Command::new("bash")
            .args(["-euxc", &commands.replace("7777", &port)])
            .current_dir(&work)
            .env("PATH", &path)
            .env("UO2CB_RUNTIME_DIR", &runtime)
            .env_remove("UO2CB_MOUNT")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{title}: {out}{err}");
        // Whatever a command in the background had to say.
        assert!(!err.contains("rror") && !err.contains("denied"), "{title}: {out}{err}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(folder.path().to_str().unwrap()), "{title}: left mounted");
        played += 1;
    }
    assert!(played >= 4, "{played}");
}
