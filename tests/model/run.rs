//! One list of operations against the engine and the reference, compared after every call.

mod compare;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uo2cb_core::heartbeat::disk::{DiskInfo, DiskRequest, DiskResult};
use uo2cb_core::net::{Closing, NetEvent, NetRequest};
use uo2cb_core::tree::{Answer, Change, FileType, Object, Op as TreeOp, SetAttr};
use uo2cb_core::{
    Action, Caller, Config, ConnectionId, ConsumerId, Engine, Errno, Input, Instant, ItemId, Note, Now,
    Refusal, Reply, RequestId, Subscribe, View,
};

use crate::call::{Attr, Call, Delivered, Output, Replied, Resolution, Target, TreeCall, WALL};
use crate::ops::{Ids, Op};
use crate::reference::{Reference, join};

/// What differed, in words.
pub(crate) type Difference = String;

/// Runs a list; at its end shuts down. Returns the number of calls, or the first difference.
pub(crate) fn run(ops: &[Op]) -> Result<u64, Difference> {
    let mut run = Run::new();
    for (at, op) in ops.iter().enumerate() {
        run.step(*op).map_err(|difference| format!("at operation {at}, {op:?}: {difference}"))?;
    }
    if !run.stopped() {
        run.compare_debugfs()?;
    }
    run.step(Op::Shutdown)?;
    run.end()?;
    Ok(run.calls)
}

struct Run {
    engine: Engine,
    model: Reference,
    ids: Ids,
    mono: Duration,
    /// The engine's id of every path, as last listed.
    objects: BTreeMap<String, Object>,
    /// The region whose device each request opens.
    opening: BTreeMap<u64, ItemId>,
    /// Removed directories.
    removed: Vec<ItemId>,
    /// Entries of a cache that is told of every change.
    cache: BTreeSet<(ItemId, Vec<u8>)>,
    /// How often each request was answered.
    answers: BTreeMap<u64, u32>,
    asked: BTreeSet<u64>,
    calls: u64,
    /// Attempts to connect that nobody has answered yet.
    refused: Vec<ConnectionId>,
    /// Others are expected to connect, or are connected to, which has deadlines of its own.
    listens: bool,
}

impl Run {
    fn new() -> Self {
        let now = Now { mono: Instant::at(Duration::ZERO), unix: WALL };
        let mut run = Self {
            engine: Engine::new(&Config::default(), uo2cb_core::heartbeat::methods(), now),
            model: Reference::new(),
            ids: Ids::default(),
            mono: Duration::ZERO,
            objects: BTreeMap::new(),
            opening: BTreeMap::new(),
            removed: Vec::new(),
            cache: BTreeSet::from([(ItemId::ROOT, b"cluster".to_vec())]),
            answers: BTreeMap::new(),
            asked: BTreeSet::new(),
            calls: 0,
            refused: Vec::new(),
            listens: false,
        };
        run.objects = run.listing().1;
        run
    }

    fn now(&self) -> Now {
        Now { mono: Instant::at(self.mono), unix: self.mono + WALL }
    }

    fn step(&mut self, op: Op) -> Result<(), Difference> {
        let calls = op.calls(&self.model, &mut self.ids);
        if calls.is_empty() {
            return Ok(());
        }
        self.mono += op.takes();
        for call in calls {
            self.calls += 1;
            let expected = self.model.apply(self.mono, &call);
            self.input(&call);
            let got = self.drain();
            if got != expected {
                return Err(format!("{call:?}\n  expected {expected:?}\n  got      {got:?}"));
            }
            self.compare().map_err(|difference| format!("after {call:?}: {difference}"))?;
        }
        Ok(())
    }

    fn dir(&self, path: &str) -> ItemId {
        match self.objects.get(path) {
            Some(Object::Dir(id) | Object::Link(id) | Object::Attribute(id, _)) => *id,
            None => ItemId(u64::MAX),
        }
    }

    fn object(&self, path: &str) -> Object {
        self.objects.get(path).copied().unwrap_or(Object::Dir(ItemId(u64::MAX)))
    }

    fn attribute(&self, dir: &str, name: &str) -> (ItemId, u8) {
        match self.object(&join(dir, name)) {
            Object::Attribute(id, number) => (id, number),
            Object::Dir(id) | Object::Link(id) => (id, u8::MAX),
        }
    }

