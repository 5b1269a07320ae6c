//! /sys/kernel/config: which kind of directory belongs to which machine.

use alloc::vec::Vec;

use super::methods;
use crate::call::Call;
use crate::effect::{Effect, Effects};
use crate::error::Refusal;
use crate::heartbeat::{self, Method, NodeName, REGION_NAME_MAX};
use crate::ids::ItemId;
use crate::machines::Machines;
use crate::name::Name;
use crate::nodeman::{CLUSTER, ClusterFile, NODE, NODES, NodeFile};
use crate::note::Note;
use crate::time::Now;
use crate::tree::{
    Attribute, Context, Items, Kind, Made, Object, Op, Outcome, Owner, Stored, Subsystem, Tree, files,
};

files! {
    /// Files of `cluster/`.
    enum ClustersFile {
        Mode = Attribute::read_write("heartbeat_mode"),
        AvailableModes = Attribute::read_only("heartbeat_available_modes"),
    }
}

/// `cluster/` as kernel 6.1 has it.
static MAINLINE: Kind = Kind { name: "cluster group", makes: true, links: false, attributes: &[] };

/// `cluster/` with the choice of methods.
static CLUSTERS: Kind =
    Kind { name: "cluster group", makes: true, links: false, attributes: ClustersFile::ATTRIBUTES };

/// The tree.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) tree: Tree,
}

impl Config {
    pub(super) fn new(owner: Owner, mainline: bool, now: Now) -> Self {
        let mut tree = Tree::new(owner, 4096, now);
        let clusters = Made::plain(if mainline { &MAINLINE } else { &CLUSTERS });
        // A new tree has room for this name.
        let _ = tree.add(ItemId::ROOT, "cluster", &clusters, now);
        Self { tree }
    }

    pub(super) fn apply(
        &mut self,
        machines: &mut Machines,
        effects: &mut Effects,
        call: Call,
        op: &Op<'_>,
    ) -> Outcome {
        self.tree.apply(&mut Stack { machines, effects }, call, op)
    }

    /// Continues a removal that waited for stores.
    pub(crate) fn go_on_removing(
        &mut self,
        machines: &mut Machines,
        effects: &mut Effects,
        item: ItemId,
        call: Call,
    ) {
        self.tree.go_on_removing(&mut Stack { machines, effects }, item, call);
    }
}

/// The machines as the tree's subsystem.
struct Stack<'a> {
    machines: &'a mut Machines,
    effects: &'a mut Effects,
}

impl Stack<'_> {
    /// Whether `item` is a region (and not the group above it).
    fn region(&self, item: ItemId) -> Option<ItemId> {
        self.machines.heartbeat.layer.by_id(item).map(|region| region.id)
    }
}

impl Stack<'_> {
    /// A file of a region, or of the group above it.
    fn store_heartbeat(
        &mut self,
        cx: &Context<'_>,
        item: ItemId,
        attribute: usize,
        data: &[u8],
    ) -> Result<Stored, Refusal> {
        let stored = if self.region(item).is_some() {
            let store = self.machines.owner(item, cx.call, self.effects, |method, at| {
                method.store(at, Some(item), attribute, data)
            });
            store.ok_or(Refusal::Gone)??
        } else {
            let store =
                |method: &mut dyn Method, at: heartbeat::Context<'_>| method.store(at, None, attribute, data);
            self.machines.active(cx.call, self.effects, store)?
        };
        if let Stored::Ignored(rule) = stored {
            let number = u8::try_from(attribute).unwrap_or(u8::MAX);
            let path = cx.items.object_path(Object::Attribute(item, number));
            let (value, caller) = (data.to_vec(), cx.call.caller);
            self.effects.note(Note::Ignored { path, value, rule, caller });
        }
        Ok(stored)
    }
}

