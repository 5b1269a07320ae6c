//! What the regions of a node share, and what a beat needs of the rest of the stack.

use alloc::vec::Vec;
use core::time::Duration;

use super::PERIOD;
use super::attributes::Mode;
use super::live::{Live, RegionSets};
use super::note::DiskNote;
use super::request::DiskInfo;
use crate::heartbeat::event::{Cause, Edge};
use crate::heartbeat::layer::Layer;
use crate::heartbeat::method::Want;
use crate::ids::{ItemId, NodeNum, NodeSet, OpId};
use crate::name::Name;
use crate::nodeman::NodeManager;
use crate::time::{Instant, Now};

/// Quorum regions up to which all regions are pinned while somebody uses them (`O2HB_PIN_CUT_OFF`).
const PIN_CUT_OFF: u32 = 3;

/// State of the method beside its regions.
#[derive(Debug)]
pub(super) struct Shared {
    /// These two outlive clusters.
    pub(super) dead_threshold: u32,
    pub(super) mode: Mode,
    pub(super) live: Live,
    pub(super) sets: RegionSets,
    /// When all regions beat next; none while none does.
    pub(super) tick: Option<Instant>,
    /// No write timeout ends before this.
    pub(super) alarm: Option<Instant>,
    /// Consumers of global heartbeat, and what is pinned for them.
    pub(super) users: u32,
    pub(super) pinned: Vec<ItemId>,
    pub(super) next_op: OpId,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            dead_threshold: 31,
            mode: Mode::Local,
            live: Live::default(),
            sets: RegionSets::default(),
            tick: None,
            alarm: None,
            users: 0,
            pinned: Vec::new(),
            next_op: OpId(0),
        }
    }
}

impl Shared {
    pub(super) fn global(&self) -> bool {
        self.mode == Mode::Global
    }

    /// Are regions to be pinned now? Above the cut-off one of them may go without harm.
    pub(super) fn pins(&self) -> bool {
        self.users > 0 && self.sets.quorum.len() <= PIN_CUT_OFF
    }

    /// Lets all pins go.
    pub(super) fn unpin_all(&mut self, wants: &mut Vec<Want>) {
        wants.extend(self.pinned.drain(..).map(Want::Unpin));
    }
}

/// The surroundings of a beat.
pub(super) struct Env<'a> {
    pub(super) shared: &'a mut Shared,
    pub(super) layer: &'a mut Layer,
    pub(super) nodes: &'a NodeManager,
    pub(super) wants: &'a mut Vec<Want>,
    pub(super) now: Now,
}

impl Env<'_> {
    pub(super) fn next_op(&mut self) -> OpId {
        self.shared.next_op.0 += 1;
        self.shared.next_op
    }

    /// Wall-clock seconds; 0 would look like an empty slot.
    pub(super) fn seq(&self) -> u64 {
        self.now.unix.as_secs().max(1)
    }

    pub(super) fn dead_ms(&self) -> u32 {
        self.shared.dead_threshold.saturating_mul(PERIOD.as_millis() as u32)
    }

    /// A node stops writing this long after its last good write, before others declare it dead.
    pub(super) fn write_timeout(&self) -> Duration {
        PERIOD.saturating_mul(self.shared.dead_threshold.saturating_sub(1))
    }

    /// The configured nodes and those still live.
    pub(super) fn wanted(&self) -> NodeSet {
        let mut wanted = self.nodes.cluster().map(|cluster| *cluster.numbers()).unwrap_or_default();
        wanted.extend(self.shared.live.set());
        wanted
    }

    /// One region less sees a node. True when that was the last one.
    pub(super) fn left(&mut self, num: NodeNum, cause: Cause) -> bool {
        match self.shared.live.leave(num) {
            Some(node) => {
                self.layer.node_event(Edge::Down, node, None, cause, self.now);
                true
            }
            None => false,
        }
    }

    pub(super) fn name_of(&self, region: ItemId) -> Name {
        self.layer.by_id(region).map_or_else(Name::unknown, |region| region.name.clone())
    }

    pub(super) fn note(&mut self, region: &Name, device: &DiskInfo, note: DiskNote) {
        self.wants.push(Want::Note { region: region.clone(), device: device.name.clone(), note });
    }
}