    fn input(&mut self, call: &Call) {
        let now = self.now();
        match call {
            Call::Tree { request, tree_call } => {
                self.asked.insert(*request);
                self.tree_call(*request, tree_call);
            }
            Call::Resolve(request, resolution) => {
                let request = RequestId(*request);
                let result = |errno: Option<Errno>| errno.map_or(Ok(()), Err);
                self.engine.handle(
                    now,
                    match resolution {
                        Resolution::Cancel => Input::Cancel(request),
                        Resolution::Listening(errno) => Input::Listening { request, result: result(*errno) },
                        Resolution::Device(errno) => {
                            let disk = self.opening.get(&request.0).copied().unwrap_or(ItemId(u64::MAX));
                            let result =
                                errno.map_or_else(|| Ok(unfit()), |errno| Err(Refusal::System(errno)));
                            Input::Disk(disk, DiskResult::Opened(result))
                        }
                    },
                );
            }
            Call::Subscribe { request, consumer, subscription } => {
                self.asked.insert(*request);
                self.engine.handle(
                    now,
                    Input::Subscribe(Subscribe {
                        request: RequestId(*request),
                        consumer: ConsumerId(*consumer),
                        region: subscription.region.as_ref().map(|region| region.as_bytes()),
                        edge: subscription.edge,
                        priority: subscription.priority,
                        patience: subscription.patience,
                    }),
                );
            }
            Call::Unsubscribe(consumer) => self.engine.handle(now, Input::Unsubscribe(ConsumerId(*consumer))),
            Call::Delivered { consumer, event } => {
                self.engine.handle(now, Input::Delivered { consumer: ConsumerId(*consumer), event: *event });
            }
            Call::Tick => self.engine.handle_timeout(now),
            Call::Shutdown => self.engine.handle(now, Input::Shutdown),
        }
    }

    fn tree_call(&mut self, request: u64, tree_call: &TreeCall) {
        let op = match tree_call {
            TreeCall::Mkdir { dir, name } => TreeOp::Mkdir { dir: self.dir(dir), name: name.as_bytes() },
            TreeCall::Rmdir { dir, name } => TreeOp::Rmdir { dir: self.dir(dir), name: name.as_bytes() },
            TreeCall::Unlink { dir, name } => TreeOp::Unlink { dir: self.dir(dir), name: name.as_bytes() },
            TreeCall::Symlink { dir, name, target } => TreeOp::Symlink {
                dir: self.dir(dir),
                name: name.as_bytes(),
                target: match target {
                    Target::Path(path) => Ok(self.object(path)),
                    Target::Attribute(dir, name) => Ok(self.object(&join(dir, name))),
                    Target::Refused(errno) => Err(Refusal::System(*errno).into()),
                },
            },
            TreeCall::Store { dir, attribute, value } => {
                let (item, attribute) = self.attribute(dir, attribute);
                TreeOp::Store { item, attribute, data: value }
            }
            TreeCall::Open { dir, attribute, read, write } => {
                let (item, attribute) = self.attribute(dir, attribute);
                TreeOp::Open { item, attribute, read: *read, write: *write }
            }
            TreeCall::Chmod { path, mode } => {
                TreeOp::SetAttr(self.object(path), SetAttr { mode: Some(*mode), ..SetAttr::default() })
            }
            TreeCall::Forbidden { dir, name, call } => {
                TreeOp::Forbidden { dir: self.dir(dir), name: name.as_bytes(), call: *call }
            }
            TreeCall::ListRemoved { nth } => {
                let item = self.removed.get(nth % self.removed.len().max(1)).copied();
                TreeOp::List(item.unwrap_or(ItemId(u64::MAX)))
            }
        };
        let caller = Caller { pid: request as u32, uid: 0, gid: 0 };
        let now = Now { mono: Instant::at(self.mono), unix: self.mono + WALL };
        self.engine.handle(now, Input::Tree { request: RequestId(request), caller, view: View::Config, op });
    }

    /// What the engine asks for. Nobody can be connected to: what connections do is the simulation's.
    fn poll_action(&mut self) -> Option<Action> {
        loop {
            match self.engine.poll_action() {
                Some(Action::Net(NetRequest::Connect { connection, .. })) => self.refused.push(connection),
                Some(action) => return Some(action),
                None => {
                    let closed =
                        NetEvent::Closed(self.refused.pop()?, Closing::Reset(Errno(libc::ECONNREFUSED)));
                    self.engine.handle(self.now(), Input::Net(closed));
                }
            }
        }
    }

