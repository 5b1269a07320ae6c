//! One engine, its clock, and its disks in memory.

use std::collections::VecDeque;
use std::time::Duration;

use uo2cb_core::heartbeat::DiskInfo;
use uo2cb_core::tree::{Object, Op};
use uo2cb_core::{
    Action, Caller, Config, ConsumerId, Engine, Input, Instant, ItemId, Now, RequestId, Subscribe, View,
};

/// Seconds since 1970 when the clock starts.
const EPOCH: u64 = 1_000_000;

pub struct Rig {
    pub engine: Engine,
    pub time: Duration,
    /// What the engine wants and nobody has done yet.
    pub wanted: VecDeque<Action>,
    requests: u64,
}

impl Rig {
    /// A cluster with nodes n0 to n`nodes`, of which the first is local, and regions A, B ... of `blocks` slots.
    pub fn new(nodes: u8, regions: &[&str], blocks: u32, dead_threshold: u32) -> Self {
        let now = Now { mono: Instant::at(Duration::ZERO), unix: Duration::from_secs(EPOCH) };
        let engine = Engine::new(&Config::default(), now);
        let mut rig = Self { engine, time: Duration::ZERO, wanted: VecDeque::new(), requests: 0 };
        rig.mkdir("cluster/c");
        for num in 0..nodes {
            let dir = format!("cluster/c/node/n{num}");
            rig.mkdir(&dir);
            rig.write(&format!("{dir}/ipv4_port"), "7777");
            rig.write(&format!("{dir}/ipv4_address"), &format!("10.0.0.{num}"));
            rig.write(&format!("{dir}/num"), &num.to_string());
        }
        rig.write("cluster/c/node/n0/local", "1");
        rig.write("cluster/c/heartbeat/dead_threshold", &dead_threshold.to_string());
        let subscribe = Subscribe {
            request: RequestId(u64::MAX),
            consumer: ConsumerId(1),
            region: None,
            edge: None,
            priority: 0,
            patience: None,
        };
        rig.input(Input::Subscribe(subscribe));
        for region in regions {
            let dir = format!("cluster/c/heartbeat/{region}");
            rig.mkdir(&dir);
            rig.write(&format!("{dir}/block_bytes"), "512");
            rig.write(&format!("{dir}/start_block"), "1");
            rig.write(&format!("{dir}/blocks"), &blocks.to_string());
        }
        rig.wanted.clear();
        rig
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

    /// Lets time go on, and calls the engine when it wants to be called.
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
            self.wanted.push_back(action);
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

/// What is behind a descriptor.
pub fn info(generation: u64) -> DiskInfo {
    DiskInfo { name: "vda".into(), sector_bytes: 512, regular_file: false, generation, pid: 7 }
}
