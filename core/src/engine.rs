//! The stack as one value: it owns the trees and machines and routes inputs. It has no policy of its own.
//!
//! `carry` shows the order in which machines hear of one another; `requests` how calls are answered; `network` what
//! connections do.

mod carry;
mod network;
mod requests;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::call::Call;
use crate::consumers::{Consumers, Step};
use crate::effect::{Effect, Effects};
use crate::error::Refusal;
use crate::fence::Beats;
use crate::heartbeat::Method;
use crate::ids::{ItemId, View};
use crate::machines::Machines;
use crate::message::{Action, Input};
use crate::note::Note;
use crate::pending::Pending;
use crate::status::{self, OwnNode, RegionStatus, Status};
use crate::throttle::Throttle;
use crate::time::{Instant, Now};
use crate::tree::{Owner, Tree};
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
    /// Nor is anything written any more: this node had to go.
    Fenced,
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
    throttle: Throttle,
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
            throttle: Throttle::default(),
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
            Input::Net(event) => self.net_event(now, event),
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
        let Machines { heartbeat, net, quorum, .. } = &self.machines;
        let machines = [heartbeat.next_timeout(), net.next_timeout(), quorum.next_timeout()];
        let others = [self.consumers.delivery.next_timeout(), self.throttle.next_timeout()];
        let timers = others.into_iter().chain(machines);
        timers.flatten().min()
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

    /// Whether others count on this node, and until when by what it has done so far.
    pub fn beats(&self) -> Beats {
        match (self.life, self.machines.heartbeat.good()) {
            (Life::Fenced, _) => Beats::Fenced,
            (_, Some(good)) => Beats::Good(good),
            (_, None) => Beats::Unwatched,
        }
    }

    /// Who this node is in the cluster, as far as it is configured, and what a fence is to do.
    pub fn own(&self) -> OwnNode<'_> {
        let cluster = self.machines.nodes.cluster();
        let local = cluster.and_then(|cluster| cluster.local());
        let num = local.and_then(|local| local.num);
        OwnNode {
            cluster: cluster.map(|cluster| &cluster.name),
            node: local.map(|local| &local.name),
            num,
            up: num.is_some_and(|num| self.machines.heartbeat.layer.check_node_status(None, num)),
            fence_method: cluster.map(|cluster| cluster.fence_method).unwrap_or_default(),
        }
    }

    /// The state, to read.
    pub fn status(&self) -> Status {
        Status { regions: self.regions_after(None, usize::MAX), ..self.overview() }
    }

    /// The same without the regions.
    pub fn overview(&self) -> Status {
        Status::overview(&self.machines, &self.consumers)
    }

    /// At most `count` regions, oldest first: the first ones, or those made after `after`, which may be gone. Who has
    /// many of them reads them in parts, so that nobody else waits for long.
    pub fn regions_after(&self, after: Option<ItemId>, count: usize) -> Vec<RegionStatus> {
        let tree = &self.views.config.tree;
        status::regions_after(&self.machines, &self.consumers, tree, after).take(count).collect()
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
        self.answer_known();
        self.effects.push(Effect::StopRegions);
        self.carry(now, None);
        // Removals that waited for a beat.
        self.answer_known();
        self.machines.stop_listening(now.mono, &mut self.effects);
        self.carry(now, None);
        for request in self.pending.stores() {
            self.effects.push(Effect::EndStore { request, result: Err(Refusal::ShuttingDown) });
        }
        self.carry(now, None);
    }

    /// Answers whatever can be answered, as nobody waits for anything more.
    fn answer_known(&mut self) {
        let actions = &mut self.actions;
        self.pending.take_known(|request, result| actions.push_back(Action::Reply { request, result }));
    }
}

#[cfg(test)]
impl Engine {
    /// For tests of what no call can reach.
    pub(crate) fn heartbeat_mut(&mut self) -> &mut crate::heartbeat::Heartbeat {
        &mut self.machines.heartbeat
    }
}
