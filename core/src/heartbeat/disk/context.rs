//! What the regions of a node share, and what a beat needs of the rest of the stack.

use alloc::vec::Vec;
use core::time::Duration;

use super::PERIOD;
use super::attributes::Mode;
use super::note::DiskNote;
use super::request::DiskRequest;
use super::sets::RegionSets;
use crate::call::Call;
use crate::effect::{Effect, Effects};
use crate::heartbeat::event::{Cause, NodeName};
use crate::heartbeat::layer::Layer;
use crate::heartbeat::method as heartbeat;
use crate::ids::{ItemId, NodeNum, NodeSet, OpId};
use crate::message::Action;
use crate::name::Name;
use crate::nodeman::NodeManager;
use crate::note::Note;
use crate::time::Now;
use crate::timers::Timers;

/// Quorum regions up to which all regions are pinned while somebody uses them (`O2HB_PIN_CUT_OFF`).
const PIN_CUT_OFF: u32 = 3;

/// What the method wants to be called for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    /// The steady regions beat, all together; stopped while none does.
    Tick,
    /// No region that keeps a phase of its own beats before this.
    Phases,
    /// No write timeout ends before this.
    WriteTimeout,
    /// No region negotiates before this.
    Negotiation,
}

/// How many there are.
pub(super) const TIMERS: usize = 4;

impl From<Timer> for usize {
    fn from(timer: Timer) -> Self {
        timer as Self
    }
}

/// State of the method beside its regions.
#[derive(Debug)]
pub(super) struct Common {
    /// These two outlive clusters.
    pub(super) dead_threshold: u32,
    pub(super) mode: Mode,
    pub(super) sets: RegionSets,
    pub(super) timers: Timers<TIMERS>,
    /// Consumers of global heartbeat, and what is pinned for them.
    pub(super) users: u32,
    pub(super) pinned: Vec<ItemId>,
    pub(super) next_op: OpId,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            dead_threshold: 31,
            mode: Mode::Local,
            sets: RegionSets::default(),
            timers: Timers::default(),
            users: 0,
            pinned: Vec::new(),
            next_op: OpId(0),
        }
    }
}

impl Common {
    pub(super) fn global(&self) -> bool {
        self.mode == Mode::Global
    }

    pub(super) fn dead_ms(&self) -> u32 {
        self.dead_threshold.saturating_mul(PERIOD.as_millis() as u32)
    }

    pub(super) fn write_timeout(&self) -> Duration {
        PERIOD.saturating_mul(self.dead_threshold.saturating_sub(1))
    }

    /// From the loss of a connection to the decision (`O2NET_QUORUM_DELAY_MS`).
    pub(super) fn quorum_delay(&self) -> Duration {
        PERIOD.saturating_mul(self.dead_threshold.saturating_add(2))
    }

    /// Are regions to be pinned now? Above the cut-off one of them may go without harm.
    pub(super) fn pins(&self) -> bool {
        self.users > 0 && self.sets.quorum.len() <= PIN_CUT_OFF
    }

    /// Lets all pins go.
    pub(super) fn unpin_all(&mut self, effects: &mut Effects) {
        self.pinned.drain(..).for_each(|region| effects.push(Effect::Unpin(region)));
    }
}

/// What a beat can reach: the common state, and the rest of the stack.
pub(super) struct Context<'a> {
    pub(super) common: &'a mut Common,
    pub(super) layer: &'a mut Layer,
    pub(super) nodes: &'a NodeManager,
    pub(super) effects: &'a mut Effects,
    pub(super) call: Call,
    pub(super) now: Now,
}

impl<'a> Context<'a> {
    /// With what a method is given.
    pub(super) fn new(common: &'a mut Common, cx: heartbeat::Context<'a>) -> Self {
        let heartbeat::Context { call, layer, nodes, effects } = cx;
        Self { common, layer, nodes, effects, call, now: call.now }
    }

    pub(super) fn next_op(&mut self) -> OpId {
        self.common.next_op.0 += 1;
        self.common.next_op
    }

    pub(super) fn dead_ms(&self) -> u32 {
        self.common.dead_ms()
    }

    /// A node stops writing this long after its last good write, before others declare it dead.
    pub(super) fn write_timeout(&self) -> Duration {
        self.common.write_timeout()
    }

    /// The configured nodes and those still live.
    pub(super) fn wanted(&self) -> NodeSet {
        let mut wanted = self.nodes.cluster().map(|cluster| *cluster.numbers()).unwrap_or_default();
        wanted.extend(&self.layer.fill_node_map(None));
        wanted
    }

    /// A region sees a node. True when it is the first one.
    pub(super) fn joined(&mut self, region: ItemId, num: NodeNum) -> bool {
        let node = NodeName { num, name: self.nodes.name_of(num) };
        self.method().joined(region, node, Cause::Beats)
    }

    /// A region does not see a node any more. True when it was the last one.
    pub(super) fn left(&mut self, region: ItemId, num: NodeNum, cause: Cause) -> bool {
        self.method().left(region, num, cause)
    }

    fn method(&mut self) -> heartbeat::Context<'_> {
        heartbeat::Context { call: self.call, layer: self.layer, nodes: self.nodes, effects: self.effects }
    }

    pub(super) fn name_of(&self, region: ItemId) -> Name {
        self.layer.by_id(region).map_or_else(Name::unknown, |region| region.name.clone())
    }

    pub(super) fn disk(&mut self, region: ItemId, request: DiskRequest) {
        self.effects.act(Action::Disk(region, request));
    }

    pub(super) fn note(&mut self, region: &Name, device: &str, note: DiskNote) {
        self.effects.note(Note::Disk { region: region.clone(), device: device.into(), note });
    }
}
