//! The command as people and scripts meet it: help, completions, streams and their ends.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{World, can_mount, ended, kill, not_run, text, until};
use serde_json::Value;

const COMMANDS: [&str; 9] =
    ["mount", "umount", "status", "watch", "hold", "demo", "format", "dump", "completions"];

#[test]
fn help_fits_the_width_of_a_terminal() {
    let world = World::new();
    for command in COMMANDS {
        let by_option = world.ok(&[command, "--help"]);
        assert_eq!(by_option, world.ok(&["help", command]));
        for width in ["80", "100"] {
            let run = |arguments: &[&str]| {
                let output = world.command().args(arguments).env("COLUMNS", width).output().unwrap();
                assert!(output.status.success());
                text(&output.stdout)
            };
            for help in [run(&[command, "--help"]), run(&[command, "-h"]), run(&["help"]), run(&["--help"])] {
                let long = help.lines().find(|line| line.chars().count() > width.parse().unwrap());
                assert_eq!(long, None, "{command}, {width} columns");
            }
        }
    }
    world.fails(&["umount", "nowhere"], 1, "nowhere: no such directory");
    assert_eq!(world.run(&["help", "frobnicate"]).status.code(), Some(2));
}

#[test]
fn followers_end_with_the_reader_of_their_output() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.mount();
    world.cluster();
    for arguments in [&["watch"][..], &["hold", "R"], &["watch", "--json"]] {
        let mut child = world.command().args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.contains("up"), "{line}");
        drop(lines);
        // No event comes.
        let mut status = None;
        until("ended", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{arguments:?}");
    }
    until("released", || world.status()["regions"][0]["holds"] == 0);
    assert_eq!(world.status()["consumers"], 0);
}

/// The last line of a stream of JSON, once the follower has ended with this status.
fn last(follower: &mut common::Follower, code: Option<i32>) -> String {
    until("ended", || follower.child.try_wait().unwrap().is_some());
    assert_eq!(follower.child.wait().unwrap().code(), code);
    let lines = follower.lines();
    let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    last["ended"].as_str().unwrap_or_else(|| panic!("{lines:?}")).to_owned()
}

#[test]
fn a_stream_of_json_says_why_it_ends() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let pid = world.mount();
    world.cluster();
    for arguments in [&["watch", "--json"][..], &["hold", "R", "--json"]] {
        let mut follower = world.follower(arguments);
        follower.signal(libc::SIGTERM);
        assert_eq!(last(&mut follower, Some(0)), "released");
    }
    let mut slow = world.follower(&["watch", "--json"]);
    slow.signal(libc::SIGSTOP);
    world.link("n1");
    slow.signal(libc::SIGCONT);
    assert_eq!(last(&mut slow, Some(1)), "expelled: took more than 2 seconds with an event");
    assert!(world.log(pid).contains("expelled"));

    let refused = world.run(&["hold", "S", "--json"]);
    let line: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(line["ended"], "there is no such region (ENOENT)");
    assert_eq!((refused.status.code(), text(&refused.stderr).lines().count()), (Some(1), 1));

    // As many clients as there are places for.
    let socket = world.run_dir().join(format!("{pid}.sock"));
    let clients: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(b"{\"request\":\"watch\"}\n").unwrap();
            // One that is registered has an answer.
            stream.read_exact(&mut [0]).unwrap();
            stream
        })
        .collect();
    let full = world.run(&["watch", "--json", "--mount", "config"]);
    assert_eq!(full.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&full.stdout).unwrap();
    assert!(line["ended"].is_string(), "{line}");
    drop(clients);

    let mut follower = world.follower(&["watch", "--json"]);
    world.ok(&["umount", "config"]);
    assert_eq!(last(&mut follower, Some(1)), "the node stops");
    let pid = world.mount();
    let mut follower = world.follower(&["watch", "--json"]);
    kill(pid, libc::SIGKILL);
    let why = last(&mut follower, Some(1));
    assert!(why.contains("killed, crashed or fenced"), "{why}");
    until("dead", || ended(pid));
    world.ok(&["umount", "config"]);
    let none = world.run(&["watch", "--json"]);
    let line: Value = serde_json::from_slice(&none.stdout).unwrap();
    assert!(line["ended"].as_str().unwrap().contains("no uo2cb of yours is running"), "{line}");
}

/// What a shell offers for a line: a program in its own language that prints one candidate a line.
struct Shell {
    name: &'static str,
    /// `@LINE@` stands for the line, `@WANTED@` for what it must print.
    program: &'static str,
}

