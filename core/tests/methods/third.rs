//! A third method: `user` once more, under another name. This file is all that a new method needs, beside the line
//! that registers it.

use uo2cb_core::heartbeat::{Cause, Context, Method, NodeName, Telling};
use uo2cb_core::tree::{Kind, Stored};
use uo2cb_core::{ItemId, Name, NodeNum, Refusal};

static GROUP: Kind = Kind { name: "heartbeat group", makes: true, links: false, attributes: &[] };
static REGION: Kind = Kind { name: "region", makes: false, links: true, attributes: &[] };

/// The method `third`.
#[derive(Debug)]
pub(crate) struct Third;

impl Method for Third {
    fn name(&self) -> &'static str {
        "third"
    }

    fn telling(&self) -> Telling {
        Telling::Regions
    }

    fn group(&self) -> &'static Kind {
        &GROUP
    }

    fn region(&self) -> &'static Kind {
        &REGION
    }

    fn make_region(&mut self, _: Context<'_>, _: ItemId, _: &Name) -> Result<(), Refusal> {
        Ok(())
    }

    fn drop_region(&mut self, _: Context<'_>, _: ItemId) {}

    fn show(&self, _: Option<ItemId>, _: usize, _: &mut Vec<u8>) -> Result<(), Refusal> {
        Err(Refusal::Gone)
    }

    fn store(&mut self, _: Context<'_>, _: Option<ItemId>, _: usize, _: &[u8]) -> Result<Stored, Refusal> {
        Err(Refusal::Gone)
    }

    fn allow_link(
        &mut self,
        mut cx: Context<'_>,
        region: ItemId,
        node: &Name,
        num: Option<NodeNum>,
    ) -> Result<(), Refusal> {
        let num = num.ok_or(Refusal::NodeUnnumbered)?;
        if cx.layer.check_node_status(Some(region), num) {
            return Err(Refusal::NodeLinked);
        }
        let cause = Cause::Linked(cx.call.caller.pid);
        cx.joined(region, NodeName { num, name: node.clone() }, cause);
        Ok(())
    }

    fn drop_link(&mut self, mut cx: Context<'_>, region: ItemId, node: NodeName) {
        let cause = Cause::Unlinked(cx.call.caller.pid);
        cx.left(region, node.num, cause);
    }
}
