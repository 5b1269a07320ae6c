//! Booting and configuring a node through its tree, as an administrator's programs do.

use uo2cb_core::heartbeat::methods;
use uo2cb_core::tree::{Answer, Object, Op};
use uo2cb_core::{Caller, Config, ConsumerId, Engine, Input, ItemId, Reply, RequestId, Subscribe, View};

use super::faults::{Fault, Misconfiguration};
use super::invariants::{Checked, Violation, broken};
use super::node::{NodeEvent, Purpose, Region};
use super::world::{Completion, SimEvent, World};
use super::{MS, SEC};

/// The caller of all requests.
pub const CALLER: Caller = Caller { pid: 1, uid: 0, gid: 0 };
const HEARTBEAT: &str = "cluster/c/heartbeat";

impl World {
    /// Boots a node: a new engine, configured, with a consumer; its regions start a little later.
    pub fn boot(&mut self, n: usize) -> Checked {
        let plan = &self.plan;
        let node = &mut self.nodes[n];
        if node.engine.is_some() {
            if node.ending || self.now < node.paused {
                self.schedule(self.now + SEC, n, SimEvent::Boot);
            }
            return Ok(());
        }
        node.incarnation += 1;
        node.powered = true;
        node.directories.clear();
        node.started_at = self.now;
        node.paused = 0;
        node.next_event = 0;
        (node.dead_threshold, node.blocks, node.own) = (plan.dead_threshold, plan.nodes.into(), n as u8);
        let (mut times, mut stranger) = (plan.times, None);
        for fault in &plan.faults {
            match *fault {
                Fault::Config { node: affected, wrong } if usize::from(affected) == n => match wrong {
                    Misconfiguration::DeadThreshold(threshold) => node.dead_threshold = threshold,
                    Misconfiguration::Number(number) => node.own = number.min(plan.nodes - 1),
                    Misconfiguration::Blocks(blocks) => node.blocks = blocks.min(plan.nodes.into()),
                    Misconfiguration::IdleTimeout(idle) => times[0] = idle,
                    Misconfiguration::Address(other) if other != node.own => stranger = Some(other),
                    Misconfiguration::Address(_) => {}
                },
                _ => {}
            }
        }
        node.own_times_differ = times != plan.times;
        let (own, threshold, nodes) = (node.own, node.dead_threshold, plan.nodes);
        let (regions, global, start_spread) = (plan.regions, plan.global, plan.start_spread.min(12 * SEC));
        node.regions = (0..regions).map(|_| Region::default()).collect();
        let clocks = self.clocks(n);
        self.nodes[n].engine = Some(Engine::new(&Config::default(), methods(), clocks));
        self.trace.line(self.now, n, format_args!("boots"));
        if self.plan.user {
            self.write(n, "cluster/heartbeat_mode", "user")?;
        }
        self.mkdir(n, "cluster/c")?;
        let [idle, keepalive, reconnect] = times;
        // One of the two orders keeps the idle timeout the longer one.
        self.write(n, "cluster/c/idle_timeout_ms", "60000")?;
        for (file, ms) in
            [("keepalive_delay", keepalive), ("idle_timeout", idle), ("reconnect_delay", reconnect)]
        {
            self.write(n, &format!("cluster/c/{file}_ms"), &ms.to_string())?;
        }
        self.store_in(n, View::Sysfs, "o2cb/logmask/QUORUM", "allow")?;
        for num in 0..nodes {
            let dir = format!("cluster/c/node/n{num}");
            self.mkdir(n, &dir)?;
            let address = format!("10.0.{}.{num}", u8::from(stranger == Some(num)));
            self.write(n, &format!("{dir}/ipv4_port"), "7777")?;
            self.write(n, &format!("{dir}/ipv4_address"), &address)?;
            self.write(n, &format!("{dir}/num"), &num.to_string())?;
            if let Some(Object::Dir(item)) = self.find(n, View::Config, &dir) {
                self.nodes[n].directories.push((num, item));
            }
        }
        self.write(n, &format!("cluster/c/node/n{own}/local"), "1")?;
        if !self.plan.user {
            self.write(n, &format!("{HEARTBEAT}/dead_threshold"), &threshold.to_string())?;
        }
        if global {
            self.write(n, &format!("{HEARTBEAT}/mode"), "global")?;
        }
        let request = self.nodes[n].request(Purpose::Call);
        let subscribe = Subscribe {
            request,
            consumer: ConsumerId(1),
            region: None,
            edge: None,
            priority: 0,
            patience: None,
        };
        self.input(n, Input::Subscribe(subscribe), Completion::None)?;
        self.schedule_hold(n);
        if self.plan.user {
            return self.boot_user(n);
        }
        let all_at_once = self.nodes[n].rng.chance(50);
        for region in 0..usize::from(regions) {
            self.make(n, region)?;
            let rng = &mut self.nodes[n].rng;
            let wait = 10 * MS + rng.below(if all_at_once { MS } else { start_spread });
            let incarnation = self.nodes[n].incarnation;
            self.schedule_after(wait, n, incarnation, NodeEvent::Start(region));
        }
        Ok(())
    }

