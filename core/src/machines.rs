//! The machines that answer for directories of the trees, and how a heartbeat method is asked.

use core::time::Duration;

use crate::call::Call;
use crate::effect::Effects;
use crate::error::Refusal;
use crate::heartbeat::{Context, Disk, Heartbeat, Method};
use crate::ids::{ItemId, NodeNum};
use crate::logmask::LogMask;
use crate::net::{self, Net, Timing};
use crate::nodeman::NodeManager;
use crate::note::Note;
use crate::quorum::{self, NodeChange};
use crate::time::Instant;

/// Node manager, heartbeat, quorum, net, log mask.
#[derive(Debug, Default)]
pub(crate) struct Machines {
    pub(crate) nodes: NodeManager,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) quorum: quorum::Listener,
    pub(crate) net: Net,
    pub(crate) logmask: LogMask,
}

impl Machines {
    /// Asks the active method.
    pub(crate) fn active<T>(
        &mut self,
        call: Call,
        effects: &mut Effects,
        ask: impl FnOnce(&mut dyn Method, Context<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let (method, layer) = self.heartbeat.active_mut().ok_or(Refusal::NoMethod)?;
        ask(method, Context { call, layer, nodes: &self.nodes, effects })
    }

    /// Asks the method that made a region.
    pub(crate) fn owner<T>(
        &mut self,
        region: ItemId,
        call: Call,
        effects: &mut Effects,
        ask: impl FnOnce(&mut dyn Method, Context<'_>) -> T,
    ) -> Option<T> {
        let (method, layer) = self.heartbeat.owner_mut(region)?;
        Some(ask(method, Context { call, layer, nodes: &self.nodes, effects }))
    }

    /// Tells every method.
    pub(crate) fn each(
        &mut self,
        call: Call,
        effects: &mut Effects,
        mut tell: impl FnMut(&mut dyn Method, Context<'_>),
    ) {
        let nodes = &self.nodes;
        self.heartbeat.each(|method, layer| tell(method, Context { call, layer, nodes, effects }));
    }

    /// Tells the method whose disks these are, whichever is active.
    pub(crate) fn disk(
        &mut self,
        call: Call,
        effects: &mut Effects,
        tell: impl FnOnce(&mut Disk, Context<'_>),
    ) {
        if let Some((method, layer)) = self.heartbeat.get_mut::<Disk>() {
            tell(method, Context { call, layer, nodes: &self.nodes, effects });
        }
    }

    /// The times that connections go by now.
    fn timing(&self) -> Timing {
        let (Some(cluster), Some(method)) = (self.nodes.cluster(), self.heartbeat.active()) else {
            return Timing::default();
        };
        let ms = |ms: u32| Duration::from_millis(ms.into());
        Timing {
            idle: ms(cluster.idle_timeout_ms),
            keepalive: ms(cluster.keepalive_delay_ms),
            reconnect: ms(cluster.reconnect_delay_ms),
            heartbeat: method.heartbeat_timeout(),
            quorum_delay: method.quorum_delay(),
        }
    }

    /// Tells the net.
    pub(crate) fn net<T>(
        &mut self,
        now: Instant,
        effects: &mut Effects,
        tell: impl FnOnce(&mut Net, net::Context<'_>) -> T,
    ) -> T {
        let timing = self.timing();
        let told = tell(&mut self.net, net::Context { now, nodes: &self.nodes, timing, effects });
        self.nodes.set_connected_peers(self.net.sockets());
        told
    }

    /// Tells quorum, if the method has one.
    pub(crate) fn quorum(&mut self, now: Instant, node: NodeNum, change: NodeChange, effects: &mut Effects) {
        let timing = self.timing();
        if let Some(delay) = timing.quorum_delay {
            self.quorum.change(node, change, now, delay.saturating_add(timing.idle), effects);
        }
    }

    /// This node listens: others may connect, and those that heartbeat already are connected to.
    pub(crate) fn start_listening(&mut self, now: Instant, own: NodeNum, effects: &mut Effects) {
        let timing = self.timing();
        if let Some(delay) = timing.quorum_delay {
            self.quorum.start(own, now, delay.saturating_add(timing.idle), effects);
        }
        let up = self.heartbeat.layer.fill_node_map(None);
        self.net(now, effects, |net, cx| net.start(own, &up, cx));
    }

    /// It does not any more.
    pub(crate) fn stop_listening(&mut self, now: Instant, effects: &mut Effects) {
        self.quorum.stop();
        self.net(now, effects, |net, cx| net.stop(cx));
    }

    /// A write to `heartbeat_mode`, in whichever tree.
    pub(crate) fn select_method(&mut self, data: &[u8], effects: &mut Effects) -> Result<(), Refusal> {
        let name = self.heartbeat.select(data, self.nodes.cluster().is_some())?;
        effects.note(Note::Method(name));
        Ok(())
    }
}
