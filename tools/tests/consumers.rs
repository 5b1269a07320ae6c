//! watch, hold, and what clients of the control socket can and cannot do.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{World, can_mount, until};
use serde_json::Value;

/// What stands in the file is looked at the moment the call has returned: nothing is waited for.
#[test]
fn watch_has_written_each_event_once_before_its_call_returned() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.mount();
    world.cluster();
    let watch = world.follower(&["watch", "--json"]);
    let hold = world.follower(&["hold", "R", "--json", "--priority", "-3"]);
    for round in 0..50 {
        for (edge, count) in [("up", 2 * round + 1), ("down", 2 * round + 2)] {
            if edge == "up" {
                world.link("n2")
            } else {
                world.unlink("n2")
            }
            for follower in [&watch, &hold] {
                let lines = follower.lines();
                assert_eq!(lines.len(), count + 1);
                let event: Value = serde_json::from_str(&lines[count]).unwrap();
                assert_eq!(event["event"]["number"], count - 1);
                assert_eq!(event["event"]["edge"], edge);
                assert_eq!(event["event"]["region"], "R");
                assert_eq!(event["event"]["node"]["name"], "n2");
                assert_eq!(event["event"]["pid"], rustix::thread::gettid().as_raw_nonzero().get());
            }
        }
    }
}

#[test]
fn hold_pins_until_it_ends_in_whatever_way() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.mount();
    world.cluster();
    world.link("n1");
    let region = world.at("cluster/c/heartbeat/R");
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        let mut hold = world.follower(&["hold", "R"]);
        assert_eq!(hold.lines(), ["hold R: holding, up: n1 (1)"]);
        world.unlink("n1");
        assert!(hold.lines()[1].contains("n1 (1) down, unlinked by pid"));
        assert_eq!(fs::remove_dir(&region).unwrap_err().raw_os_error(), Some(libc::EBUSY));
        hold.signal(signal);
        let status = hold.child.wait().unwrap();
        if signal == libc::SIGTERM {
            assert!(status.success());
            assert_eq!(hold.lines()[2], "hold R: released");
        }
        until("released", || world.status()["regions"][0]["holds"] == 0);
        world.link("n1");
    }
    world.unlink("n1");
    fs::remove_dir(&region).unwrap();
    world.fails(&["hold", "R"], 1, "hold R: there is no such region (ENOENT)");
}

#[test]
fn a_stopped_watcher_delays_and_is_struck_off() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let pid = world.mount();
    world.cluster();
    let stopped = world.follower(&["watch"]);
    let other = world.follower(&["watch"]);
    stopped.signal(libc::SIGSTOP);
    let start = Instant::now();
    world.link("n1");
    let took = start.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert_eq!(other.lines().len(), 2);
    let start = Instant::now();
    world.unlink("n1");
    assert!(start.elapsed() < Duration::from_secs(1));
    until("logged", || world.log(pid).contains("took too long with event 0"));
    assert_eq!(world.status()["consumers"], 1);
    stopped.signal(libc::SIGCONT);
    let mut stopped = stopped;
    assert_eq!(stopped.child.wait().unwrap().code(), Some(1));
}

#[test]
fn nonsense_on_the_socket_hurts_nobody() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let pid = world.mount();
    let socket = world.run_dir().join(format!("{pid}.sock"));
    let connect = || {
        let stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(uo2cb_test_support::poll::LIMIT)).unwrap();
        (BufReader::new(stream.try_clone().unwrap()), stream)
    };
    let (mut lines, mut stream) = connect();
    let mut ask = |request: &[u8]| {
        stream.write_all(request).unwrap();
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line
    };
    for nonsense in [
        &b"\n"[..],
        b"nonsense\n",
        b"\xff\xfe\n",
        b"[]\n",
        b"7\n",
        b"{\"request\":7}\n",
        b"{\"request\":\"hold\"}\n",
        b"{\"request\":\"hold\",\"region\":\"R\",\"priority\":1e99}\n",
    ] {
        assert!(ask(nonsense).starts_with("{\"error\":"), "{nonsense:?}");
    }
    assert!(ask(b"{\"delivered\":7}\n{\"request\":\"status\"}\n").starts_with("{\"status\":"));
    assert!(ask(b"{\"request\":\"hold\",\"region\":\"R\"}\n").contains("ENOENT"));
    assert!(ask(b"{\"request\":\"watch\"}\n").starts_with("{\"watching\":"));
    assert!(ask(b"{\"request\":\"watch\"}\n").starts_with("{\"error\":"));

    // A line without end: an error, and the end of the connection.
    let (mut huge, mut stream) = connect();
    let _ = stream.write_all(&[b'x'; 100_000]);
    let mut answer = String::new();
    let _ = huge.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.contains("at most 4096 bytes"), "{answer}");

    // More clients than it takes, of whom none reads.
    let clients: Vec<_> = (0..100).map(|_| connect().1).collect();
    for mut client in &clients {
        let _ = client.set_write_timeout(Some(Duration::from_millis(1)));
        for _ in 0..200 {
            if client.write_all(b"{\"request\":\"status\"}\n").is_err() {
                break;
            }
        }
    }
    world.cluster();
    let start = Instant::now();
    world.link("n1");
    assert!(start.elapsed() < Duration::from_secs(10));
    drop(clients);
    until("answers again", || world.run(&["status"]).status.success());
    world.ok(&["umount", "config"]);
}

#[test]
fn the_end_of_the_node_is_told() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    world.mount();
    let mut watch = world.follower(&["watch", "--json"]);
    world.ok(&["umount", "config"]);
    assert_eq!(watch.child.wait().unwrap().code(), Some(1));
    let lines = watch.lines();
    assert_eq!((lines.len(), lines[1].as_str()), (2, r#"{"ended":"the node stops"}"#));
}
