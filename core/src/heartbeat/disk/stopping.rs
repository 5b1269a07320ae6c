//! The end of a region: the block of generation 0, which tells the others that this node has left.

use alloc::string::String;

use super::block::{Block, next_seq};
use super::context::Context;
use super::request::DiskRequest;
use crate::effect::Effect;
use crate::ids::{ItemId, OpId, RequestId};
use crate::name::Name;

/// A region that writes its last block.
#[derive(Debug)]
pub(super) struct Stopping {
    pub(super) region: Name,
    pub(super) device: String,
    /// Who waits for it.
    pub(super) request: Option<RequestId>,
    pub(super) slot: u32,
    pub(super) block: Block,
    /// What is on its way to the disk.
    pub(super) op: OpId,
    /// Whether that is already the last block.
    pub(super) last: bool,
}

impl Stopping {
    /// Writes the last block.
    pub(super) fn write(&mut self, id: ItemId, cx: &mut Context<'_>) {
        self.op = cx.next_op();
        self.last = true;
        // Another request may have held it up since it was made.
        self.block.seq = next_seq(self.block.seq, cx.now.unix);
        cx.disk(id, DiskRequest::Write { op: self.op, slot: self.slot, block: self.block });
    }

    /// A request to the disk has ended. True when that was the last one.
    pub(super) fn done(&mut self, id: ItemId, op: OpId, cx: &mut Context<'_>) -> bool {
        if op != self.op {
            return false;
        }
        if !self.last {
            self.write(id, cx);
            return false;
        }
        cx.disk(id, DiskRequest::Close);
        if let Some(request) = self.request {
            cx.effects.push(Effect::Stopped(request));
        }
        true
    }
}
