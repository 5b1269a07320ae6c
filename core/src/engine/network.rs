//! Connections and quorum: what sockets say, what it means for a node, and whose messages come and go.

use super::Engine;
use crate::call::Call;
use crate::effect::Effect;
use crate::ids::NodeNum;
use crate::net::wire::Kind;
use crate::net::{ConnectionEdge, Incoming, NetEvent, Outgoing, SendError, User};
use crate::quorum::NodeChange;
use crate::time::Now;

impl Engine {
    pub(super) fn net_event(&mut self, now: Now, event: NetEvent<'_>) {
        self.machines.net(now.mono, &mut self.effects, |net, cx| net.handle(event, cx));
        self.carry(now, None);
    }

    /// Timers of connections, then those of quorum.
    pub(super) fn expire_net(&mut self, now: Now) {
        if self.machines.net.next_timeout().is_some_and(|due| due <= now.mono) {
            self.machines.net(now.mono, &mut self.effects, |net, cx| net.timeout(cx));
            self.carry(now, None);
        }
        if self.machines.quorum.next_timeout().is_some_and(|due| due <= now.mono) {
            self.machines.quorum.timeout(now.mono, &mut self.effects);
            self.carry(now, None);
        }
    }

    /// A connection says something about its node: quorum hears of it.
    pub(super) fn connection_edge(&mut self, now: Now, node: NodeNum, edge: ConnectionEdge) {
        self.machines.quorum(now.mono, node, NodeChange::Connection(edge), &mut self.effects);
    }

    /// A node is configured that heartbeat may have seen before.
    pub(super) fn node_numbered(&mut self, now: Now, node: NodeNum) {
        if self.machines.heartbeat.layer.check_node_status(None, node) {
            self.machines.net(now.mono, &mut self.effects, |net, cx| net.heartbeat_up(node, cx));
        }
    }

    pub(super) fn node_removed(&mut self, now: Now, node: NodeNum) {
        self.machines.net(now.mono, &mut self.effects, |net, cx| net.disconnect(node, cx));
    }

    pub(super) fn send(&mut self, now: Now, request: &Outgoing) {
        self.machines.net(now.mono, &mut self.effects, |net, cx| net.send(request, cx));
    }

    /// A request for one of those who handle messages: it is dealt with, and answered.
    pub(super) fn message(&mut self, now: Now, request: &Incoming) {
        let Incoming { from, kind, ref payload, .. } = *request;
        let status = match request.user {
            User::Region(region) => {
                let call = Call::nobody(now);
                self.machines.owner(region, call, &mut self.effects, |method, cx| {
                    method.message(cx, region, kind.message, from, payload)
                })
            }
        };
        let result = Ok(status.unwrap_or_default());
        self.machines.net(now.mono, &mut self.effects, |net, cx| net.answer(request, result, cx));
    }

    /// The end of a request that one of them sent.
    pub(super) fn answered(
        &mut self,
        now: Now,
        user: User,
        node: NodeNum,
        kind: Kind,
        result: Result<i32, SendError>,
    ) {
        match user {
            User::Region(region) => {
                self.machines.owner(region, Call::nobody(now), &mut self.effects, |method, cx| {
                    method.answered(cx, region, kind.message, node, result);
                });
            }
        }
    }

    pub(super) fn stop_listening(&mut self, now: Now) {
        self.machines.stop_listening(now.mono, &mut self.effects);
        self.effects.push(Effect::Do(crate::message::Action::StopListening));
    }
}