impl Subsystem for Stack<'_> {
    fn make(&mut self, cx: &Context<'_>, parent: ItemId, name: &Name, id: ItemId) -> Result<Made, Refusal> {
        let kind = kind(cx.items, parent)?;
        if kind.is(&CLUSTERS) || kind.is(&MAINLINE) {
            if self.machines.nodes.cluster().is_some() {
                return Err(Refusal::SecondCluster);
            }
            let heartbeat = self.machines.heartbeat.active().ok_or(Refusal::NoMethod)?.group();
            self.machines.nodes.make_cluster(id, name)?;
            let groups = Vec::from([("node", Made::plain(&NODES)), ("heartbeat", Made::plain(heartbeat))]);
            return Ok(Made { kind: &CLUSTER, groups });
        }
        if kind.is(&NODES) {
            self.machines.nodes.make_node(id, name)?;
            return Ok(Made::plain(&NODE));
        }
        if name.as_bytes().len() > REGION_NAME_MAX {
            return Err(Refusal::RegionNameTooLong);
        }
        let region = self.machines.active(cx.call, self.effects, |method, at| {
            method.make_region(at, id, name)?;
            Ok(method.region())
        })?;
        self.machines.heartbeat.region_made(id, name);
        self.effects.push(Effect::RegionMade(id));
        Ok(Made::plain(region))
    }

    fn detains(&mut self, item: ItemId) -> bool {
        self.machines.heartbeat.owner_mut(item).is_some_and(|(method, _)| method.detains(item))
    }

    fn drop_item(&mut self, cx: &Context<'_>, item: ItemId) {
        if self.region(item).is_some() {
            self.machines.owner(item, cx.call, self.effects, |method, at| method.drop_region(at, item));
            self.machines.heartbeat.region_dropped(item);
            self.effects.push(Effect::RegionDropped(item));
        } else {
            self.machines.nodes.drop_item(item, self.effects);
        }
    }

    fn show(
        &mut self,
        cx: &Context<'_>,
        item: ItemId,
        attribute: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let kind = kind(cx.items, item)?;
        let Machines { nodes, heartbeat, .. } = &*self.machines;
        if kind.is(&CLUSTER) {
            nodes.show_cluster(ClusterFile::at(attribute)?, out)
        } else if kind.is(&NODE) {
            nodes.show_node(item, NodeFile::at(attribute)?, out)
        } else if kind.is(&CLUSTERS) {
            match ClustersFile::at(attribute)? {
                ClustersFile::Mode => methods::show_active(heartbeat, out),
                ClustersFile::AvailableModes => methods::show_available(heartbeat, out),
            }
            Ok(())
        } else if let Some(method) = heartbeat.owner(item) {
            method.show(Some(item), attribute, out)
        } else {
            heartbeat.active().ok_or(Refusal::Gone)?.show(None, attribute, out)
        }
    }

    fn store(
        &mut self,
        cx: &Context<'_>,
        item: ItemId,
        attribute: usize,
        data: &[u8],
    ) -> Result<Stored, Refusal> {
        let kind = kind(cx.items, item)?;
        let Self { machines, effects } = self;
        if kind.is(&CLUSTER) {
            machines.nodes.store_cluster(ClusterFile::at(attribute)?, data, effects)?;
            Ok(Stored::Done)
        } else if kind.is(&NODE) {
            machines.nodes.store_node(cx.call, item, NodeFile::at(attribute)?, data, effects)
        } else if kind.is(&CLUSTERS) {
            match ClustersFile::at(attribute)? {
                ClustersFile::Mode => machines.select_method(data, effects)?,
                ClustersFile::AvailableModes => return Err(Refusal::ReadOnly),
            }
            Ok(Stored::Done)
        } else {
            self.store_heartbeat(cx, item, attribute, data)
        }
    }

    fn allow_link(&mut self, cx: &Context<'_>, source: ItemId, target: ItemId) -> Result<(), Refusal> {
        let region = self.region(source).ok_or(Refusal::NoLinksHere)?;
        // There is one cluster at a time, so a node is a node of the region's cluster.
        let node = self.machines.nodes.node(target).ok_or(Refusal::LinkNotToNode)?;
        let (name, num) = (node.name.clone(), node.num);
        let allowed = self
            .machines
            .owner(region, cx.call, self.effects, |method, at| method.allow_link(at, region, &name, num));
        allowed.unwrap_or(Err(Refusal::Gone))
    }

    fn drop_link(&mut self, cx: &Context<'_>, source: ItemId, target: ItemId) {
        let node = self.machines.nodes.node(target);
        let node = node.and_then(|node| Some(NodeName { num: node.num?, name: node.name.clone() }));
        if let (Some(region), Some(node)) = (self.region(source), node) {
            self.machines
                .owner(region, cx.call, self.effects, |method, at| method.drop_link(at, region, node));
        }
    }
}

fn kind(items: &Items, item: ItemId) -> Result<&'static Kind, Refusal> {
    items.kind(item).ok_or(Refusal::Gone)
}
