//! The stack as one value: it owns the trees and machines, routes inputs, and carries what they ask of one another in
//! one visible order. It has no policy of its own.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::call::Call;
use crate::consumers::{Consumers, Step};
use crate::detail::{Refused, detail};
use crate::effect::{Effect, Effects};
use crate::error::{Errno, Refusal};
use crate::fence::FenceReason;
use crate::heartbeat::Method;
use crate::heartbeat::disk::DiskRequest;
use crate::heartbeat::event::NodeEdge;
use crate::ids::{Caller, ConsumerId, RequestId, View};
use crate::logmask::Subject;
use crate::machines::Machines;
use crate::message::{Action, Input, Reply, Subscribe};
use crate::note::Note;
use crate::pending::{Pending, PendingStore};
use crate::status::Status;
use crate::time::{Instant, Now};
use crate::tree::{Answer, Described, Object, Op, Outcome, Owner, Tree};
use crate::views::Views;

/// How a stack is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// Whom the directories belong to at first.
    pub owner: Owner,
    /// Show exactly what kernel 6.1 shows: no choice of methods. Goes with
    /// [`mainline_methods`](crate::heartbeat::mainline_methods).
    pub mainline: bool,
}

/// How far the stack is from its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    Running,
    /// Everything new is refused; regions still write their last blocks.
    Stopping,
    /// Nothing more is to come.
    Ended,
}

/// The stack.
///
/// - **Inputs**: [`handle`](Self::handle) and [`handle_timeout`](Self::handle_timeout). They never block and
///   never fail; outcomes are actions. Time does not go back between calls.
/// - **Outputs**: after each of these, [`poll_action`](Self::poll_action) is to be called until it gives none,
///   and every action to be carried out in that order. No input may come before that.
/// - **Time**: [`poll_timeout`](Self::poll_timeout) names the next moment at which `handle_timeout` wants to
///   be called; any input may change it. Calls that come early or unasked do nothing.
/// - **Views**: [`status`](Self::status) and [`tree`](Self::tree) only read.
#[derive(Debug)]
pub struct Engine {
    views: Views,
    machines: Machines,
    consumers: Consumers,
    pending: Pending,
    effects: Effects,
    actions: VecDeque<Action>,
    life: Life,
}

impl Engine {
    /// A stack without a cluster, with these heartbeat methods ([`methods`](crate::heartbeat::methods)); the first one
    /// is active.
    pub fn new(config: &Config, methods: Vec<Box<dyn Method>>, now: Now) -> Self {
        let mut machines = Machines::default();
        methods.into_iter().for_each(|method| machines.heartbeat.register(method));
        Self {
            views: Views::new(config.owner, config.mainline, now),
            machines,
            consumers: Consumers::default(),
            pending: Pending::default(),
            effects: Effects::default(),
            actions: VecDeque::new(),
            life: Life::Running,
        }
    }

