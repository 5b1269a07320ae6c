//! The stack as one value: it owns the trees and machines, routes inputs, and carries edges between them.
//! It has no policy of its own.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::detail::Refused;
use crate::error::{Errno, Refusal};
use crate::fence::FenceReason;
use crate::heartbeat::disk::{DiskRequest, DiskResult};
use crate::heartbeat::{Disk, Method, NodeName, Scope, Step, Surroundings, User};
use crate::ids::{Caller, ConsumerId, ItemId, RequestId, View};
use crate::message::{Action, Input, Reply, Subscribe, Up};
use crate::note::Note;
use crate::o2cb::{self, End, Stack, Waiting};
use crate::status::{ClusterStatus, NodeStatus, RegionStatus, Status};
use crate::time::{Instant, Now};
use crate::tree::{Asked, Described, Object, Op, Outcome, Owner, Tree};
use crate::{debugfs, sysfs};

/// How a stack is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// Whom the directories belong to at first.
    pub owner: Owner,
    /// Show exactly what kernel 6.1 shows: no choice of methods, no `user` method.
    pub mainline: bool,
}

/// The stack.
///
/// - **Inputs**: [`handle`](Self::handle) and [`handle_timeout`](Self::handle_timeout). They never block and
///   never fail; outcomes are actions. Time does not go back between calls.
/// - **Outputs**: after each of these, [`poll_action`](Self::poll_action) is to be called until it gives none,
///   and every action to be carried out in that order.
/// - **Time**: [`poll_timeout`](Self::poll_timeout) names the next moment at which `handle_timeout` wants to
///   be called; any input may change it. Calls that come early or unasked do nothing.
/// - **Views**: [`status`](Self::status) only reads.
#[derive(Debug)]
pub struct Engine {
    config: Tree,
    sysfs: Tree,
    debugfs: Tree,
    /// The directory o2hb in debugfs.
    o2hb: ItemId,
    stack: Stack,
    actions: VecDeque<Action>,
    /// Answers that wait until all events below this number are delivered, and until no disk is needed.
    held: Vec<(u64, RequestId, Result<Reply, Refusal>)>,
    /// Removals whose region still writes its last block.
    stopping: BTreeSet<RequestId>,
    /// The region that each consumer holds, and the local node that it pins.
    pins: BTreeMap<ConsumerId, (ItemId, ItemId)>,
    stopped: bool,
    /// Stopped, and nothing more is to come.
    ended: bool,
}

impl Engine {
    /// A stack without a cluster.
    pub fn new(config: &Config, now: Now) -> Self {
        let mut engine = Self {
            config: Tree::new(config.owner, 4096, now),
            sysfs: Tree::new(config.owner, 4096, now),
            debugfs: Tree::new(config.owner, 0, now).with_root_mode(0o700),
            o2hb: ItemId::ROOT,
            stack: Stack::default(),
            actions: VecDeque::new(),
            held: Vec::new(),
            stopping: BTreeSet::new(),
            pins: BTreeMap::new(),
            stopped: false,
            ended: false,
        };
        engine.stack.heartbeat.register(Box::new(Disk::default()));
        if !config.mainline {
            engine.stack.heartbeat.register(Box::new(User::default()));
        }
        // New trees have room for these names, so none of the three can be refused.
        let built = engine
            .config
            .add(ItemId::ROOT, "cluster", &o2cb::root(config.mainline), now)
            .and_then(|_| sysfs::build(&mut engine.sysfs, config.mainline, now))
            .and_then(|()| debugfs::build(&mut engine.debugfs, now));
        engine.o2hb = built.unwrap_or(ItemId::ROOT);
        for tree in [&mut engine.config, &mut engine.sysfs, &mut engine.debugfs] {
            tree.take_changes();
        }
        engine
    }

    /// Takes an input.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        self.time(now);
        match input {
            Input::Tree { request, caller, view, op } => self.call(now, request, caller, view, &op),
            Input::Cancel(request) => {
                if let Some((item, caller)) = self.config.cancel_removal(request) {
                    let path = self.config.items().path(item);
                    let refusal = Refusal::Interrupted;
                    let removal = Described { call: "rmdir", path, value: None };
                    self.stack.refuse((View::Config, self.config.items()), removal, refusal, None, caller);
                    self.settle(now, None);
                    self.reply(request, Err(refusal));
                }
                self.stopping.remove(&request);
                self.method(now, |method, at| method.cancel(at, request));
            }
            Input::Listening { request, result } => self.listening(now, request, result),
            Input::Disk(disk, result) => self.disk(now, disk, result),
            Input::Subscribe(wish) => self.subscribe(now, &wish),
            Input::Unsubscribe(consumer) => self.unsubscribe(now, consumer),
            Input::Delivered { consumer, event } => {
                self.stack.heartbeat.layer.delivery.done(consumer, event);
            }
            Input::Shutdown if self.stopped => {}
            Input::Shutdown => self.shut_down(now),
        }
        self.pump(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        self.time(now);
        self.pump(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.stack.heartbeat.layer.delivery.next_timeout(), self.stack.heartbeat.next_timeout()) {
            (Some(delivery), Some(method)) => Some(delivery.min(method)),
            (delivery, method) => delivery.or(method),
        }
    }