    /// Everything that came out, in the words of the reference.
    fn drain(&mut self) -> Vec<Output> {
        let mut out = Vec::new();
        while let Some(action) = self.poll_action() {
            out.extend(match action {
                Action::Reply { request, result } => {
                    *self.answers.entry(request.0).or_default() += 1;
                    Some(Output::Reply(
                        request.0,
                        result.map(|reply| self.replied(reply)).map_err(Refusal::errno),
                    ))
                }
                Action::Deliver { consumer, event } => Some(Output::Deliver(
                    consumer.0,
                    Delivered {
                        number: event.number,
                        edge: event.edge,
                        num: u64::from(event.node.num.get()),
                        node: text(event.node.name.as_bytes()),
                        region: event.region.map_or(String::new(), |region| text(region.name.as_bytes())),
                        pid: match event.cause {
                            uo2cb_core::heartbeat::Cause::Linked(pid)
                            | uo2cb_core::heartbeat::Cause::Unlinked(pid) => pid,
                            // No disk beats here.
                            _ => u32::MAX,
                        },
                        at: event.at,
                    },
                )),
                Action::Expelled { consumer } => Some(Output::Expelled(consumer.0)),
                Action::Changed { view: View::Config, change, .. } => {
                    self.hear(change);
                    None
                }
                Action::Listen { request, address, port, .. } => {
                    self.listens = true;
                    Some(Output::Listen { request: request.0, at: format!("{address}:{port}") })
                }
                Action::StopListening => {
                    self.listens = false;
                    Some(Output::StopListening)
                }
                Action::Disk(disk, DiskRequest::Open { request, descriptor, .. }) => {
                    self.opening.insert(request.0, disk);
                    Some(Output::OpenDisk { request: request.0, descriptor: descriptor as u64 })
                }
                Action::Note(Note::Refused { call, path, value, refusal, .. }) => {
                    Some(Output::Refused { call, path: text(&path), value, errno: refusal.errno() })
                }
                Action::Stopped => Some(Output::Stopped),
                Action::Disk(_, DiskRequest::Read { .. } | DiskRequest::Write { .. })
                | Action::Net(_)
                | Action::Watched(..)
                | Action::Fence { .. } => None,
                Action::Disk(disk, DiskRequest::Close) => {
                    let last = self.opening.iter().rev().find(|(_, opened)| **opened == disk);
                    Some(Output::CloseDisk(last.map_or(u64::MAX, |(request, _)| *request)))
                }
                Action::Changed { .. } | Action::Note(_) => None,
            });
        }
        out
    }

    fn hear(&mut self, change: Change) {
        match change {
            Change::Added { parent, name } => {
                self.cache.insert((parent, name.as_bytes().to_vec()));
            }
            Change::Removed { parent, name, items } => {
                self.cache.remove(&(parent, name.as_bytes().to_vec()));
                self.cache.retain(|(parent, _)| !items.contains(parent));
                self.removed.extend(items);
            }
            Change::Touched(_) => {}
        }
    }

    fn replied(&self, reply: Reply) -> Replied {
        match reply {
            Reply::Tree(Answer::Done) => Replied::Done,
            Reply::Tree(Answer::Stored(length)) => Replied::Stored(length),
            Reply::Tree(Answer::Attr(attr)) => Replied::Attr(attr_of(&attr)),
            Reply::Tree(answer) => Replied::Other(format!("{answer:?}")),
            Reply::Subscribed(up) => Replied::Subscribed(
                up.into_iter()
                    .map(|up| {
                        let items = self.engine.tree(View::Config).items();
                        let name = up.region.and_then(|region| items.name(region));
                        let region = name.map_or(String::new(), |name| text(name.as_bytes()));
                        let num = u64::from(up.node.num.get());
                        (region, num, text(up.node.name.as_bytes()), up.since)
                    })
                    .collect(),
            ),
        }
    }

    fn stopped(&self) -> bool {
        self.model.stopped()
    }

    fn end(&mut self) -> Result<(), Difference> {
        let wrong = self.asked.iter().find(|request| self.answers.get(request) != Some(&1));
        match wrong {
            Some(request) => Err(format!("request {request} answered {:?} times", self.answers.get(request))),
            None if self.engine.waiting() > 0 => Err("somebody still waits".to_owned()),
            None => Ok(()),
        }
    }
}

/// A device with sectors that no region takes: every open ends here, beats are not this test's.
fn unfit() -> DiskInfo {
    DiskInfo { name: "vda".to_owned(), sector_bytes: 8192, regular_file: false, generation: 1, pid: 1 }
}

fn attr_of(attr: &uo2cb_core::tree::Attr) -> Attr {
    let kind = match attr.object.file_type() {
        FileType::Directory => 'd',
        FileType::File => 'f',
        FileType::Symlink => 'l',
    };
    Attr { kind, mode: attr.meta.mode, nlink: attr.nlink, size: attr.size }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
