//! A node in process: the tree by path, callbacks, pins, and the end.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use parking_lot::Mutex;
use uo2cb::control::Client;
use uo2cb::core::Errno;
use uo2cb::{Error, Node};

const SOON: Duration = Duration::from_secs(10);

/// A cluster c with n1 (local, on a free port) and n2, and region R.
fn cluster() -> Node {
    let node = Node::builder().user_heartbeat().start().unwrap();
    node.mkdir("cluster/c").unwrap();
    let free = uo2cb_test_support::port::reserve();
    for (name, num, port) in [("n1", "1", free), ("n2", "2", 7777)] {
        let dir = format!("cluster/c/node/{name}");
        node.mkdir(&dir).unwrap();
        node.write(format!("{dir}/ipv4_address"), format!("127.0.0.{num}")).unwrap();
        node.write(format!("{dir}/ipv4_port"), port.to_string()).unwrap();
        node.write(format!("{dir}/num"), num).unwrap();
    }
    node.write("cluster/c/node/n1/local", "1\n").unwrap();
    node.mkdir("cluster/c/heartbeat/R").unwrap();
    node
}

fn errno<T: std::fmt::Debug>(result: Result<T, uo2cb::core::Refusal>) -> Errno {
    result.unwrap_err().errno()
}

#[test]
fn paths_lead_where_they_would_on_a_mount() {
    let node = cluster();
    node.symlink("/cluster/c/node/n1", "cluster/c/heartbeat/R/one").unwrap();
    assert_eq!(node.read("/cluster/c/heartbeat/R/one/num").unwrap(), "1\n");
    assert_eq!(node.read("cluster//c/./node/../node/n2/num").unwrap(), "2\n");
    assert_eq!(node.config().readlink("cluster/c/heartbeat/R/one").unwrap(), "../../../../cluster/c/node/n1");
    let names = |path| node.list(path).unwrap().into_iter().map(|entry| entry.name).collect::<Vec<_>>();
    assert_eq!(names("cluster/c/node"), ["n2", "n1"]);
    assert_eq!(names("cluster/c/heartbeat/R"), ["one"]);
    assert_eq!(node.debugfs().read("o2hb/livenodes").unwrap(), "1 \n");
    assert!(!node.sysfs().list("").unwrap().is_empty());

    assert_eq!(errno(node.read("cluster/none")), Errno::ENOENT);
    assert_eq!(errno(node.read("cluster")), Errno::EISDIR);
    assert_eq!(errno(node.mkdir("cluster/c/node/n1/num/x")), Errno::ENOTDIR);
    assert_eq!(errno(node.mkdir("")), Errno::ENOENT);
    assert_eq!(errno(node.write("cluster/heartbeat_available_modes", "x")), Errno::EACCES);
    assert_eq!(errno(node.symlink("none", "cluster/c/heartbeat/R/two")), Errno::ENOENT);
    assert_eq!(errno(node.symlink("cluster/c/node/n1/num", "cluster/c/heartbeat/R/two")), Errno::ENOTDIR);
    assert_eq!(errno(node.symlink("cluster/c/node/n1", "cluster/c/heartbeat/R/two")), Errno::EEXIST);
    assert_eq!(errno(node.rmdir("cluster/c/heartbeat/R")), Errno::ENOTEMPTY);
    assert_eq!(node.waiting(), 0);
}

#[test]
fn a_callback_has_run_before_the_call_returns() {
    let node = cluster();
    let told = Arc::new(Mutex::new(Vec::new()));
    let (first, second) = (Arc::clone(&told), Arc::clone(&told));
    let _late = node.on_event(None, 1, move |event| second.lock().push(format!("late {event}"))).unwrap();
    let _early = node
        .on_event(Some("R"), 0, move |event| {
            thread::sleep(Duration::from_millis(20));
            first.lock().push(format!("early {event}"));
        })
        .unwrap();
    node.symlink("cluster/c/node/n2", "cluster/c/heartbeat/R/n2").unwrap();
    let lines = std::mem::take(&mut *told.lock());
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("early node n2 (2) up in region R, linked by pid "), "{lines:?}");
    assert!(lines[1].starts_with("late node n2 (2) up in region R"), "{lines:?}");
    node.unlink("cluster/c/heartbeat/R/n2").unwrap();
    assert_eq!(told.lock().len(), 2);
}

#[test]
fn a_subscription_pins_its_region_and_the_local_node() {
    let node = cluster();
    let hold = node.on_event(Some("R"), 0, |_| {}).unwrap();
    assert_eq!(errno(node.rmdir("cluster/c/heartbeat/R")), Errno::EBUSY);
    assert_eq!(errno(node.rmdir("cluster/c/node/n1")), Errno::EBUSY);
    assert_eq!(node.status().regions[0].holds, 1);
    drop(hold);
    node.rmdir("cluster/c/heartbeat/R").unwrap();
    node.rmdir("cluster/c/node/n1").unwrap();
    assert!(
        matches!(node.on_event(Some("R"), 0, |_| {}), Err(Error::Refused(why)) if why.errno() == Errno::ENOENT)
    );
}