    /// The next thing to do.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Requests that have not been answered.
    pub fn waiting(&self) -> usize {
        self.held.len() + self.config.waiting().count()
    }

    /// The entries of a tree, to read.
    pub fn tree(&self, view: View) -> &Tree {
        match view {
            View::Config => &self.config,
            View::Sysfs => &self.sysfs,
            View::Debugfs => &self.debugfs,
        }
    }

    /// The state, to read.
    pub fn status(&self) -> Status {
        let heartbeat = &self.stack.heartbeat;
        let cluster = self.stack.nodes.cluster().map(|cluster| ClusterStatus {
            name: cluster.name.clone(),
            fence_method: cluster.fence_method,
            nodes: cluster
                .nodes()
                .map(|node| NodeStatus {
                    name: node.name.clone(),
                    num: node.num,
                    address: node.address,
                    port: node.port,
                    local: cluster.local().is_some_and(|local| local.id == node.id),
                })
                .collect(),
            up: heartbeat.active().map(|method| method.fill_node_map(None)).unwrap_or_default(),
        });
        let regions = heartbeat.layer.regions().iter().map(|region| RegionStatus {
            id: region.id,
            name: region.name.clone(),
            method: region.method,
            holds: self.config.dependents(region.id),
            disk: heartbeat.active().and_then(|method| method.disk_status(region.id)),
            up: self.up(Some(region.id)).into_iter().map(|up| (up.node, up.since)).collect(),
        });
        Status {
            method: heartbeat.active_name(),
            methods: heartbeat.available().collect(),
            cluster,
            regions: regions.collect(),
            consumers: heartbeat.layer.delivery.callbacks().len(),
        }
    }

    fn call(&mut self, now: Now, request: RequestId, caller: Caller, view: View, op: &Op<'_>) {
        let events = self.stack.heartbeat.layer.delivery.next_number();
        let tree = match view {
            View::Config => &mut self.config,
            View::Sysfs => &mut self.sysfs,
            View::Debugfs => &mut self.debugfs,
        };
        let outcome = if self.stopped {
            Outcome::Ready(Err(Refusal::ShuttingDown))
        } else {
            tree.apply(&mut self.stack, Asked { now, caller, request }, op)
        };
        let Outcome::Ready(result) = outcome else { return self.settle(now, Some(request)) };
        if let Err(refusal) = result {
            if let Some(described) = op.described(tree.items()) {
                let refused = Refused::of(op, tree.items());
                self.stack.refuse((view, tree.items()), described, refusal, refused, caller);
            }
        }
        self.settle(now, Some(request));
        self.answer(events, request, result.map(Reply::Tree));
    }

    /// What a change brings with it: notes and wishes of the stack, debug directories, word to caches.
    fn settle(&mut self, now: Now, request: Option<RequestId>) {
        for (id, made) in core::mem::take(&mut self.stack.regions_changed) {
            self.show_region(now, id, made);
        }
        self.actions.extend(self.stack.actions.drain(..));
        let trees = [
            (View::Config, &mut self.config, request),
            (View::Sysfs, &mut self.sysfs, request),
            (View::Debugfs, &mut self.debugfs, None),
        ];
        for (view, tree, request) in trees {
            let changes = tree.take_changes();
            self.actions.extend(changes.into_iter().map(|change| Action::Changed { view, request, change }));
        }
        for end in core::mem::take(&mut self.stack.ends) {
            self.end(now, end);
        }
    }

    /// The active method's timeouts, before anything else: who was paused too long must not act as if not.
    fn time(&mut self, now: Now) {
        if self.stack.heartbeat.next_timeout().is_some_and(|due| due <= now.mono) {
            self.method(now, |method, at| method.timeout(at));
        }
    }

    fn disk(&mut self, now: Now, disk: ItemId, result: DiskResult<'_>) {
        self.method(now, |method, at| method.disk(at, disk, result));
    }

