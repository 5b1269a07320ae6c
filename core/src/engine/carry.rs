//! Carrying out what the machines ask of one another: the one place that knows the order.

use alloc::collections::VecDeque;

use super::{Engine, Life};
use crate::call::Call;
use crate::effect::Effect;
use crate::fence::FenceReason;
use crate::heartbeat::disk::request::DiskRequest;
use crate::heartbeat::event::{Edge, NodeEdge};
use crate::ids::{RequestId, View};
use crate::logmask::Subject;
use crate::message::Action;
use crate::net::{Net, NetRequest};
use crate::note::Note;
use crate::quorum::NodeChange;
use crate::time::Now;

impl Engine {
    /// The timeouts of methods, then those of connections, before anything else: who was paused too long must not act as if not.
    pub(super) fn expire(&mut self, now: Now) {
        for note in self.throttle.take_due(now.mono) {
            self.note(note);
        }
        if self.machines.heartbeat.next_timeout().is_some_and(|due| due <= now.mono) {
            let call = Call::nobody(now);
            self.machines.each(call, &mut self.effects, |method, cx| {
                if method.next_timeout().is_some_and(|due| due <= now.mono) {
                    method.timeout(cx);
                }
            });
            self.carry(now, None);
        }
        self.expire_net(now);
    }

    /// Carries out what the machines have asked for, and what that asks for, until nothing is left; then tells of what
    /// changed in the trees. `request`: the call that made the changes.
    pub(super) fn carry(&mut self, now: Now, request: Option<RequestId>) {
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
            Effect::Do(Action::Disk(_, DiskRequest::Write { .. })) if self.life == Life::Fenced => {}
            Effect::Do(action) => self.actions.push_back(action),
            Effect::Note(note) => {
                if let Some(note) = self.throttle.pass(now.mono, note) {
                    self.note(note);
                }
            }
            Effect::Edge(edge) => self.edge(now, edge),
            Effect::Connection(node, edge) => self.connection_edge(now, node, edge),
            Effect::Message(request) => self.message(now, &request),
            Effect::Send(request) => self.send(now, &request),
            Effect::Answered { user, node, kind, result } => self.answered(now, user, node, kind, result),
            Effect::Handle(kind, limit, user) => {
                self.machines.net.register(kind, limit, user);
            }
            Effect::HandleNothing(user) => self.machines.net.unregister(user),
            Effect::NodeNumbered(node) => self.node_numbered(now, node),
            Effect::NodeRemoved(node) => self.node_removed(now, node),
            Effect::StopListening => self.stop_listening(now),
            Effect::EndStore { request: store, result } => {
                self.tell_changes(request);
                self.end_store(now, store, result);
            }
            Effect::Quiet(region) => {
                self.tell_changes(request);
                self.go_on_removing(now, region);
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
    /// link.
    fn edge(&mut self, now: Now, edge: NodeEdge) {
        if edge.whole {
            let (node, effects) = (edge.node.num, &mut self.effects);
            match edge.edge {
                Edge::Up => {
                    self.machines.quorum(now.mono, node, NodeChange::Up, effects);
                    self.machines.net(now.mono, effects, |net, cx| net.heartbeat_up(node, cx));
                }
                Edge::Down => {
                    self.machines.quorum(now.mono, node, NodeChange::Down, effects);
                    self.machines.net(now.mono, effects, |net, cx| net.disconnect(node, cx));
                }
            }
        }
        let shown = self.machines.logmask.shows(Subject::Heartbeat);
        if let Some(event) = self.consumers.delivery.queue(edge).filter(|_| shown) {
            self.actions.push_back(Action::Note(Note::Event(event.clone())));
        }
    }

    pub(super) fn note(&mut self, note: Note) {
        if let Some(topic) = note.topic() {
            self.actions.push_back(Action::Watched(topic, note.clone()));
        }
        if self.machines.logmask.shows(note.subject()) {
            self.actions.push_back(Action::Note(note));
        }
    }

    /// Word to those who cache the trees.
    pub(super) fn tell_changes(&mut self, request: Option<RequestId>) {
        let actions = &mut self.actions;
        self.views.take_changes(|view, change| {
            // The stack itself makes what is in debugfs: nobody's call.
            let request = request.filter(|_| view != View::Debugfs);
            actions.push_back(Action::Changed { view, request, change });
        });
    }

    /// This node goes: nothing is written any more, and the driver hears of it before all else.
    fn fence(&mut self, reason: FenceReason) {
        if matches!(self.life, Life::Ended | Life::Fenced) {
            return;
        }
        self.life = Life::Fenced;
        let method = self.machines.nodes.cluster().map(|cluster| cluster.fence_method).unwrap_or_default();
        // The lines that led to it, then the fence, then what is left to do; nothing is written any more.
        let actions = core::mem::take(&mut self.actions);
        let is_note = |action: &Action| matches!(action, Action::Note(_));
        let (notes, others): (VecDeque<_>, VecDeque<_>) = actions.into_iter().partition(is_note);
        self.actions = notes;
        self.actions.push_back(Action::Note(Note::Fence(reason.clone())));
        self.actions.push_back(Action::Fence { method, reason });
        self.actions.extend(others.into_iter().filter(|action| {
            !matches!(
                action,
                Action::Disk(_, DiskRequest::Write { .. }) | Action::Net(NetRequest::Send { .. })
            )
        }));
        self.machines.net = Net::default();
        self.machines.quorum.stop();
        let effects = &mut self.effects;
        self.machines.heartbeat.each(|method, _| method.stop_uncleanly(effects));
    }
}