    /// Makes a region, without starting it.
    pub fn make(&mut self, n: usize, region: usize) -> Checked {
        let dir = format!("{HEARTBEAT}/R{region}");
        self.mkdir(n, &dir)?;
        if self.nodes[n].engine.is_none() {
            return Ok(());
        }
        let blocks = self.nodes[n].blocks.to_string();
        for (file, value) in [("block_bytes", "512"), ("start_block", "1"), ("blocks", blocks.as_str())] {
            self.write(n, &format!("{dir}/{file}"), value)?;
        }
        let item = match self.find(n, View::Config, &dir) {
            Some(Object::Dir(item)) => item,
            other => return Err(broken("setup", format!("{dir}: {other:?}"))),
        };
        let num = if self.plan.global {
            self.read(n, &format!("o2hb/R{region}/num"))?.trim().parse().unwrap_or(u32::MAX)
        } else {
            0
        };
        let made = &mut self.nodes[n].regions[region];
        *made = Region { item: Some(item), num, ..Region::default() };
        Ok(())
    }

    /// Writes to `dev`.
    pub fn start(&mut self, n: usize, region: usize) -> Checked {
        let node = &mut self.nodes[n];
        let Some(state) = node.regions.get(region) else { return Ok(()) };
        if state.item.is_none() || state.run.is_some() || state.dev.is_some() || state.removing || node.ending
        {
            return Ok(());
        }
        let request = node.request(Purpose::Dev(region));
        node.regions[region].dev = Some(request);
        self.store(n, request, &format!("{HEARTBEAT}/R{region}/dev"), "5")
    }

    /// Removes a region.
    pub fn remove(&mut self, n: usize, region: usize, wait: super::Us) -> Checked {
        let node = &mut self.nodes[n];
        let state = &node.regions[region];
        if state.item.is_none() || state.removing || node.ending {
            return Ok(());
        }
        // What is held cannot be removed.
        self.release(n)?;
        let node = &mut self.nodes[n];
        if node.engine.is_none() {
            return Ok(());
        }
        node.regions[region].removing = true;
        let request = node.request(Purpose::Rmdir(region, wait));
        let Some(Object::Dir(dir)) = self.find(n, View::Config, HEARTBEAT) else { return Ok(()) };
        let name = format!("R{region}");
        self.tree(n, request, View::Config, Op::Rmdir { dir, name: name.as_bytes() })
    }

    /// Reads a file of debugfs.
    pub fn read(&mut self, n: usize, path: &str) -> Result<String, Violation> {
        let Some(Object::Attribute(item, attribute)) = self.find(n, View::Debugfs, path) else {
            return Err(broken("setup", format!("no {path}")));
        };
        let request = self.nodes[n].request(Purpose::Call);
        self.tree(n, request, View::Debugfs, Op::Show { item, attribute })?;
        match self.nodes[n].answer.take() {
            Some(Ok(Reply::Tree(Answer::Text(text)))) => Ok(String::from_utf8_lossy(&text).into_owned()),
            other => Err(broken("setup", format!("{path}: {other:?}"))),
        }
    }

    /// What is at a path of a tree.
    pub fn find(&self, n: usize, view: View, path: &str) -> Option<Object> {
        let items = self.nodes[n].engine.as_ref()?.tree(view).items();
        path.split('/').try_fold(Object::Dir(ItemId::ROOT), |at, name| match at {
            Object::Dir(dir) => items.child(dir, name.as_bytes()),
            Object::Link(_) | Object::Attribute(..) => None,
        })
    }

    /// Makes a directory in the config tree.
    pub fn mkdir(&mut self, n: usize, path: &str) -> Checked {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(Object::Dir(dir)) = self.find(n, View::Config, dir) else {
            return Err(broken("setup", format!("no directory for {path}")));
        };
        let request = self.nodes[n].request(Purpose::Call);
        self.tree(n, request, View::Config, Op::Mkdir { dir, name: name.as_bytes() })?;
        self.answered(n, path)
    }

    fn write(&mut self, n: usize, path: &str, text: &str) -> Checked {
        let request = self.nodes[n].request(Purpose::Call);
        self.store(n, request, path, text)?;
        self.answered(n, path)
    }

    fn answered(&mut self, n: usize, path: &str) -> Checked {
        match self.nodes[n].answer.take() {
            // The node has fenced itself in this call.
            None if self.nodes[n].engine.is_none() => Ok(()),
            Some(Ok(_)) => Ok(()),
            other => Err(broken("setup", format!("{path}: {other:?}"))),
        }
    }

    fn store(&mut self, n: usize, request: RequestId, path: &str, text: &str) -> Checked {
        self.store_at(n, request, View::Config, path, text)
    }

    fn store_in(&mut self, n: usize, view: View, path: &str, text: &str) -> Checked {
        let request = self.nodes[n].request(Purpose::Call);
        self.store_at(n, request, view, path, text)?;
        self.answered(n, path)
    }

    fn store_at(&mut self, n: usize, request: RequestId, view: View, path: &str, text: &str) -> Checked {
        let Some(Object::Attribute(item, attribute)) = self.find(n, view, path) else {
            return Err(broken("setup", format!("no {path}")));
        };
        self.tree(n, request, view, Op::Store { item, attribute, data: text.as_bytes() })
    }

    /// A call on a tree.
    pub fn tree(&mut self, n: usize, request: RequestId, view: View, op: Op<'_>) -> Checked {
        self.input(n, Input::Tree { request, caller: CALLER, view, op }, Completion::None)
    }
}
