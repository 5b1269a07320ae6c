//! An engine for tests: paths instead of ids, answers instead of actions.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::heartbeat::{Edge, Event, mainline_methods, methods};
use crate::tree::{Answer, Forbidden, Object, Op, SetAttr};
use crate::{
    Action, Caller, Config, ConsumerId, Engine, Errno, Input, Instant, ItemId, Note, Now, Refusal, Reply,
    RequestId, Subscribe, View,
};

pub(crate) const CALLER: Caller = Caller { pid: 7, uid: 8, gid: 9 };
/// Wall clock at the start.
pub(crate) const WALL: Duration = Duration::from_secs(1_700_000_000);

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) mono: Duration,
    /// What the wall clock says at a moment of the monotonic one.
    pub(crate) wall: fn(Duration) -> Duration,
    pub(crate) log: Vec<Action>,
    next: u64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(&Config::default())
    }

    pub(crate) fn with(config: &Config) -> Self {
        let now = Now { mono: Instant::default(), unix: WALL };
        let methods = if config.mainline { mainline_methods() } else { methods() };
        Self {
            engine: Engine::new(config, methods, now),
            mono: Duration::ZERO,
            wall: |mono| WALL + mono,
            log: Vec::new(),
            next: 0,
        }
    }

    /// Method `user`, cluster c with nodes n0 (local) to n3, region R.
    pub(crate) fn user() -> Self {
        let mut bench = Self::new();
        bench.write("cluster/heartbeat_mode", "user").unwrap();
        bench.mkdir("cluster/c").unwrap();
        (0..4).for_each(|num| bench.node(num));
        bench.local("n0");
        bench.mkdir("cluster/c/heartbeat/R").unwrap();
        bench.log.clear();
        bench
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: Instant::at(self.mono), unix: (self.wall)(self.mono) }
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.mono += Duration::from_millis(ms);
        self.engine.handle_timeout(self.now());
        self.drain();
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.engine.handle(self.now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            self.log.push(action);
        }
    }

    pub(crate) fn request(&mut self) -> RequestId {
        self.next += 1;
        RequestId(self.next)
    }

    /// Makes a call, whose answer may come later.
    pub(crate) fn ask(&mut self, view: View, op: Op<'_>) -> RequestId {
        let request = self.request();
        self.input(Input::Tree { request, caller: CALLER, view, op });
        request
    }

    /// The one reply to a request, if it has come.
    pub(crate) fn answer(&self, request: RequestId) -> Option<Result<Reply, Refusal>> {
        let mut answers = self.log.iter().filter_map(|action| match action {
            Action::Reply { request: to, result } if *to == request => Some(result.clone()),
            _ => None,
        });
        let answer = answers.next();
        assert_eq!(answers.next(), None, "answered twice");
        answer
    }

    /// Done, refused, or still waiting.
    pub(crate) fn done(&self, request: RequestId) -> Option<Result<(), Refusal>> {
        self.answer(request).map(|answer| answer.map(|_| ()))
    }

    pub(crate) fn tree(&mut self, view: View, op: Op<'_>) -> Result<Answer, Refusal> {
        let request = self.ask(view, op);
        match self.answer(request).expect("an answer at once")? {
            Reply::Tree(answer) => Ok(answer),
            Reply::Subscribed(up) => panic!("{up:?}"),
        }
    }

    pub(crate) fn find(&self, view: View, path: &str) -> Option<Object> {
        let items = self.engine.tree(view).items();
        path.split('/').filter(|name| !name.is_empty()).try_fold(Object::Dir(ItemId::ROOT), |at, name| {
            match at {
                Object::Dir(dir) => items.child(dir, name.as_bytes()),
                Object::Link(_) | Object::Attribute(..) => None,
            }
        })
    }

    pub(crate) fn dir(&self, path: &str) -> ItemId {
        match self.find(View::Config, path) {
            Some(Object::Dir(dir)) => dir,
            other => panic!("{path}: {other:?}"),
        }
    }

    fn split<'a>(&self, path: &'a str) -> (ItemId, &'a [u8]) {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.dir(dir), name.as_bytes())
    }

    pub(crate) fn mkdir(&mut self, path: &str) -> Result<(), Refusal> {
        let (dir, name) = self.split(path);
        self.tree(View::Config, Op::Mkdir { dir, name }).map(|_| ())
    }

    pub(crate) fn ask_rmdir(&mut self, path: &str) -> RequestId {
        let (dir, name) = self.split(path);
        self.ask(View::Config, Op::Rmdir { dir, name })
    }

    pub(crate) fn rmdir(&mut self, path: &str) -> Result<(), Refusal> {
        let request = self.ask_rmdir(path);
        self.done(request).expect("an answer at once")
    }

    pub(crate) fn ask_write(&mut self, path: &str, text: &str) -> RequestId {
        let Some(Object::Attribute(item, attribute)) = self.find(View::Config, path) else {
            panic!("{path}")
        };
        self.ask(View::Config, Op::Store { item, attribute, data: text.as_bytes() })
    }

    pub(crate) fn write_in(&mut self, view: View, path: &str, text: &str) -> Result<usize, Refusal> {
        let Some(Object::Attribute(item, attribute)) = self.find(view, path) else { panic!("{path}") };
        match self.tree(view, Op::Store { item, attribute, data: text.as_bytes() })? {
            Answer::Stored(length) => Ok(length),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn write(&mut self, path: &str, text: &str) -> Result<usize, Refusal> {
        self.write_in(View::Config, path, text)
    }

    pub(crate) fn read_in(&mut self, view: View, path: &str) -> String {
        let op = match self.find(view, path) {
            Some(Object::Attribute(item, attribute)) => Op::Show { item, attribute },
            Some(Object::Link(link)) => Op::Readlink(link),
            other => panic!("{path}: {other:?}"),
        };
        match self.tree(view, op) {
            Ok(Answer::Text(text)) => String::from_utf8(text).unwrap(),
            other => panic!("{path}: {other:?}"),
        }
    }

    pub(crate) fn read(&mut self, path: &str) -> String {
        self.read_in(View::Config, path)
    }

    pub(crate) fn list(&mut self, view: View, path: &str) -> Vec<String> {
        let Some(Object::Dir(dir)) = self.find(view, path) else { panic!("{path}") };
        match self.tree(view, Op::List(dir)) {
            Ok(Answer::Entries(entries)) => {
                entries.into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect()
            }
            other => panic!("{path}: {other:?}"),
        }
    }

    pub(crate) fn set_attr(&mut self, path: &str, change: SetAttr) -> Result<Answer, Refusal> {
        let object = self.find(View::Config, path).unwrap();
        self.tree(View::Config, Op::SetAttr(object, change))
    }

    pub(crate) fn forbidden(&mut self, path: &str, call: Forbidden) -> Refusal {
        let (dir, name) = self.split(path);
        self.tree(View::Config, Op::Forbidden { dir, name, call }).unwrap_err()
    }

    pub(crate) fn ask_link(&mut self, target: &str, path: &str) -> RequestId {
        let target = self.find(View::Config, target).ok_or(Refusal::TargetMissing.into());
        let (dir, name) = self.split(path);
        self.ask(View::Config, Op::Symlink { dir, name, target })
    }

    pub(crate) fn link(&mut self, target: &str, path: &str) -> Result<(), Refusal> {
        let request = self.ask_link(target, path);
        self.done(request).expect("an answer at once")
    }

    pub(crate) fn ask_unlink(&mut self, path: &str) -> RequestId {
        let (dir, name) = self.split(path);
        self.ask(View::Config, Op::Unlink { dir, name })
    }

    pub(crate) fn unlink(&mut self, path: &str) -> Result<(), Refusal> {
        let request = self.ask_unlink(path);
        self.done(request).expect("an answer at once")
    }

    /// n`num` in cluster c, all set but `local`.
    pub(crate) fn node(&mut self, num: u8) {
        let dir = alloc::format!("cluster/c/node/n{num}");
        self.mkdir(&dir).unwrap();
        for (file, value) in [
            ("ipv4_port", "7777".to_string()),
            ("ipv4_address", alloc::format!("10.0.0.{num}")),
            ("num", num.to_string()),
        ] {
            self.write(&alloc::format!("{dir}/{file}"), &value).unwrap();
        }
    }

    pub(crate) fn ask_local(&mut self, node: &str, value: &str) -> RequestId {
        self.ask_write(&alloc::format!("cluster/c/node/{node}/local"), value)
    }

    pub(crate) fn listening(&mut self, request: RequestId, result: Result<(), Errno>) {
        self.input(Input::Listening { request, result });
    }

    pub(crate) fn local(&mut self, node: &str) {
        let request = self.ask_local(node, "1");
        self.listening(request, Ok(()));
        assert_eq!(self.done(request), Some(Ok(())));
    }

    /// Numbers of the nodes that are up at the moment of registration.
    pub(crate) fn subscribe(&mut self, registration: Registration) -> Result<Vec<u8>, Refusal> {
        let request = self.request();
        let Registration { consumer, region, edge, priority, patience } = registration;
        self.input(Input::Subscribe(Subscribe {
            request,
            consumer: ConsumerId(consumer),
            region: region.map(str::as_bytes),
            edge,
            priority,
            patience: patience.map(Duration::from_millis),
        }));
        match self.answer(request).expect("an answer at once")? {
            Reply::Subscribed(up) => Ok(up.into_iter().map(|up| up.node.num.get()).collect()),
            Reply::Tree(answer) => panic!("{answer:?}"),
        }
    }

    pub(crate) fn delivered(&mut self, consumer: u64, event: u64) {
        self.input(Input::Delivered { consumer: ConsumerId(consumer), event });
    }

    pub(crate) fn unsubscribe(&mut self, consumer: u64) {
        self.input(Input::Unsubscribe(ConsumerId(consumer)));
    }

    /// All deliveries so far: consumer and event.
    pub(crate) fn told(&self) -> Vec<(u64, Event)> {
        self.log
            .iter()
            .filter_map(|action| match action {
                Action::Deliver { consumer, event } => Some((consumer.0, event.clone())),
                _ => None,
            })
            .collect()
    }

    /// The same: consumer, edge, node's number.
    pub(crate) fn told_short(&self) -> Vec<(u64, Edge, u8)> {
        self.told()
            .into_iter()
            .map(|(consumer, event)| (consumer, event.edge, event.node.num.get()))
            .collect()
    }

    pub(crate) fn notes(&self) -> Vec<&Note> {
        self.log
            .iter()
            .filter_map(|action| match action {
                Action::Note(note) => Some(note),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn logged(&self, wanted: &Action) -> usize {
        self.log.iter().filter(|action| *action == wanted).count()
    }
}

/// The region of [`Bench::user`].
pub(crate) const REGION: &str = "cluster/c/heartbeat/R";

/// Links a node into a region.
pub(crate) fn up(bench: &mut Bench, node: &str, region: &str) -> RequestId {
    let link = alloc::format!("cluster/c/heartbeat/{region}/{node}");
    bench.ask_link(&alloc::format!("cluster/c/node/{node}"), &link)
}

/// Removes such a link.
pub(crate) fn down(bench: &mut Bench, node: &str, region: &str) -> RequestId {
    bench.ask_unlink(&alloc::format!("cluster/c/heartbeat/{region}/{node}"))
}

/// A registration, in short.
#[derive(Clone, Copy, Default)]
pub(crate) struct Registration {
    pub(crate) consumer: u64,
    pub(crate) region: Option<&'static str>,
    pub(crate) edge: Option<Edge>,
    pub(crate) priority: i32,
    pub(crate) patience: Option<u64>,
}

impl Registration {
    pub(crate) fn all(consumer: u64) -> Self {
        Self { consumer, ..Self::default() }
    }

    pub(crate) fn of(consumer: u64, region: &'static str) -> Self {
        Self { region: Some(region), ..Self::all(consumer) }
    }
}
