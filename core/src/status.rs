//! A snapshot of the stack's state.

use alloc::vec::Vec;
use core::time::Duration;

use crate::consumers::Consumers;
use crate::fence::FenceMethod;
use crate::heartbeat::disk::{Disk, DiskStatus};
use crate::heartbeat::event::NodeName;
use crate::heartbeat::layer::Region;
use crate::ids::{ItemId, NodeNum, NodeSet};
use crate::machines::Machines;
use crate::name::Name;
use crate::nodeman::Address;
use crate::tree::Tree;

/// The state of the whole stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// The active heartbeat method.
    pub method: Option<&'static str>,
    /// All registered methods.
    pub methods: Vec<&'static str>,
    /// The cluster, if there is one.
    pub cluster: Option<ClusterStatus>,
    /// All regions, oldest first.
    pub regions: Vec<RegionStatus>,
    /// How many consumers are registered.
    pub consumers: usize,
}

/// Who is up in a region whose nodes are configured.
fn up_in(machines: &Machines, region: &Region) -> Vec<(NodeName, Duration)> {
    let one = |num| {
        let node = NodeName { num, name: machines.nodes.node_by_num(num)?.name.clone() };
        Some((node, region.up_since(num)?))
    };
    region.up().iter().filter_map(one).collect()
}

impl Status {
    pub(crate) fn of(machines: &Machines, consumers: &Consumers, tree: &Tree) -> Self {
        let heartbeat = &machines.heartbeat;
        let cluster = machines.nodes.cluster().map(|cluster| ClusterStatus {
            name: cluster.name.clone(),
            fence_method: cluster.fence_method,
            nodes: cluster
                .nodes()
                .map(|node| NodeStatus {
                    name: node.name.clone(),
                    num: node.num,
                    address: node.address,
                    port: node.port,
                    local: cluster.local().is_some_and(|local| local.id == node.id),
                })
                .collect(),
            up: heartbeat.layer.fill_node_map(None),
        });
        let disk = heartbeat.get::<Disk>();
        let regions = heartbeat.layer.regions().map(|region| RegionStatus {
            id: region.id,
            name: region.name.clone(),
            method: region.method,
            holds: tree.dependents(region.id),
            disk: disk.and_then(|disk| disk.status(region.id)),
            up: up_in(machines, region),
        });
        Self {
            method: heartbeat.active_name(),
            methods: heartbeat.available().collect(),
            cluster,
            regions: regions.collect(),
            consumers: consumers.delivery.callbacks().len(),
        }
    }
}

/// The cluster and its nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterStatus {
    /// Its name.
    pub name: Name,
    /// What a fence does.
    pub fence_method: FenceMethod,
    /// Its nodes, oldest first.
    pub nodes: Vec<NodeStatus>,
    /// Nodes that are up in at least one region.
    pub up: NodeSet,
}

/// A node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeStatus {
    /// Its name.
    pub name: Name,
    /// Its number, once set.
    pub num: Option<NodeNum>,
    /// Its address, once set.
    pub address: Option<Address>,
    /// Its port, once set.
    pub port: Option<u16>,
    /// Whether it is the local node.
    pub local: bool,
}

/// A region and the nodes that are up in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegionStatus {
    /// Its directory.
    pub id: ItemId,
    /// Its name.
    pub name: Name,
    /// The heartbeat method that it belongs to.
    pub method: &'static str,
    /// How many consumers hold it.
    pub holds: u32,
    /// Its device, if it heartbeats on one.
    pub disk: Option<DiskStatus>,
    /// The nodes that are up, by number, and since when (wall clock since 1970).
    pub up: Vec<(NodeName, Duration)>,
}