    /// Takes an input.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        debug_assert!(self.actions.is_empty(), "not polled to the end: {:?}", self.actions);
        self.expire(now);
        match input {
            Input::Tree { request, caller, view, op } => self.call(Call { now, caller, request }, view, &op),
            Input::Cancel(request) => self.cancel(now, request),
            Input::Listening { request, result } => self.listening(now, request, result),
            Input::Disk(region, result) => {
                self.machines
                    .disk(Call::nobody(now), &mut self.effects, |disk, cx| disk.done(cx, region, result));
            }
            Input::Subscribe(subscribe) => self.subscribe(now, &subscribe),
            Input::Unsubscribe(consumer) => self.unsubscribe(now, consumer),
            Input::Delivered { consumer, event } => {
                self.consumers.delivery.done(consumer, event);
            }
            Input::Shutdown if self.life != Life::Running => {}
            Input::Shutdown => self.shut_down(now),
        }
        self.finish(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        debug_assert!(self.actions.is_empty(), "not polled to the end: {:?}", self.actions);
        self.expire(now);
        self.finish(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = [self.consumers.delivery.next_timeout(), self.machines.heartbeat.next_timeout()];
        timers.into_iter().flatten().min()
    }

    /// The next thing to do.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Requests that have not been answered.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// The entries of a tree, to read.
    pub fn tree(&self, view: View) -> &Tree {
        self.views.tree(view)
    }

    /// The state, to read.
    pub fn status(&self) -> Status {
        Status::of(&self.machines, &self.consumers, &self.views.config.tree)
    }

    fn call(&mut self, call: Call, view: View, op: &Op<'_>) {
        let Call { now, caller, request } = call;
        let Self { views, machines, consumers, effects, .. } = self;
        let events = consumers.delivery.next_number();
        let outcome = match self.life {
            Life::Running => views.apply(view, machines, effects, consumers, call, op),
            Life::Stopping | Life::Ended => Outcome::Ready(Err(Refusal::ShuttingDown)),
        };
        match (outcome, op) {
            (Outcome::Ready(result), _) => {
                if let Err(refusal) = result {
                    let items = views.tree(view).items();
                    if let Some(described) = op.described(items) {
                        let refused = Refused::of(op, items);
                        self.refused(view, described, refusal, refused, caller);
                    }
                }
                self.carry(now, Some(request));
                self.answer(now, events, request, result.map(Reply::Tree));
            }
            (Outcome::Storing(item), Op::Store { attribute, data, .. }) => {
                let data = data[..data.len().min(Tree::STORE_MAX)].to_vec();
                self.pending.add_store(request, PendingStore { item, attribute: *attribute, data, caller });
                self.carry(now, Some(request));
            }
            (Outcome::Storing(item) | Outcome::Removing(item), _) => {
                self.pending.add_removal(request, item, caller);
                self.carry(now, Some(request));
            }
        }
    }

    /// The timeouts of methods, before anything else: who was paused too long must not act as if not.
    fn expire(&mut self, now: Now) {
        if self.machines.heartbeat.next_timeout().is_some_and(|due| due <= now.mono) {
            let call = Call::nobody(now);
            self.machines.each(call, &mut self.effects, |method, cx| {
                if method.next_timeout().is_some_and(|due| due <= now.mono) {
                    method.timeout(cx);
                }
            });
            self.carry(now, None);
        }
    }

    /// Carries out what the machines have asked for, and what that asks for, until nothing is left; then tells of what
    /// changed in the trees. `request`: the call that made the changes.
    fn carry(&mut self, now: Now, request: Option<RequestId>) {
        let mut effects = self.effects.take();
        for effect in effects.drain(..) {
            self.carry_out(now, request, effect);
            if !self.effects.is_empty() {
                self.carry(now, request);
            }
        }
        self.effects.restore(effects);
        self.tell_changes(request);
    }

    fn carry_out(&mut self, now: Now, request: Option<RequestId>, effect: Effect) {
        match effect {
            // Who has been fenced writes nothing any more.
            Effect::Do(Action::Disk(_, DiskRequest::Write { .. })) if self.life == Life::Ended => {}
            Effect::Do(action) => self.actions.push_back(action),
            Effect::Note(note) => self.note(note),
            Effect::Edge(edge) => self.edge(edge),
            Effect::EndStore { request: store, result } => {
                self.tell_changes(request);
                self.end_store(now, store, result);
            }
            Effect::Stopping(request) => self.pending.stopping(request),
            Effect::Stopped(request) => self.pending.stopped(request),
            Effect::Pin(item) => self.views.config.tree.pin(item),
            Effect::Unpin(item) => self.views.config.tree.undepend(item),
            Effect::RegionMade(region) => {
                if let Some(region) = self.machines.heartbeat.layer.by_id(region) {
                    self.views.region_made(region.id, region.name.as_bytes(), now);
                }
            }
            Effect::RegionDropped(region) => self.views.region_dropped(region, now),
            Effect::StopRegions => {
                self.machines.each(Call::nobody(now), &mut self.effects, |method, cx| method.stop_all(cx));
            }
            Effect::Fence(reason) => self.fence(reason),
        }
    }

    /// Carries one edge, in the order that is contract: those inside the stack at once, quorum first, then net; then
    /// external consumers, through delivery, which waits for each of them and holds up nobody but the caller of the
    /// link. (There is no quorum and no net yet: this is their place. Quorum takes edges that are `whole`, of methods
    /// that ask for it.)
    fn edge(&mut self, edge: NodeEdge) {
        let shown = self.machines.logmask.shows(Subject::Heartbeat);
        if let Some(event) = self.consumers.delivery.queue(edge).filter(|_| shown) {
            self.actions.push_back(Action::Note(Note::Event(event.clone())));
        }
    }

    fn note(&mut self, note: Note) {
        if self.machines.logmask.shows(note.subject()) {
            self.actions.push_back(Action::Note(note));
        }
    }

    /// Notes a refusal: in which tree, of which call.
    fn refused(
        &mut self,
        view: View,
        Described { call, path, value }: Described,
        refusal: Refusal,
        refused: Option<Refused<'_>>,
        caller: Caller,
    ) {
        let items = self.views.tree(view).items();
        let detail =
            refused.and_then(|refused| detail(refusal, refused, items, &self.machines, &self.consumers));
        self.note(Note::Refused { view, call, path, value, refusal, detail, caller });
    }

    /// Word to those who cache the trees.
    fn tell_changes(&mut self, request: Option<RequestId>) {
        let actions = &mut self.actions;
        self.views.take_changes(|view, change| {
            // The stack itself makes what is in debugfs: nobody's call.
            let request = request.filter(|_| view != View::Debugfs);
            actions.push_back(Action::Changed { view, request, change });
        });
    }

    /// This node goes: nothing is written any more, and the driver hears of it before all else.
    fn fence(&mut self, reason: FenceReason) {
        if self.life == Life::Ended {
            return;
        }
        self.life = Life::Ended;
        let method = self.machines.nodes.cluster().map(|cluster| cluster.fence_method).unwrap_or_default();
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
        let effects = &mut self.effects;
        self.machines.heartbeat.each(|method, _| method.stop_uncleanly(effects));
    }

    fn cancel(&mut self, now: Now, request: RequestId) {
        if let Some((item, caller)) = self.pending.cancel_removal(request) {
            let tree = &mut self.views.config.tree;
            tree.give_up_removing(item);
            let removal = Described { call: "rmdir", path: tree.items().path(item), value: None };
            let refusal = Refusal::Interrupted;
            self.refused(View::Config, removal, refusal, None, caller);
            self.reply(request, Err(refusal));
        }
        self.pending.stopped(request);
        self.machines.each(Call::nobody(now), &mut self.effects, |method, cx| method.cancel(cx, request));
    }

    fn listening(&mut self, now: Now, request: RequestId, result: Result<(), Errno>) {
        let local = self.machines.nodes.listening(request, result.is_ok());
        if let Some((address, port)) = local.and_then(|node| Some((node.address?, node.port?))) {
            self.effects.note(Note::Listening(address, port));
        }
        self.effects.push(Effect::EndStore { request, result: result.map_err(Refusal::System) });
        self.carry(now, None);
    }

    /// Ends a store that waited, and the removal that waited for it.
    fn end_store(&mut self, now: Now, request: RequestId, result: Result<(), Refusal>) {
        let Some(PendingStore { item, attribute, data, caller }) = self.pending.take_store(request) else {
            return self.note(Note::Stale(request));
        };
        let length = data.len();
        if let Err(refusal) = result {
            let path = self.tree(View::Config).items().object_path(Object::Attribute(item, attribute));
            let refused = Some(Refused { item, value: &data, target: None, told: None });
            let store = Described { call: "store", path, value: Some(data.clone()) };
            self.refused(View::Config, store, refusal, refused, caller);
        }
        let Self { views, machines, consumers, effects, pending, .. } = self;
        let events = consumers.delivery.next_number();
        let removal = views.config.tree.store_ended(item).and_then(|item| {
            let (request, caller) = pending.take_removal_of(item)?;
            views.config.go_on_removing(machines, effects, item, Call { now, caller, request });
            Some(request)
        });
        // What changed, changed by the removal: its caller's kernel knows already, and holds locks that word of it
        // would wait for.
        self.carry(now, removal);
        self.reply(request, result.map(|()| Reply::Tree(Answer::Stored(length))));
        if let Some(removal) = removal {
            self.answer(now, events, removal, Ok(Reply::Tree(Answer::Done)));
        }
    }

    /// Answers a call; if events were queued since `events`, only behind them.
    fn answer(&mut self, now: Now, events: u64, request: RequestId, result: Result<Reply, Refusal>) {
        let queued = self.consumers.delivery.next_number();
        if queued > events {
            // Where nobody has to be told, nobody waits.
            self.deliver(now);
        }
        let told = queued == events || self.consumers.delivery.delivered() >= queued;
        if !told || self.pending.is_stopping(request) {
            self.pending.add_answer(request, queued, result);
        } else {
            self.reply(request, result);
        }
    }

    fn subscribe(&mut self, now: Now, subscribe: &Subscribe<'_>) {
        let Self { views, machines, consumers, effects, .. } = self;
        let subscribed = match self.life {
            Life::Running => consumers.subscribe(subscribe, &mut views.config.tree, machines, effects, now),
            Life::Stopping | Life::Ended => Err(Refusal::ShuttingDown),
        };
        if let Err(refusal) = subscribed {
            let region = subscribe.region.map(<[u8]>::to_vec);
            effects.note(Note::NotSubscribed { region, refusal });
        }
        self.carry(now, None);
        self.reply(subscribe.request, subscribed.map(Reply::Subscribed));
    }

    fn unsubscribe(&mut self, now: Now, consumer: ConsumerId) {
        self.consumers.unsubscribe(consumer, &mut self.machines, &mut self.effects, now);
        self.carry(now, None);
    }

    /// Carries what is left, lets events run as far as they can, and answers those who waited for that.
    fn finish(&mut self, now: Now) {
        self.carry(now, None);
        self.deliver(now);
        let (told, actions) = (self.consumers.delivery.delivered(), &mut self.actions);
        self.pending.take_told(told, |request, result| actions.push_back(Action::Reply { request, result }));
        if self.life == Life::Stopping && !self.machines.heartbeat.stopping() {
            self.life = Life::Ended;
            self.actions.push_back(Action::Stopped);
        }
    }

    /// Lets events run as far as they can.
    fn deliver(&mut self, now: Now) {
        while let Some(step) = self.consumers.delivery.step(now.mono) {
            match step {
                Step::Deliver(consumer, event) => self.actions.push_back(Action::Deliver { consumer, event }),
                Step::Expelled(consumer, event) => {
                    self.unsubscribe(now, consumer);
                    self.note(Note::Expelled(consumer, event));
                    self.actions.push_back(Action::Expelled { consumer });
                }
            }
        }
    }

    fn shut_down(&mut self, now: Now) {
        self.life = Life::Stopping;
        for consumer in self.consumers.all() {
            self.unsubscribe(now, consumer);
        }
        let actions = &mut self.actions;
        self.pending.take_known(|request, result| actions.push_back(Action::Reply { request, result }));
        self.effects.push(Effect::StopRegions);
        self.carry(now, None);
        for request in self.pending.stores() {
            self.effects.push(Effect::EndStore { request, result: Err(Refusal::ShuttingDown) });
        }
        self.carry(now, None);
    }

    fn reply(&mut self, request: RequestId, result: Result<Reply, Refusal>) {
        self.actions.push_back(Action::Reply { request, result });
    }
}

#[cfg(test)]
impl Engine {
    /// For tests of what no call can reach.
    pub(crate) fn heartbeat_mut(&mut self) -> &mut crate::heartbeat::Heartbeat {
        &mut self.machines.heartbeat
    }
}
