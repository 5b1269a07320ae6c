//! The o2cb tree described to the tree engine: which kind of directory belongs to which part of the stack.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::debugfs;
use crate::error::Refusal;
use crate::fence::FenceReason;
use crate::heartbeat::{Heartbeat, Method, NodeName, REGION_NAME_MAX, Surroundings, Want};
use crate::ids::{Caller, ItemId, RequestId};
use crate::logmask::LogMask;
use crate::message::Action;
use crate::name::Name;
use crate::nodeman::{CLUSTER, Effect, NODE, NODES, NodeManager};
use crate::note::Note;
use crate::sysfs;
use crate::text::line;
use crate::tree::{Asked, Attribute, Context, Items, Kind, Made, Object, Stored, Subsystem};

/// `cluster/` as kernel 6.1 has it.
static MAINLINE: Kind = Kind { name: "cluster group", makes: true, links: false, attributes: &[] };

/// `cluster/` with the choice of methods.
static CLUSTERS: Kind = Kind {
    name: "cluster group",
    makes: true,
    links: false,
    attributes: &[Attribute::read_write("heartbeat_mode"), Attribute::read_only("heartbeat_available_modes")],
};

/// A store that waits for the driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Waiting {
    /// The item whose attribute is being stored.
    pub(crate) item: ItemId,
    /// Which attribute.
    pub(crate) attribute: usize,
    /// The new value; the store returns its length if all goes well.
    pub(crate) data: Vec<u8>,
    /// Whose store it is.
    pub(crate) caller: Caller,
}

/// Node manager, heartbeat and log mask: all that answers for directories of the trees.
#[derive(Debug, Default)]
pub(crate) struct Stack {
    pub(crate) nodes: NodeManager,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) logmask: LogMask,
    pub(crate) cluster_stack: sysfs::ClusterStack,
    /// Region of each region directory in debugfs.
    pub(crate) debug_regions: BTreeMap<ItemId, ItemId>,
    /// Regions that came (true) or went since the engine looked.
    pub(crate) regions_changed: Vec<(ItemId, bool)>,
    /// Stores that wait for the driver, by request.
    pub(crate) waiting: BTreeMap<RequestId, Waiting>,
    /// What these calls want done; the engine puts it behind its own actions.
    pub(crate) actions: Vec<Action>,
    /// What they want of the trees and of those who wait.
    pub(crate) ends: Vec<End>,
    wants: Vec<Want>,
}

/// What only the engine can do for a method.
#[derive(Debug)]
pub(crate) enum End {
    /// End a store that waits.
    Store(RequestId, Result<(), Refusal>),
    /// The answer to a removal must wait.
    Stopping(RequestId),
    /// No longer.
    Stopped(RequestId),
    /// Somebody depends on an item.
    Pin(ItemId),
    /// No longer.
    Unpin(ItemId),
    /// This node must go.
    Fence(FenceReason),
}

/// The kind of `cluster/`.
pub(crate) fn root(mainline: bool) -> Made {
    Made::plain(if mainline { &MAINLINE } else { &CLUSTERS })
}

impl Stack {
    pub(crate) fn note(&mut self, note: Note) {
        if self.logmask.shows(note.subject()) {
            self.actions.push(Action::Note(note));
        }
    }

    /// A write to `heartbeat_mode`, in whichever tree.
    pub(crate) fn select_method(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let name = self.heartbeat.select(data, self.nodes.cluster().is_some())?;
        self.note(Note::Method(name));
        Ok(())
    }

    pub(crate) fn show_modes(&self, attribute: usize, out: &mut Vec<u8>) {
        match attribute {
            0 => line(out, self.heartbeat.active_name().unwrap_or_default()),
            _ => self.heartbeat.available().for_each(|name| line(out, name)),
        }
    }

