//! Negotiation: when the writes of *all* nodes hang, the storage is at fault, and nobody is to go for it
//! (`spec/heartbeat.md`, negotiation).
//!
//! At half of the write timeout a node whose write hangs asks the lowest live node, the master, for more time. The
//! master, whose own write hangs as well, waits until every live node has asked, and then gives everybody the whole
//! timeout anew.

use core::time::Duration;

use crc32fast::Hasher;

use super::context::{Context, Timer};
use super::note::DiskNote;
use super::region::Region;
use super::run::Run;
use crate::effect::{Effect, Effects};
use crate::ids::{ItemId, NodeNum, NodeSet};
use crate::name::Name;
use crate::net::wire::Kind;
use crate::net::{Outgoing, SendError, User};
use crate::time::Instant;

/// A node asks for more time; carries its number (`O2HB_NEGO_TIMEOUT_MSG`).
const ASK: u16 = 1;
/// The master gives it; carries the master's number (`O2HB_NEGO_APPROVE_MSG`).
const GIVE: u16 = 2;
/// Numbers that regions do not have in the seed of their keys (`O2NM_MAX_REGIONS`).
const SEED: u32 = 32;
/// A beat follows the last one after this time, and may take half as long again before its write is one that hangs. Matters
/// with the least dead threshold only, half of whose write timeout is a period: kernels then take healthy writes for ones
/// that hang, and give themselves time at each beat.
const HEALTHY: Duration = Duration::from_millis(3000);
/// How often the master looks whether all have asked.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The key of a region's messages: `crc32_le` over its name, begun with its number.
pub(super) fn key(num: u32, name: &Name) -> u32 {
    // zlib's crc32 begins and ends with an inversion: these undo them.
    let mut hasher = Hasher::new_with_initial(!num.wrapping_add(SEED));
    hasher.update(name.as_bytes());
    !hasher.finalize()
}

/// Messages with this key go to the region.
pub(super) fn handle(region: ItemId, key: u32, effects: &mut Effects) {
    for message in [ASK, GIVE] {
        effects.push(Effect::Handle(Kind { message, key }, 1, User::Region(region)));
    }
}

/// How far the negotiation of a region is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Negotiation {
    /// When it begins, or the master looks again.
    next: Option<Instant>,
    /// Nodes that have asked since time was last given.
    asked: NodeSet,
    /// A question of this node is on its way.
    asking: bool,
}

impl Negotiation {
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }
}

impl Run {
    /// The whole write timeout, counted from a moment; half of what is left of it until the negotiation: a write that has
    /// just returned does not hang, however long it took.
    pub(super) fn arm(&mut self, from: Instant, cx: &mut Context<'_>) {
        let deadline = from.after(cx.write_timeout());
        let half = cx.now.mono.after(deadline.since(cx.now.mono) / 2).max(from.after(HEALTHY));
        self.deadline = Some(deadline);
        self.negotiation.next = Some(half);
        self.negotiation.asked = NodeSet::EMPTY;
        cx.common.timers.bring_forward(Timer::WriteTimeout, deadline);
        cx.common.timers.bring_forward(Timer::Negotiation, half);
    }
}

impl Region {
    /// The time of its negotiation may have come.
    pub(super) fn negotiate(&mut self, id: ItemId, cx: &mut Context<'_>) {
        let (now, key) = (cx.now.mono, self.key);
        let Some(run) = self.run_mut() else { return };
        if run.negotiation.next.take_if(|next| *next <= now).is_none() {
            return;
        }
        let (name, own, timeout) = (cx.name_of(id), run.own, cx.write_timeout());
        let half = (timeout / 2).max(HEALTHY);
        if run.failing {
            // The own way to the disk is broken: for that this node goes alone.
            let silent = run.last_good.map(|good| now.since(good)).unwrap_or_default();
            return cx.note(&name, &run.info.name, DiskNote::HalfSilent { silent, timeout });
        }
        let live = cx.layer.fill_node_map(None);
        let Some(master) = live.iter().next() else { return };
        let outgoing = |message, to| {
            let (user, kind, payload) = (User::Region(id), Kind { message, key }, [own.get()].into());
            Effect::Send(Outgoing { user, to, kind, payload })
        };
        if master != own {
            let note = DiskNote::Hung { node: own, half, master: Some(master) };
            cx.note(&name, &run.info.name, note);
            if !core::mem::replace(&mut run.negotiation.asking, true) {
                cx.effects.push(outgoing(ASK, master));
            }
            return;
        }
        if run.negotiation.asked.insert(own) {
            cx.note(&name, &run.info.name, DiskNote::Hung { node: own, half, master: None });
        }
        if run.negotiation.asked != live {
            run.negotiation.next = Some(now.after(LOOK_AGAIN));
            return;
        }
        cx.note(&name, &run.info.name, DiskNote::AllHung);
        run.arm(now, cx);
        for node in live.iter().filter(|node| *node != own) {
            cx.effects.push(outgoing(GIVE, node));
        }
        cx.common.sets.failed.remove(self.num);
    }

    /// Another node's message.
    pub(super) fn message(
        &mut self,
        id: ItemId,
        message: u16,
        from: NodeNum,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) {
        let (name, num) = (cx.name_of(id), self.num);
        let device = self.device().map_or_else(|| "(null)".into(), |info| info.name.clone());
        if message != ASK {
            cx.note(&name, &device, DiskNote::TimeGiven);
            let now = cx.now.mono;
            if let Some(run) = self.run_mut().filter(|run| run.steady()) {
                run.arm(now, cx);
                cx.common.sets.failed.remove(num);
            }
            return;
        }
        // The kernel takes the number that the message says, not that of the connection.
        let said = payload.first().copied();
        if let Some(said) = said {
            cx.note(&name, &device, DiskNote::TimeAsked { said, from });
        }
        match (said.and_then(|said| NodeNum::new(said.into())), self.run_mut()) {
            (None, _) => cx.note(&name, &device, DiskNote::TimeAskedByNobody),
            (Some(node), Some(run)) => {
                run.negotiation.asked.insert(node);
            }
            (Some(_), None) => {}
        }
    }

    /// A message of this region has been answered, or will not be.
    pub(super) fn answered(
        &mut self,
        id: ItemId,
        message: u16,
        node: NodeNum,
        result: Result<i32, SendError>,
        cx: &mut Context<'_>,
    ) {
        let name = cx.name_of(id);
        let Some(run) = self.run_mut() else { return };
        if message == ASK {
            run.negotiation.asking = false;
        }
        if let Err(error) = result {
            let message = if message == ASK { "NEGO_TIMEOUT" } else { "NEGO_APPROVE" };
            cx.note(&name, &run.info.name, DiskNote::NotSent { message, node, error });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_kernels() {
        // Of a region R1 in local mode, from a capture.
        assert_eq!(key(0, &Name::new(b"R1").unwrap()), 0x4cd7_1b4e);
        assert_ne!(key(1, &Name::new(b"R1").unwrap()), 0x4cd7_1b4e);
    }
}