#[test]
fn a_callback_that_panics_is_taken_off_and_the_call_goes_on() {
    let node = cluster();
    let _broken = node.on_event(None, 0, |_| panic!("on purpose")).unwrap();
    let (send, told) = unbounded();
    let _other = node.on_event(None, 1, move |event| send.send(event.number).unwrap()).unwrap();
    for _ in 0..2 {
        node.symlink("cluster/c/node/n1", "cluster/c/heartbeat/R/n1").unwrap();
        node.unlink("cluster/c/heartbeat/R/n1").unwrap();
    }
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(node.status().consumers, 1);
}

#[test]
fn a_callback_may_read_and_may_take_itself_off() {
    let node = Arc::new(cluster());
    let own = Arc::new(Mutex::new(None));
    let (theirs, reader) = (Arc::clone(&own), Arc::downgrade(&node));
    let (send, told): (_, Receiver<usize>) = unbounded();
    let subscription = node
        .on_event(None, 0, move |_| {
            let up = reader.upgrade().map(|node| node.status().regions[0].up.len());
            send.send(up.unwrap_or(99)).unwrap();
            drop(theirs.lock().take());
        })
        .unwrap();
    *own.lock() = Some(subscription);
    node.symlink("cluster/c/node/n1", "cluster/c/heartbeat/R/n1").unwrap();
    node.symlink("cluster/c/node/n2", "cluster/c/heartbeat/R/n2").unwrap();
    assert_eq!(told.recv_timeout(SOON), Ok(1));
    assert_eq!(told.try_recv().ok(), None);
    assert_eq!(node.status().consumers, 0);
}

#[test]
fn many_threads_and_every_event_once_in_order() {
    let node = cluster();
    let (send, told) = unbounded();
    let _watch = node.on_event(None, 0, move |event| send.send(event.number).unwrap()).unwrap();
    thread::scope(|scope| {
        for name in ["n1", "n2"] {
            let node = &node;
            scope.spawn(move || {
                for _ in 0..200 {
                    let link = format!("cluster/c/heartbeat/R/{name}");
                    node.symlink(format!("cluster/c/node/{name}"), &link).unwrap();
                    node.unlink(&link).unwrap();
                }
            });
        }
    });
    assert_eq!(told.try_iter().collect::<Vec<_>>(), (0..800).collect::<Vec<_>>());
    assert_eq!(node.waiting(), 0);
}

#[test]
fn a_subscription_may_outlive_its_node() {
    let node = cluster();
    let watch = node.on_event(Some("R"), 0, |_| {}).unwrap();
    drop(node);
    assert!(watch.up().is_empty());
    drop(watch);
}

#[test]
fn mainline_has_no_user_method() {
    let node = Node::builder().mainline().start().unwrap();
    assert!(node.list("cluster").unwrap().is_empty());
    assert!(matches!(Node::builder().mainline().user_heartbeat().start(), Err(Error::Refused(_))));
}

/// Changes are told to one mount of a view: a second one would show what was.
#[test]
fn a_view_is_mounted_once() {
    let builder = Node::builder().mount("/nowhere/a").mount("/nowhere/b");
    assert!(matches!(builder.start(), Err(Error::SameView(uo2cb::core::View::Config))));
}

/// A socket that refuses is a killed node's, and removed: no other may ever be seen to refuse.
#[test]
fn who_asks_for_a_node_that_is_starting_does_it_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("node.sock");
    let (over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                answers.fetch_add(Client::connect(&socket).is_ok().into(), Ordering::Relaxed);
            }
        });
        let mut starts = 0;
        let failed = loop {
            match Node::builder().control(&socket).start() {
                Ok(node) => drop(node),
                Err(error) => break Some(error),
            }
            starts += 1;
            if starts == 300 {
                break None;
            }
        };
        // That somebody asks at all shows with one that stays.
        let last = Node::builder().control(&socket).start();
        let until = Instant::now() + Duration::from_secs(60);
        while last.is_ok() && answers.load(Ordering::Relaxed) == 0 && Instant::now() < until {
            thread::yield_now();
        }
        over.store(true, Ordering::Relaxed);
        assert!(failed.is_none() && last.is_ok(), "start {starts}: {failed:?}, {last:?}");
    });
    assert_ne!(answers.into_inner(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn control_sockets_of_like_names_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let stranger = folder.path().join("node.new");
    std::fs::write(&stranger, "not ours").unwrap();
    let nodes: Vec<_> = ["node.a", "node.b", "node"]
        .map(|name| (folder.path().join(name), Node::builder().control(folder.path().join(name)).start()))
        .into();
    for (socket, node) in &nodes {
        assert!(node.is_ok() && Client::connect(socket).is_ok(), "{socket:?}: {node:?}");
    }
    drop(nodes);
    assert_eq!(std::fs::read_to_string(stranger).unwrap(), "not ours");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