const SHELLS: [Shell; 3] = [
    Shell {
        name: "bash",
        program: "source ./script
            COMP_LINE='@LINE@'; COMP_POINT=${#COMP_LINE}
            IFS=' ' read -ra COMP_WORDS <<< \"$COMP_LINE\"
            [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=('')
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _clap_complete_uo2cb uo2cb \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"
            printf '%s\\n' \"${COMPREPLY[@]}\"",
    },
    Shell {
        name: "zsh",
        // Interactive, as completion wants it: what it lists goes to the pseudo-terminal.
        program: "zmodload zsh/zpty
            zpty -b shell zsh -f -i
            zpty -w shell 'PROMPT=; autoload -U compinit; compinit -u -D; source ./script; unsetopt beep'
            zpty -w shell 'LISTMAX=10000; zstyle \":completion:*\" list-separator --; print rea\"\"dy'
            until [[ $out == *ready* ]]; do zpty -r shell line && out+=$line; done
            zpty -n -w shell $'@LINE@\\t\\t'
            out=; for i in {1..300}; do
                zpty -r -t shell line && out+=$line
                [[ $out == *@WANTED@* ]] && break
                sleep 0.05
            done
            zpty -d shell; print -r -- $out",
    },
    Shell { name: "fish", program: "source ./script; complete -C '@LINE@' | string replace -r '\\t.*' ''" },
];

fn offered(world: &World, shell: &Shell, line: &str, wanted: &str) -> Option<String> {
    let bin = Path::new(env!("CARGO_BIN_EXE_uo2cb")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    fs::write(world.folder.path().join("script"), world.ok(&["completions", shell.name])).unwrap();
    let program = shell.program.replace("@LINE@", line).replace("@WANTED@", wanted);
    let output = Command::new(shell.name)
        .args(["-c", &program])
        .env("PATH", path)
        .env("UO2CB_RUNTIME_DIR", world.run_dir())
        .env("HOME", world.folder.path())
        .env("TERM", "dumb")
        .env_remove("UO2CB_MOUNT")
        .current_dir(world.folder.path())
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => Some(text(&output.stdout)),
        Err(_) => {
            not_run(&format!("completions in {}: it is not installed", shell.name));
            None
        }
    }
}

#[test]
fn shells_complete_options_regions_and_mounts() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.mount();
    world.cluster();
    fs::create_dir(world.at("cluster/c/heartbeat/8F3C0D9A")).unwrap();
    let mount = world.mount.to_str().unwrap();
    for shell in &SHELLS {
        for (line, wanted) in [
            ("uo2cb ho", "hold"),
            ("uo2cb mount --heartb", "--heartbeat-mode"),
            ("uo2cb hold 8", "8F3C0D9A"),
            ("uo2cb umount ", mount),
            ("uo2cb status --mount ", mount),
            ("uo2cb help com", "completions"),
        ] {
            if let Some(out) = offered(&world, shell, line, wanted) {
                assert!(out.contains(wanted), "{}: {line}: {out:?}", shell.name);
            }
        }
        for (line, hidden) in [("uo2cb mount --re", "--report"), ("uo2cb demo --in", "--in-namespace")] {
            // Not waited for where a terminal would show it.
            if let Some(out) = (shell.name != "zsh").then(|| offered(&world, shell, line, hidden)).flatten() {
                assert!(!out.contains(hidden), "{}: {line}: {out:?}", shell.name);
            }
        }
    }
    assert_eq!(world.run(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn a_killed_demonstration_leaves_no_daemon() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let mut demo = world
        .command()
        .args(["demo", "--disk"])
        .env("TMPDIR", world.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pids = Vec::new();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    while pids.len() < 3 {
        let line = lines.next().unwrap();
        if let Some((_, pid)) = line.split_once(", pid ").filter(|_| line.starts_with("mounted on ")) {
            pids.push(pid.parse::<i32>().unwrap());
        }
    }
    assert!(pids.iter().all(|pid| !ended(*pid)));
    demo.kill().unwrap();
    demo.wait().unwrap();
    for pid in pids {
        until("ended", || ended(pid));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(world.folder.path().to_str().unwrap()));
}

#[test]
fn a_demonstration_ends_when_nobody_reads_on() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let mut demo = world
        .command()
        .arg("demo")
        .env("TMPDIR", world.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    drop(lines);
    assert_eq!(demo.wait().unwrap().code(), Some(1));
    let mut err = String::new();
    demo.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(err.contains("demo: interrupted"), "{err}");
    // The mount point of this test itself, and nothing more.
    assert_eq!(fs::read_dir(world.folder.path()).unwrap().count(), 1);
}
