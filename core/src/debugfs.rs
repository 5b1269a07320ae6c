//! What the kernel shows under /sys/kernel/debug/o2hb: who is up, in all and by region.

use alloc::vec::Vec;

use crate::error::Refusal;
use crate::ids::ItemId;
use crate::o2cb::Stack;
use crate::text::line;
use crate::time::{Instant, Now};
use crate::tree::{Attribute, Kind, Made, Tree};

const fn file(name: &'static str) -> Attribute {
    Attribute { name, mode: 0o400, waits: false }
}

static O2HB: Kind = Kind {
    name: "o2hb",
    makes: false,
    links: false,
    attributes: &[file("livenodes"), file("live_regions"), file("quorum_regions"), file("failed_regions")],
};

static REGION: Kind = Kind {
    name: "region",
    makes: false,
    links: false,
    attributes: &[file("livenodes"), file("num"), file("elapsed_time_in_ms"), file("pinned")],
};

/// Fills the view; gives the directory in which [`add_region`] adds.
pub(crate) fn build(tree: &mut Tree, now: Now) -> Result<ItemId, Refusal> {
    tree.add(ItemId::ROOT, "o2hb", &Made::plain(&O2HB), now)
}

/// A region has been made: its directory.
pub(crate) fn add_region(tree: &mut Tree, o2hb: ItemId, name: &[u8], now: Now) -> Result<ItemId, Refusal> {
    tree.add_bytes(o2hb, name, &Made::plain(&REGION), now)
}

/// Whether a directory of this kind is answered for here.
pub(crate) fn owns(kind: &'static Kind) -> bool {
    kind.is(&O2HB) || kind.is(&REGION)
}

pub(crate) fn show(
    stack: &Stack,
    now: Instant,
    item: ItemId,
    attribute: usize,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let method = stack.heartbeat.active().ok_or(Refusal::Gone)?;
    let region = stack.debug_regions.get(&item).copied();
    let sets = method.region_sets();
    match (region, attribute) {
        (_, 0) => line(out, method.fill_node_map(region)),
        (None, 1) => line(out, sets.live),
        (None, 2) => line(out, sets.quorum),
        (None, _) => line(out, sets.failed),
        (Some(region), 1) => line(out, method.region_num(region)),
        (Some(region), 2) => line(out, method.elapsed(region, now).as_millis()),
        (Some(region), _) => {
            let held = || stack.heartbeat.layer.delivery.holds(region);
            line(out, u8::from(method.pinned(region).unwrap_or_else(held)));
        }
    }
    Ok(())
}
