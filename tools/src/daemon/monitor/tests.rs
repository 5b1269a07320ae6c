use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use uo2cb_core::heartbeat::Event;
use uo2cb_core::heartbeat::methods;
use uo2cb_core::tree::{Answer, Object};
use uo2cb_core::{ItemId, Refusal, View};

use super::super::notes::{LogFormat, LogTarget, Notes};
use super::*;

const SOON: Duration = Duration::from_secs(10);

/// What was seen, in the order in which the monitor did it.
#[derive(Clone, PartialEq, Debug)]
enum Seen {
    Told(&'static str, u64),
    Ended(&'static str, Ended),
    Answered(&'static str, bool),
    Registered(&'static str, usize),
}

struct Probe(&'static str, Sender<Seen>);

impl Consumer for Probe {
    fn tell(&self, event: Event) {
        self.1.send(Seen::Told(self.0, event.number)).unwrap();
    }

    fn end(self: Box<Self>, why: Ended) {
        self.1.send(Seen::Ended(self.0, why)).unwrap();
    }
}

struct World {
    monitor: Arc<Monitor>,
    seen: Receiver<Seen>,
    see: Sender<Seen>,
}

impl World {
    /// A cluster with nodes n0 and n1 and the region R.
    fn new() -> Self {
        let notes = Notes::open(LogTarget::Discard, LogFormat::Text).unwrap();
        let monitor = Monitor::new(&Config::default(), methods(), Choice::default(), notes).unwrap();
        let (see, seen) = unbounded();
        let world = Self { monitor, seen, see };
        world.store(&["cluster", "heartbeat_mode"], b"user").unwrap();
        world.mkdir(&["cluster", "c"]);
        for (name, num) in [("n0", b"0"), ("n1", b"1")] {
            let node = ["cluster", "c", "node", name];
            world.mkdir(&node);
            let file = |file| [node[0], node[1], node[2], node[3], file];
            world.store(&file("ipv4_address"), format!("127.0.0.{}", num[0]).as_bytes()).unwrap();
            world.store(&file("ipv4_port"), b"7777").unwrap();
            world.store(&file("num"), num).unwrap();
        }
        world.mkdir(&["cluster", "c", "heartbeat", "R"]);
        world
    }

    fn find(&self, path: &[&str]) -> Object {
        self.monitor.read(|engine| {
            let items = engine.tree(View::Config).items();
            path.iter().fold(Object::Dir(ItemId::ROOT), |at, name| match at {
                Object::Dir(dir) => items.child(dir, name.as_bytes()).unwrap(),
                other => panic!("{other:?}"),
            })
        })
    }

    fn dir(&self, path: &[&str]) -> ItemId {
        match self.find(path) {
            Object::Dir(dir) => dir,
            other => panic!("{other:?}"),
        }
    }

    fn call(&self, op: Op<'_>) -> Result<Answer, Refusal> {
        let (answer, answered) = unbounded();
        let respond = Box::new(move |result| answer.send(result).unwrap());
        self.monitor.request(None, View::Config, Caller::default(), op, respond);
        answered.recv_timeout(SOON).unwrap()
    }

    fn mkdir(&self, path: &[&str]) {
        let (name, parent) = path.split_last().unwrap();
        self.call(Op::Mkdir { dir: self.dir(parent), name: name.as_bytes() }).unwrap();
    }

    fn store(&self, path: &[&str], data: &[u8]) -> Result<Answer, Refusal> {
        let Object::Attribute(item, attribute) = self.find(path) else { panic!("{path:?}") };
        self.call(Op::Store { item, attribute, data })
    }

    /// Links or unlinks a node in R; `Seen::Answered` tells when the answer came.
    fn link(&self, node: &'static str) {
        let target = Ok(self.find(&["cluster", "c", "node", node]));
        let dir = self.dir(&["cluster", "c", "heartbeat", "R"]);
        self.watched(node, Op::Symlink { dir, name: node.as_bytes(), target });
    }

    fn unlink(&self, node: &'static str) {
        let dir = self.dir(&["cluster", "c", "heartbeat", "R"]);
        self.watched(node, Op::Unlink { dir, name: node.as_bytes() });
    }

    fn watched(&self, name: &'static str, op: Op<'_>) {
        let see = self.see.clone();
        let respond = Box::new(move |result: Result<_, _>| {
            see.send(Seen::Answered(name, result.is_ok())).unwrap();
        });
        self.monitor.request(None, View::Config, Caller::default(), op, respond);
    }

    fn subscribe(&self, name: &'static str, interest: Interest<'_>) -> ConsumerId {
        let see = self.see.clone();
        self.monitor.subscribe(
            interest,
            Box::new(Probe(name, self.see.clone())),
            Box::new(move |result| {
                see.send(Seen::Registered(name, result.map_or(99, |up| up.len()))).unwrap()
            }),
        )
    }

    fn next(&self) -> Seen {
        self.seen.recv_timeout(SOON).unwrap()
    }

    fn nothing(&self) {
        assert_eq!(self.seen.try_iter().next(), None);
    }
}

#[test]
fn each_event_is_told_once_in_order_before_its_call_returns() {
    let world = World::new();
    let late = world.subscribe("late", Interest { priority: 5, ..Interest::default() });
    let early = world.subscribe("early", Interest { priority: -5, ..Interest::default() });
    assert_eq!(world.next(), Seen::Registered("late", 0));
    assert_eq!(world.next(), Seen::Registered("early", 0));
    world.link("n0");
    world.link("n1");
    assert_eq!(world.next(), Seen::Told("early", 0));
    // Neither a wrong number nor the wrong consumer makes it go on.
    world.monitor.delivered(early, 7);
    world.monitor.delivered(late, 0);
    world.nothing();
    assert_eq!(world.monitor.waiting(), 2);
    world.monitor.delivered(early, 0);
    assert_eq!(world.next(), Seen::Told("late", 0));
    world.nothing();
    world.monitor.delivered(late, 0);
    // The next event may begin before the first answer is given.
    let both = [world.next(), world.next()];
    assert!(both.contains(&Seen::Told("early", 1)) && both.contains(&Seen::Answered("n0", true)), "{both:?}");
    world.monitor.delivered(early, 1);
    assert_eq!(world.next(), Seen::Told("late", 1));
    world.nothing();
    world.monitor.delivered(late, 1);
    assert_eq!(world.next(), Seen::Answered("n1", true));
    world.nothing();
    assert_eq!(world.monitor.waiting(), 0);
}

#[test]
fn who_registers_learns_who_is_up_and_hears_only_what_follows() {
    let world = World::new();
    world.link("n0");
    assert_eq!(world.next(), Seen::Answered("n0", true));
    let watcher = world.subscribe("watcher", Interest::default());
    assert_eq!(world.next(), Seen::Registered("watcher", 1));
    world.unlink("n0");
    assert_eq!(world.next(), Seen::Told("watcher", 1));
    world.monitor.delivered(watcher, 1);
    assert_eq!(world.next(), Seen::Answered("n0", true));
}

#[test]
fn a_consumer_without_an_answer_is_expelled_by_the_timer_thread() {
    let world = World::new();
    let monitor = Arc::clone(&world.monitor);
    let timer = thread::spawn(move || monitor.keep_time());
    world.subscribe("slow", Interest { patience: Some(Duration::from_millis(30)), ..Interest::default() });
    assert_eq!(world.next(), Seen::Registered("slow", 0));
    world.link("n0");
    assert_eq!(world.next(), Seen::Told("slow", 0));
    assert_eq!(world.next(), Seen::Ended("slow", Ended::Expelled));
    assert_eq!(world.next(), Seen::Answered("n0", true));
    world.monitor.shut_down();
    timer.join().unwrap();
    world.nothing();
}

#[test]
fn one_that_goes_while_it_is_told_lets_the_call_go_on() {
    let world = World::new();
    let consumer = world.subscribe("gone", Interest::default());
    world.next();
    world.link("n1");
    assert_eq!(world.next(), Seen::Told("gone", 0));
    world.monitor.unsubscribe(consumer);
    assert_eq!(world.next(), Seen::Answered("n1", true));
    world.nothing();
}

#[test]
fn a_refused_registration_leaves_nothing() {
    let world = World::new();
    world.subscribe("nowhere", Interest { region: Some(b"none"), ..Interest::default() });
    assert_eq!(world.next(), Seen::Registered("nowhere", 99));
    world.link("n0");
    assert_eq!(world.next(), Seen::Answered("n0", true));
}

#[test]
fn shutdown_answers_everybody() {
    let world = World::new();
    world.subscribe("stuck", Interest::default());
    world.next();
    world.link("n0");
    world.link("n1");
    assert_eq!(world.next(), Seen::Told("stuck", 0));
    assert_eq!(world.monitor.waiting(), 2);
    world.monitor.shut_down();
    assert_eq!(world.next(), Seen::Answered("n0", true));
    assert_eq!(world.next(), Seen::Answered("n1", true));
    assert_eq!(world.next(), Seen::Ended("stuck", Ended::Stopping));
    assert_eq!(world.monitor.waiting(), 0);
    // Whoever comes too late is told so.
    assert_eq!(world.store(&["cluster", "heartbeat_mode"], b"disk"), Err(Refusal::ShuttingDown));
    assert_eq!(world.monitor.waiting(), 0);
}

#[test]
fn the_local_node_listens_and_stops() {
    let world = World::new();
    let node = ["cluster", "c", "node", "own"];
    world.mkdir(&node);
    let file = |file| [node[0], node[1], node[2], node[3], file];
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    world.store(&file("ipv4_address"), b"127.0.0.2").unwrap();
    world.store(&file("ipv4_port"), port.to_string().as_bytes()).unwrap();
    world.store(&file("num"), b"9").unwrap();
    world.store(&file("local"), b"1").unwrap();
    let peer = || std::net::TcpStream::connect(("127.0.0.2", port));
    assert!(peer().is_ok());
    world.store(&file("local"), b"0").unwrap();
    assert!(peer().is_err());
    world.store(&file("local"), b"1").unwrap();
    assert!(peer().is_ok());
    world.store(&file("local"), b"0").unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.2", port)).unwrap();
    let refused = world.store(&file("local"), b"1").unwrap_err();
    assert_eq!(refused.errno().0, libc::EADDRINUSE);
    drop(taken);
    world.store(&file("local"), b"1").unwrap();
    world.monitor.shut_down();
    assert!(peer().is_err());
}

const CRASH: &str = "UO2CB_TEST_CRASH";

/// Body of the process that the next test starts.
#[test]
fn crash_when_asked() {
    let Some(how) = std::env::var_os(CRASH) else { return };
    let world = World::new();
    let again = Arc::clone(&world.monitor);
    let respond: Respond = match how.to_str() {
        Some("enter") => Box::new(move |_| again.delivered(ConsumerId(0), 0)),
        _ => Box::new(|_| panic!("on purpose")),
    };
    world.monitor.request(None, View::Config, Caller::default(), Op::List(ItemId::ROOT), respond);
    std::process::exit(0);
}

#[test]
fn a_failure_inside_ends_the_process_with_one_line_that_says_so() {
    for (how, line) in
        [("panic", "panicked: on purpose, at "), ("enter", "the monitor was entered from within")]
    {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "daemon::monitor::tests::crash_when_asked", "--nocapture"])
            .env(CRASH, how)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(crate::CRASH_STATUS), "{error}");
        assert_eq!(
            error.lines().filter(|found| found.starts_with("uo2cb: ") && found.contains(line)).count(),
            1,
            "{error}"
        );
    }
}

#[test]
fn a_look_does_not_wait_for_a_monitor_that_is_stuck() {
    let world = World::new();
    let (held, holding) = unbounded::<()>();
    let (release, released) = unbounded::<()>();
    thread::scope(|scope| {
        scope.spawn(|| {
            world.monitor.read(|_| {
                held.send(()).unwrap();
                released.recv().unwrap();
            });
        });
        holding.recv().unwrap();
        assert_eq!(world.monitor.read_within(Duration::from_millis(1), Engine::beats), None);
        release.send(()).unwrap();
    });
    assert_eq!(world.monitor.read_within(SOON, Engine::beats), Some(uo2cb_core::Beats::Unwatched));
}

#[test]
fn who_the_node_is_is_kept_up_to_date() {
    let world = World::new();
    let own = Arc::<fence::Own>::default();
    world.monitor.keep_own(Arc::clone(&own));
    let shown = || format!("{own:?}");
    // "c" and no node.
    assert!(shown().contains("cluster: [99], node: [], num: None"), "{}", shown());
    let free = std::net::TcpListener::bind("127.0.0.3:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    world.mkdir(&["cluster", "c", "node", "x"]);
    let file = |file| ["cluster", "c", "node", "x", file];
    world.store(&file("ipv4_address"), b"127.0.0.3").unwrap();
    world.store(&file("ipv4_port"), port.to_string().as_bytes()).unwrap();
    world.store(&file("num"), b"5").unwrap();
    world.store(&file("local"), b"1").unwrap();
    assert!(shown().contains("cluster: [99], node: [120], num: Some(5)"), "{}", shown());
    assert!(shown().contains("up: false, panic: false"), "{}", shown());
    world.store(&["cluster", "c", "fence_method"], b"panic\n").unwrap();
    world.link("x");
    assert_eq!(world.next(), Seen::Answered("x", true));
    assert!(shown().contains("up: true, panic: true"), "{}", shown());
    world.unlink("x");
    assert_eq!(world.next(), Seen::Answered("x", true));
    world.store(&file("local"), b"0").unwrap();
    assert!(
        shown().contains("up: false, panic: true") && shown().contains("node: [], num: None"),
        "{}",
        shown()
    );
}
