//! What the kernel shows under /sys/kernel/debug: o2hb, the live nodes, in all and by region; o2net, the connections.

mod o2net;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::call::Call;
use crate::consumers::Consumers;
use crate::error::Refusal;
use crate::heartbeat::Disk;
use crate::ids::ItemId;
use crate::machines::Machines;
use crate::text::line;
use crate::time::Now;
use crate::tree::{Attribute, Context, Kind, Made, Op, Outcome, Owner, Subsystem, Tree, files};

const fn file(name: &'static str) -> Attribute {
    Attribute { name, mode: 0o400, waits: false }
}

files! {
    /// Files of o2hb.
    enum NodeFile {
        LiveNodes = file("livenodes"),
        LiveRegions = file("live_regions"),
        QuorumRegions = file("quorum_regions"),
        FailedRegions = file("failed_regions"),
    }
}

files! {
    /// Files of a region.
    enum RegionFile {
        LiveNodes = file("livenodes"),
        Num = file("num"),
        Elapsed = file("elapsed_time_in_ms"),
        Pinned = file("pinned"),
    }
}

static O2HB: Kind = Kind { name: "o2hb", makes: false, links: false, attributes: NodeFile::ATTRIBUTES };

static REGION: Kind = Kind { name: "region", makes: false, links: false, attributes: RegionFile::ATTRIBUTES };

/// The tree.
#[derive(Debug)]
pub(super) struct Debugfs {
    pub(super) tree: Tree,
    o2hb: ItemId,
    o2net: ItemId,
    /// The region of each directory, and the directory of each region.
    regions: BTreeMap<ItemId, ItemId>,
    dirs: BTreeMap<ItemId, ItemId>,
}

impl Debugfs {
    pub(super) fn new(owner: Owner, now: Now) -> Self {
        let mut tree = Tree::new(owner, 0, now).with_root_mode(0o700);
        // A new tree has room for these names.
        let mut add =
            |name, kind| tree.add(ItemId::ROOT, name, &Made::plain(kind), now).unwrap_or(ItemId::ROOT);
        let (o2hb, o2net) = (add("o2hb", &O2HB), add("o2net", &o2net::O2NET));
        Self { tree, o2hb, o2net, regions: BTreeMap::new(), dirs: BTreeMap::new() }
    }

    pub(super) fn apply(
        &mut self,
        machines: &Machines,
        consumers: &Consumers,
        call: Call,
        op: &Op<'_>,
    ) -> Outcome {
        self.tree.apply(
            &mut Stack { machines, consumers, o2net: self.o2net, regions: &self.regions },
            call,
            op,
        )
    }

    pub(super) fn add_region(&mut self, region: ItemId, name: &[u8], now: Now) {
        // A region may have the name of a file in o2hb: then it has no directory, as in the kernel.
        if let Ok(dir) = self.tree.add_bytes(self.o2hb, name, &Made::plain(&REGION), now) {
            self.regions.insert(dir, region);
            self.dirs.insert(region, dir);
        }
    }

    pub(super) fn remove_region(&mut self, region: ItemId, now: Now) {
        if let Some(dir) = self.dirs.remove(&region) {
            self.regions.remove(&dir);
            self.tree.take_away(dir, now);
        }
    }
}

/// The machines as the tree's subsystem.
struct Stack<'a> {
    machines: &'a Machines,
    consumers: &'a Consumers,
    o2net: ItemId,
    regions: &'a BTreeMap<ItemId, ItemId>,
}

impl Stack<'_> {
    fn show_node(&self, file: NodeFile, out: &mut Vec<u8>) {
        let heartbeat = &self.machines.heartbeat;
        let sets = heartbeat.get::<Disk>().map(Disk::region_sets).unwrap_or_default();
        match file {
            NodeFile::LiveNodes => line(out, heartbeat.layer.fill_node_map(None)),
            NodeFile::LiveRegions => line(out, sets.live),
            NodeFile::QuorumRegions => line(out, sets.quorum),
            NodeFile::FailedRegions => line(out, sets.failed),
        }
    }

    /// A region that does not heartbeat on a disk has number 0, and 0 as the time since its last beat.
    fn show_region(&self, region: ItemId, file: RegionFile, call: Call, out: &mut Vec<u8>) {
        let heartbeat = &self.machines.heartbeat;
        let disk = heartbeat.get::<Disk>();
        match file {
            RegionFile::LiveNodes => line(out, heartbeat.layer.fill_node_map(Some(region))),
            RegionFile::Num => line(out, disk.map_or(0, |disk| disk.region_num(region))),
            RegionFile::Elapsed => {
                let elapsed = disk.map(|disk| disk.elapsed(region, call.now.mono)).unwrap_or_default();
                line(out, elapsed.as_millis());
            }
            RegionFile::Pinned => {
                let pinned = disk.and_then(|disk| disk.pinned(region));
                line(out, u8::from(pinned.unwrap_or_else(|| self.consumers.holds(region))));
            }
        }
    }
}

/// Only shown: the stack itself makes and removes what is in it.
impl Subsystem for Stack<'_> {
    fn show(
        &mut self,
        cx: &Context<'_>,
        item: ItemId,
        attribute: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        match self.regions.get(&item) {
            None if item == self.o2net => o2net::show(self.machines, o2net::File::at(attribute)?, out),
            None => self.show_node(NodeFile::at(attribute)?, out),
            Some(region) => self.show_region(*region, RegionFile::at(attribute)?, cx.call, out),
        }
        Ok(())
    }
}
