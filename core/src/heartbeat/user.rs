//! The method `user`: a cluster stack makes and removes links region/NODE -> node/NODE, and thereby says who
//! is in the group. No quorum, no fence, no time-outs: userspace has decided already.
//!
//! Two things that the historical code left to its callers are refused here, to protect consumers: a node
//! without a number (no event could name it), and a second link to one node in one region (removing either
//! would say "down" of a node that is still linked).

use alloc::vec::Vec;

use super::event::{Cause, NodeName, Telling};
use super::method::{Context, Method};
use crate::error::Refusal;
use crate::ids::{ItemId, NodeNum};
use crate::name::Name;
use crate::tree::{Kind, Stored};

static GROUP: Kind = Kind { name: "heartbeat group", makes: true, links: false, attributes: &[] };
static REGION: Kind = Kind { name: "region", makes: false, links: true, attributes: &[] };

/// User heartbeat. The layer's groups are all that there is to remember.
#[derive(Debug, Default)]
pub struct User;

impl Method for User {
    fn name(&self) -> &'static str {
        "user"
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

    fn drop_region(&mut self, _: Context<'_>, _: ItemId) {
        // Links keep a region from being removed: nobody is up in it any more.
    }

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