    /// The active method with its surroundings, and then what it wants.
    pub(crate) fn method<T>(
        &mut self,
        asked: Asked,
        call: impl FnOnce(&mut dyn Method, Surroundings<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut wants = core::mem::take(&mut self.wants);
        let events = self.heartbeat.layer.delivery.next_number();
        let (method, layer) = self.heartbeat.active_mut().ok_or(Refusal::NoMethod)?;
        let Asked { now, caller, request } = asked;
        let result =
            call(method, Surroundings { layer, nodes: &self.nodes, now, caller, request, wants: &mut wants });
        for event in self.heartbeat.layer.delivery.queued_from(events) {
            let note = Note::Event(event.clone());
            if self.logmask.shows(note.subject()) {
                self.actions.push(Action::Note(note));
            }
        }
        for want in wants.drain(..) {
            self.want(want);
        }
        // Kept, so that beats allocate nothing.
        self.wants = wants;
        result
    }

    fn want(&mut self, want: Want) {
        match want {
            Want::Disk(disk, wanted) => self.actions.push(Action::Disk(disk, wanted)),
            Want::ModeSet(word) => self.note(Note::DiskMode(word)),
            Want::Note { region, device, note } => self.note(Note::Disk { region, device, note }),
            Want::FinishStore { request, result } => self.ends.push(End::Store(request, result)),
            Want::Stopping(request) => self.ends.push(End::Stopping(request)),
            Want::Stopped(request) => self.ends.push(End::Stopped(request)),
            Want::Pin(item) => self.ends.push(End::Pin(item)),
            Want::Unpin(item) => self.ends.push(End::Unpin(item)),
            Want::Fence(reason) => self.ends.push(End::Fence(reason)),
        }
    }

    fn waits(&mut self, cx: &Context<'_>, item: ItemId, attribute: usize, data: &[u8]) {
        let waiting = Waiting { item, attribute, data: data.to_vec(), caller: cx.caller };
        self.waiting.insert(cx.request, waiting);
    }

    /// Whether `item` is a region (and not the group above it).
    fn region(&self, item: ItemId) -> Option<ItemId> {
        self.heartbeat.layer.by_id(item).map(|region| region.id)
    }

    fn after(
        &mut self,
        cx: &Context<'_>,
        item: ItemId,
        attribute: usize,
        effect: Effect,
        data: &[u8],
    ) -> Stored {
        match effect {
            Effect::None => {}
            Effect::FenceMethod(method) => self.note(Note::FenceMethod(method)),
            Effect::StopListening => {
                self.actions.push(Action::StopListening);
                // Without a method nothing beats.
                let _ = self.method(cx.asked(), |method, at| {
                    method.stop_all(at);
                    Ok(())
                });
            }
            Effect::Listen(address, port) => {
                self.waits(cx, item, attribute, data);
                self.actions.push(Action::Listen { request: cx.request, address, port });
                return Stored::Later;
            }
        }
        Stored::Done
    }
}

impl Subsystem for Stack {
    fn make(&mut self, cx: &Context<'_>, parent: ItemId, name: &Name, id: ItemId) -> Result<Made, Refusal> {
        let kind = kind(cx.items, parent)?;
        if kind.is(&CLUSTERS) || kind.is(&MAINLINE) {
            if self.nodes.cluster().is_some() {
                return Err(Refusal::SecondCluster);
            }
            let heartbeat = self.heartbeat.active().ok_or(Refusal::NoMethod)?.group();
            self.nodes.make_cluster(id, name)?;
            let groups = Vec::from([("node", Made::plain(&NODES)), ("heartbeat", Made::plain(heartbeat))]);
            return Ok(Made { kind: &CLUSTER, groups });
        }
        if kind.is(&NODES) {
            self.nodes.make_node(id, name)?;
            return Ok(Made::plain(&NODE));
        }
        let region = self.method(cx.asked(), |method, at| {
            if name.as_bytes().len() > REGION_NAME_MAX {
                return Err(Refusal::RegionNameTooLong);
            }
            method.make_region(at, id)?;
            Ok(method.region())
        })?;
        self.heartbeat.region_made(id, name);
        self.regions_changed.push((id, true));
        Ok(Made::plain(region))
    }

    fn drop_item(&mut self, cx: &Context<'_>, item: ItemId) {
        if let Some(region) = self.region(item) {
            // Dropping cannot be refused.
            let _ = self.method(cx.asked(), |method, at| {
                method.drop_region(at, region);
                Ok(())
            });
            self.heartbeat.region_dropped(region);
            self.regions_changed.push((region, false));
        } else if self.nodes.drop_item(item) {
            self.actions.push(Action::StopListening);
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
        if kind.is(&CLUSTER) {
            self.nodes.show_cluster(attribute, out)
        } else if kind.is(&NODE) {
            self.nodes.show_node(item, attribute, out)
        } else if kind.is(&CLUSTERS) {
            self.show_modes(attribute, out);
            Ok(())
        } else if sysfs::owns(kind) {
            sysfs::show(self, kind, attribute, out)
        } else if debugfs::owns(kind) {
            debugfs::show(self, cx.now.mono, item, attribute, out)
        } else {
            let method = self.heartbeat.active().ok_or(Refusal::Gone)?;
            method.show(self.region(item), attribute, out)
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
        if kind.is(&CLUSTER) {
            let effect = self.nodes.store_cluster(attribute, data)?;
            Ok(self.after(cx, item, attribute, effect, data))
        } else if kind.is(&NODE) {
            let effect = self.nodes.store_node(cx.request, item, attribute, data)?;
            Ok(self.after(cx, item, attribute, effect, data))
        } else if kind.is(&CLUSTERS) {
            self.select_method(data).map(|()| Stored::Done)
        } else if sysfs::owns(kind) {
            sysfs::store(self, kind, attribute, data).map(|()| Stored::Done)
        } else if debugfs::owns(kind) {
            Err(Refusal::ReadOnly)
        } else {
            let region = self.region(item);
            let stored = self.method(cx.asked(), |method, at| method.store(at, region, attribute, data))?;
            match stored {
                Stored::Done => {}
                Stored::Later => self.waits(cx, item, attribute, data),
                Stored::Ignored(rule) => {
                    let number = u8::try_from(attribute).unwrap_or(u8::MAX);
                    let path = cx.items.object_path(Object::Attribute(item, number));
                    self.note(Note::Ignored { path, value: data.to_vec(), rule, caller: cx.caller });
                }
            }
            Ok(stored)
        }
    }

    fn allow_link(&mut self, cx: &Context<'_>, source: ItemId, target: ItemId) -> Result<(), Refusal> {
        let region = self.region(source).ok_or(Refusal::NoLinksHere)?;
        // There is one cluster at a time, so a node is a node of the region's cluster.
        let node = self.nodes.node(target).ok_or(Refusal::LinkNotToNode)?;
        let (name, num) = (node.name.clone(), node.num);
        self.method(cx.asked(), |method, at| method.allow_link(at, region, &name, num))
    }

    fn drop_link(&mut self, cx: &Context<'_>, source: ItemId, target: ItemId) {
        let node = self
            .nodes
            .node(target)
            .and_then(|node| Some(NodeName { num: node.num?, name: node.name.clone() }));
        if let (Some(region), Some(node)) = (self.region(source), node) {
            // Dropping cannot be refused.
            let _ = self.method(cx.asked(), |method, at| {
                method.drop_link(at, region, node);
                Ok(())
            });
        }
    }
}

fn kind(items: &Items, item: ItemId) -> Result<&'static Kind, Refusal> {
    items.kind(item).ok_or(Refusal::Gone)
}