    /// Something happens to the active method that is nobody's call.
    fn method(&mut self, now: Now, call: impl FnOnce(&mut dyn Method, Surroundings<'_>)) {
        let asked = Asked { now, caller: Caller::default(), request: RequestId(0) };
        // Without a method nothing beats and nobody waits.
        let _ = self.stack.method(asked, |method, at| {
            call(method, at);
            Ok(())
        });
        self.settle(now, None);
    }

    /// What a method wants of the trees and of those who wait.
    fn end(&mut self, now: Now, end: End) {
        match end {
            End::Store(request, result) => self.finish(now, request, result),
            End::Stopping(request) => {
                self.stopping.insert(request);
            }
            End::Stopped(request) => {
                self.stopping.remove(&request);
            }
            End::Pin(item) => self.config.pin(item),
            End::Unpin(item) => self.config.undepend(item),
            End::Fence(reason) => self.fence(reason),
        }
    }

    /// This node goes: nothing is written any more, and the driver hears of it before all else.
    fn fence(&mut self, reason: FenceReason) {
        if self.ended {
            return;
        }
        (self.stopped, self.ended) = (true, true);
        let mut wants = Vec::new();
        if let Some((method, _)) = self.stack.heartbeat.active_mut() {
            method.stop_uncleanly(&mut wants);
        }
        let method = self.stack.nodes.cluster().map(|cluster| cluster.fence_method).unwrap_or_default();
        // The lines that led to it, then the fence, then what is left to do; nothing is written any more.
        let actions = core::mem::take(&mut self.actions);
        let is_note = |action: &Action| matches!(action, Action::Note(_));
        let (notes, others): (VecDeque<_>, VecDeque<_>) = actions.into_iter().partition(is_note);
        self.actions = notes;
        self.actions.push_back(Action::Note(Note::Fence(reason.clone())));
        self.actions.push_back(Action::Fence { method, reason });
        self.actions.extend(
            others.into_iter().filter(|action| !matches!(action, Action::Disk(_, DiskRequest::Write { .. }))),
        );
    }

    fn show_region(&mut self, now: Now, id: ItemId, made: bool) {
        let shown = &mut self.stack.debug_regions;
        if !made {
            if let Some(dir) = shown.iter().find_map(|(dir, region)| (*region == id).then_some(*dir)) {
                shown.remove(&dir);
                self.debugfs.take_away(dir, now);
            }
        } else if let Some(region) = self.stack.heartbeat.layer.by_id(id) {
            // A region may have the name of a file in o2hb: then it has no directory, as in the kernel.
            if let Ok(dir) = debugfs::add_region(&mut self.debugfs, self.o2hb, region.name.as_bytes(), now) {
                shown.insert(dir, id);
            }
        }
    }

    fn listening(&mut self, now: Now, request: RequestId, result: Result<(), Errno>) {
        let local = self.stack.nodes.listening(request, result.is_ok());
        let bound = local.and_then(|node| Some(Note::Listening(node.address?, node.port?)));
        if let Some(note) = bound {
            self.stack.note(note);
        }
        self.finish(now, request, result.map_err(Refusal::System));
    }

    /// Ends a store that waited for the driver.
    fn finish(&mut self, now: Now, request: RequestId, result: Result<(), Refusal>) {
        let Some(waiting) = self.stack.waiting.remove(&request) else {
            self.stack.note(Note::Stale(request));
            return self.settle(now, None);
        };
        let Waiting { item, attribute, data, caller } = waiting;
        let length = data.len();
        if let Err(refusal) = result {
            let attribute = u8::try_from(attribute).unwrap_or(u8::MAX);
            let path = self.config.items().object_path(Object::Attribute(item, attribute));
            let refused = Some(Refused { item, value: &data, target: None });
            let store = Described { call: "store", path, value: Some(data.clone()) };
            self.stack.refuse((View::Config, self.config.items()), store, refusal, refused, caller);
        }
        let result = result.map(|()| length);
        let events = self.stack.heartbeat.layer.delivery.next_number();
        let due = self.config.finish_store(&mut self.stack, request, result, now);
        // What changed, changed by the removal behind the store: its caller's kernel knows already, and holds
        // locks that word of it would wait for.
        let removal = due.iter().map(|(due, _)| *due).find(|due| *due != request);
        self.settle(now, removal);
        for (due, result) in due {
            let result = result.map(Reply::Tree);
            if due == request { self.reply(due, result) } else { self.answer(events, due, result) }
        }
    }

    /// Answers a call; if events were queued since `events`, only behind them.
    fn answer(&mut self, events: u64, request: RequestId, result: Result<Reply, Refusal>) {
        let queued = self.stack.heartbeat.layer.delivery.next_number();
        if queued > events || self.stopping.contains(&request) {
            self.held.push((queued, request, result));
        } else {
            self.reply(request, result);
        }
    }

    fn subscribe(&mut self, now: Now, wish: &Subscribe<'_>) {
        match self.hold(now, wish) {
            Ok(region) => {
                let scope = region.map_or(Scope::Everything, Scope::Region);
                let delivery = &mut self.stack.heartbeat.layer.delivery;
                delivery.register(wish.consumer, scope, wish.edge, wish.priority, wish.patience);
                self.reply(wish.request, Ok(Reply::Subscribed(self.up(region))));
            }
            Err(refusal) => {
                let region = wish.region.map(<[u8]>::to_vec);
                self.stack.note(Note::NotSubscribed { region, refusal });
                self.actions.extend(self.stack.actions.drain(..));
                self.reply(wish.request, Err(refusal));
            }
        }
    }

    /// A consumer of one region pins what the method says, and the local node.
    fn hold(&mut self, now: Now, wish: &Subscribe<'_>) -> Result<Option<ItemId>, Refusal> {
        if self.stopped {
            return Err(Refusal::ShuttingDown);
        }
        let Some(name) = wish.region else { return Ok(None) };
        let region = self.stack.heartbeat.layer.by_name(name).ok_or(Refusal::NoSuchRegion)?.id;
        let cluster = self.stack.nodes.cluster();
        let local = cluster.and_then(|cluster| cluster.local()).ok_or(Refusal::NoLocalNode)?.id;
        // Asked of both before either is pinned for good.
        self.config.depend(region)?;
        let pinned = self.config.depend(local);
        self.config.undepend(region);
        pinned?;
        self.method(now, |method, at| method.hold(at, region));
        self.pins.insert(wish.consumer, (region, local));
        Ok(Some(region))
    }

    fn unsubscribe(&mut self, now: Now, consumer: ConsumerId) {
        self.stack.heartbeat.layer.delivery.unregister(consumer);
        if let Some((region, local)) = self.pins.remove(&consumer) {
            self.config.undepend(local);
            self.method(now, |method, at| method.release(at, region));
        }
    }

    /// Lets events run as far as they can, and answers those who waited for them.
    fn pump(&mut self, now: Now) {
        while let Some(step) = self.stack.heartbeat.layer.delivery.step(now.mono) {
            match step {
                Step::Deliver(consumer, event) => self.actions.push_back(Action::Deliver { consumer, event }),
                Step::Expelled(consumer, event) => {
                    self.unsubscribe(now, consumer);
                    self.stack.note(Note::Expelled(consumer, event));
                    self.actions.extend(self.stack.actions.drain(..));
                    self.actions.push_back(Action::Expelled { consumer });
                }
            }
        }
        let delivered = self.stack.heartbeat.layer.delivery.delivered();
        let (stopping, actions) = (&self.stopping, &mut self.actions);
        self.held.retain(|(until, request, result)| {
            let wait = *until > delivered || stopping.contains(request);
            if !wait {
                actions.push_back(Action::Reply { request: *request, result: result.clone() });
            }
            wait
        });
        let still = self.stack.heartbeat.active().is_some_and(|method| method.stopping());
        if self.stopped && !self.ended && !still {
            self.ended = true;
            self.actions.push_back(Action::Stopped);
        }
    }

    fn shut_down(&mut self, now: Now) {
        self.stopped = true;
        let callbacks = self.stack.heartbeat.layer.delivery.callbacks();
        for consumer in callbacks.iter().map(|callback| callback.consumer).collect::<Vec<_>>() {
            self.unsubscribe(now, consumer);
        }
        self.stopping.clear();
        for (_, request, result) in core::mem::take(&mut self.held) {
            self.reply(request, result);
        }
        self.method(now, |method, at| method.stop_all(at));
        for request in self.stack.waiting.keys().copied().collect::<Vec<_>>() {
            self.finish(now, request, Err(Refusal::ShuttingDown));
        }
    }

    fn reply(&mut self, request: RequestId, result: Result<Reply, Refusal>) {
        self.actions.push_back(Action::Reply { request, result });
    }

    /// Who is up in a region, or in all regions.
    fn up(&self, region: Option<ItemId>) -> Vec<Up> {
        let Some(method) = self.stack.heartbeat.active() else { return Vec::new() };
        let regions = self.stack.heartbeat.layer.regions().iter().map(|region| region.id);
        let wanted = regions.filter(|id| region.is_none_or(|region| region == *id));
        let up_in = |id: ItemId| {
            let nodes: Vec<_> = method.fill_node_map(Some(id)).iter().collect();
            nodes.into_iter().filter_map(move |num| {
                let node = NodeName { num, name: self.stack.nodes.node_by_num(num)?.name.clone() };
                Some(Up { region: id, node, since: method.up_since(id, num)? })
            })
        };
        wanted.flat_map(up_in).collect()
    }
}
