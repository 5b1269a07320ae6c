//! A snapshot of the stack's state.

use alloc::vec::Vec;
use core::time::Duration;

use crate::consumers::Consumers;
use crate::fence::FenceMethod;
use crate::heartbeat::disk::{Disk, DiskPhase, DiskStatus, StoppingStatus};
use crate::heartbeat::event::NodeName;
use crate::ids::{ItemId, NodeNum, NodeSet};
use crate::machines::Machines;
use crate::name::Name;
use crate::net::PeerStatus;
use crate::nodeman::Address;
use crate::quorum::QuorumStatus;
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
    /// Regions of disk heartbeat that still write their last block, also those whose directory is gone.
    pub stopping: Vec<StoppingStatus>,
    /// How many consumers are registered.
    pub consumers: usize,
    /// This node listens for others.
    pub listens: bool,
    /// The other nodes that heartbeat, while this one listens.
    pub peers: Vec<PeerStatus>,
    /// Quorum, while there is one.
    pub quorum: Option<QuorumStatus>,
}

impl Status {
    /// Without the regions.
    pub(crate) fn overview(machines: &Machines, consumers: &Consumers) -> Self {
        let heartbeat = &machines.heartbeat;
        let cluster = machines.nodes.cluster().map(|cluster| ClusterStatus {
            name: cluster.name.clone(),
            fence_method: cluster.fence_method,
            idle_timeout: Duration::from_millis(cluster.idle_timeout_ms.into()),
            keepalive_delay: Duration::from_millis(cluster.keepalive_delay_ms.into()),
            reconnect_delay: Duration::from_millis(cluster.reconnect_delay_ms.into()),
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
        Self {
            method: heartbeat.active_name(),
            methods: heartbeat.available().collect(),
            cluster,
            regions: Vec::new(),
            stopping: heartbeat.get::<Disk>().into_iter().flat_map(Disk::stopping_regions).collect(),
            consumers: consumers.delivery.callbacks().len(),
            listens: machines.net.listens(),
            peers: machines.net.status().collect(),
            quorum: machines.quorum.status(),
        }
    }
}

/// The regions that were made after `after` (none: all), oldest first.
pub(crate) fn regions_after<'a>(
    machines: &'a Machines,
    consumers: &'a Consumers,
    tree: &'a Tree,
    after: Option<ItemId>,
) -> impl Iterator<Item = RegionStatus> + 'a {
    let configured = machines.nodes.cluster().map(|cluster| *cluster.numbers()).unwrap_or_default();
    let disk = machines.heartbeat.get::<Disk>();
    machines.heartbeat.layer.regions_after(after).map(move |region| {
        let mut disk_status = disk.and_then(|disk| disk.status(region.id));
        if let Some(status) = &mut disk_status {
            // Configured in the meantime, or live: seen as such from the next beat on.
            let strangers = status.findings.strangers.iter();
            status.findings.strangers =
                strangers.filter(|num| !configured.contains(*num) && !region.up().contains(*num)).collect();
        }
        RegionStatus {
            id: region.id,
            name: region.name.clone(),
            method: region.method,
            holds: consumers.holders_of(region.id),
            pins: tree.dependents(region.id),
            phase: disk.and_then(|disk| disk.phase(region.id)),
            disk: disk_status,
            up: region.members().collect(),
            unconfigured: region.up().iter().filter(|num| !configured.contains(*num)).collect(),
        }
    })
}

/// The cluster and its nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterStatus {
    /// Its name.
    pub name: Name,
    /// What a fence does.
    pub fence_method: FenceMethod,
    /// After how long without a message a connection is idle.
    pub idle_timeout: Duration,
    /// After how long of silence this node sends something.
    pub keepalive_delay: Duration,
    /// Between two attempts to connect.
    pub reconnect_delay: Duration,
    /// Its nodes, oldest first.
    pub nodes: Vec<NodeStatus>,
    /// Nodes that are up in at least one region.
    pub up: NodeSet,
}

/// This node, as others know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnNode<'a> {
    /// Name of the cluster, if there is one.
    pub cluster: Option<&'a Name>,
    /// Name of the local node, if there is one.
    pub node: Option<&'a Name>,
    /// And its number.
    pub num: Option<NodeNum>,
    /// Whether it is up in a region, so that others may count on it.
    pub up: bool,
    /// What a fence does.
    pub fence_method: FenceMethod,
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
    /// How many pins keep its directory: those of its holders, or in global mode those of the whole method.
    pub pins: u32,
    /// Of disk heartbeat: how far it is.
    pub phase: Option<DiskPhase>,
    /// Its device, if it heartbeats on one.
    pub disk: Option<DiskStatus>,
    /// The nodes that are up, by number, under the names with which they came, and since when (wall clock since 1970).
    pub up: Vec<(NodeName, Duration)>,
    /// Those of them that are not configured any more.
    pub unconfigured: NodeSet,
}
