//! The machines that answer for directories of the trees, and how a heartbeat method is asked.

use crate::call::Call;
use crate::effect::Effects;
use crate::error::Refusal;
use crate::heartbeat::{Context, Disk, Heartbeat, Method};
use crate::ids::ItemId;
use crate::logmask::LogMask;
use crate::nodeman::NodeManager;
use crate::note::Note;

/// Node manager, heartbeat, log mask.
#[derive(Debug, Default)]
pub(crate) struct Machines {
    pub(crate) nodes: NodeManager,
    pub(crate) heartbeat: Heartbeat,
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

    /// A write to `heartbeat_mode`, in whichever tree.
    pub(crate) fn select_method(&mut self, data: &[u8], effects: &mut Effects) -> Result<(), Refusal> {
        let name = self.heartbeat.select(data, self.nodes.cluster().is_some())?;
        effects.note(Note::Method(name));
        Ok(())
    }
}
