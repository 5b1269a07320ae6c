//! One engine, its clock, and its disks in memory.

use std::collections::VecDeque;
use std::time::Duration;

use uo2cb_core::heartbeat::disk::DiskInfo;
use uo2cb_core::tree::{Object, Op};
use uo2cb_core::{
    Action, Caller, Config, ConsumerId, Engine, Input, Instant, ItemId, Now, RequestId, Subscribe, View,
};

/// Seconds since 1970 when the clock starts.
const EPOCH: u64 = 1_000_000;

pub struct Fixture {
    pub engine: Engine,
    pub time: Duration,
    /// Actions that have not been performed yet.
    pub actions: VecDeque<Action>,
    requests: u64,
}

impl Fixture {
    /// A cluster with nodes n0 to n`nodes`, of which the first is local, and regions A, B ... of `blocks` slots.
    pub fn new(nodes: u8, regions: &[&str], blocks: u32, dead_threshold: u32) -> Self {
        Self::of_node(0, nodes, regions, blocks, dead_threshold)
    }

    /// The same of another node.
    pub fn of_node(own: u8, nodes: u8, regions: &[&str], blocks: u32, dead_threshold: u32) -> Self {
        let now = Now { mono: Instant::at(Duration::ZERO), unix: Duration::from_secs(EPOCH) };
        let engine = Engine::new(&Config::default(), uo2cb_core::heartbeat::methods(), now);
        let mut fixture = Self { engine, time: Duration::ZERO, actions: VecDeque::new(), requests: 0 };
        fixture.mkdir("cluster/c");
        for num in 0..nodes {
            let dir = format!("cluster/c/node/n{num}");
            fixture.mkdir(&dir);
            fixture.write(&format!("{dir}/ipv4_port"), "7777");
            fixture.write(&format!("{dir}/ipv4_address"), &format!("10.0.0.{num}"));
            fixture.write(&format!("{dir}/num"), &num.to_string());
        }
        fixture.write(&format!("cluster/c/node/n{own}/local"), "1");
        fixture.write("cluster/c/heartbeat/dead_threshold", &dead_threshold.to_string());
        let subscribe = Subscribe {
            request: RequestId(u64::MAX),
            consumer: ConsumerId(1),
            region: None,
            edge: None,
            priority: 0,
            patience: None,
        };
        fixture.input(Input::Subscribe(subscribe));
        for region in regions {
            let dir = format!("cluster/c/heartbeat/{region}");
            fixture.mkdir(&dir);
            fixture.write(&format!("{dir}/block_bytes"), "512");
            fixture.write(&format!("{dir}/start_block"), "1");
            fixture.write(&format!("{dir}/blocks"), &blocks.to_string());
        }
        fixture.actions.clear();
        fixture
    }

    pub fn now(&self) -> Now {
        Now { mono: Instant::at(self.time), unix: Duration::from_secs(EPOCH) + self.time }
    }

    pub fn seconds(&self) -> u64 {
        self.now().unix.as_secs()
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.engine.handle(self.now(), input);
        self.drain();
    }

    /// Advances time, and calls the engine for its timers.
    pub fn wait(&mut self, wait: Duration) {
        self.time += wait;
        self.engine.handle_timeout(self.now());
        self.drain();
        assert!(self.engine.poll_timeout().is_none_or(|due| due > self.now().mono), "a timer in the past");
    }

    fn drain(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            if let Action::Listen { request, .. } = action {
                self.engine.handle(self.now(), Input::Listening { request, result: Ok(()) });
                continue;
            }
            self.actions.push_back(action);
        }
    }

    pub fn find(&self, path: &str) -> Object {
        let items = self.engine.tree(View::Config).items();
        path.split('/').fold(Object::Dir(ItemId::ROOT), |at, name| match at {
            Object::Dir(dir) => items.child(dir, name.as_bytes()).expect(path),
            Object::Link(_) | Object::Attribute(..) => at,
        })
    }

    pub fn dir(&self, path: &str) -> ItemId {
        match self.find(path) {
            Object::Dir(dir) => dir,
            other => panic!("{path}: {other:?}"),
        }
    }

    fn mkdir(&mut self, path: &str) {
        let (dir, name) = path.rsplit_once('/').expect(path);
        let dir = self.dir(dir);
        self.call(Op::Mkdir { dir, name: name.as_bytes() });
    }

    pub fn write(&mut self, path: &str, text: &str) -> RequestId {
        let Object::Attribute(item, attribute) = self.find(path) else { panic!("{path}") };
        self.call(Op::Store { item, attribute, data: text.as_bytes() })
    }

    pub fn call(&mut self, op: Op<'_>) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.input(Input::Tree {
            request,
            caller: Caller { pid: 1, uid: 0, gid: 0 },
            view: View::Config,
            op,
        });
        request
    }
}

/// An opened disk.
pub fn info(generation: u64) -> DiskInfo {
    DiskInfo { name: "vda".into(), sector_bytes: 512, regular_file: false, generation, pid: 7 }
}
