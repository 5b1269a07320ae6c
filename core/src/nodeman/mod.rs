//! The node manager: the cluster, its nodes, and which of them is the local one (`spec/o2nm.md`).

pub(crate) mod address;
mod attributes;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;

pub use self::address::{Address, parse_address};
pub use self::attributes::{CLUSTER, NODE, NODES};
pub(crate) use self::attributes::{ClusterFile, NodeFile};
use crate::effect::{Effect, Effects};
use crate::error::Refusal;
use crate::fence::FenceMethod;
use crate::ids::{ItemId, NodeNum, NodeSet, RequestId};
use crate::name::Name;

/// Longest name of a node, in bytes.
const NODE_NAME_MAX: usize = 64;

/// A node as configured so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its directory.
    pub id: ItemId,
    /// Its name.
    pub name: Name,
    /// Set once.
    pub num: Option<NodeNum>,
    /// Set once.
    pub port: Option<u16>,
    /// Set once.
    pub address: Option<Address>,
}

/// The one cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cluster {
    /// Its directory.
    pub id: ItemId,
    /// Its name.
    pub name: Name,
    /// Milliseconds without a received byte until a connection is idle.
    pub idle_timeout_ms: u32,
    /// Milliseconds without a byte until a keepalive is sent.
    pub keepalive_delay_ms: u32,
    /// Milliseconds between two attempts to connect.
    pub reconnect_delay_ms: u32,
    /// What a fence does.
    pub fence_method: FenceMethod,
    nodes: BTreeMap<ItemId, Node>,
    /// The numbers of `nodes`, kept as a set because every beat of every region reads it.
    numbers: NodeSet,
    by_num: BTreeMap<NodeNum, ItemId>,
    by_address: BTreeMap<Address, ItemId>,
    local: Option<ItemId>,
    /// The node whose store to `local` waits for its address to be bound, and that store's request: results of older
    /// ones are ignored.
    starting: Option<(ItemId, RequestId)>,
}

impl Cluster {
    fn new(id: ItemId, name: Name) -> Self {
        Self {
            id,
            name,
            idle_timeout_ms: 30_000,
            keepalive_delay_ms: 2_000,
            reconnect_delay_ms: 2_000,
            fence_method: FenceMethod::default(),
            nodes: BTreeMap::new(),
            numbers: NodeSet::EMPTY,
            by_num: BTreeMap::new(),
            by_address: BTreeMap::new(),
            local: None,
            starting: None,
        }
    }

    /// All nodes, oldest first.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The node with this number.
    pub fn node_by_num(&self, num: NodeNum) -> Option<&Node> {
        self.nodes.get(self.by_num.get(&num)?)
    }

    /// The node with this address.
    pub fn node_by_address(&self, address: Address) -> Option<&Node> {
        self.nodes.get(self.by_address.get(&address)?)
    }

    /// The numbers that are taken.
    pub fn numbers(&self) -> &NodeSet {
        &self.numbers
    }

    /// The local node.
    pub fn local(&self) -> Option<&Node> {
        self.nodes.get(&self.local?)
    }

    /// The node goes; the number that it had.
    fn forget(&mut self, item: ItemId) -> Option<NodeNum> {
        let node = self.nodes.remove(&item)?;
        if let Some(num) = node.num {
            self.numbers.remove(num);
            self.by_num.remove(&num);
        }
        if let Some(address) = node.address {
            self.by_address.remove(&address);
        }
        node.num
    }

    /// The node that becomes the local one when its address has been bound.
    pub fn starting(&self) -> Option<&Node> {
        self.nodes.get(&self.starting?.0)
    }
}

/// Clusters and nodes. At most one cluster at a time, as in the kernel.
#[derive(Debug, Default)]
pub struct NodeManager {
    cluster: Option<Cluster>,
    /// How many peers are connected, and so have agreed to the timeouts.
    connected_peers: u32,
}

impl NodeManager {
    /// The cluster, if there is one.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// The node whose directory `item` is.
    pub fn node(&self, item: ItemId) -> Option<&Node> {
        self.cluster.as_ref()?.nodes.get(&item)
    }

    /// The node with this number.
    pub fn node_by_num(&self, num: NodeNum) -> Option<&Node> {
        self.cluster.as_ref()?.node_by_num(num)
    }

    /// Name of the node with this number, if it is configured.
    pub fn name_of(&self, num: NodeNum) -> Name {
        self.node_by_num(num).map_or_else(Name::unknown, |node| node.name.clone())
    }

    /// As many have agreed to the timeouts.
    pub(crate) fn set_connected_peers(&mut self, peers: usize) {
        self.connected_peers = u32::try_from(peers).unwrap_or(u32::MAX);
    }

    /// mkdir of a cluster (`o2nm_cluster_group_make_group`).
    pub fn make_cluster(&mut self, id: ItemId, name: &Name) -> Result<(), Refusal> {
        if self.cluster.is_some() {
            return Err(Refusal::SecondCluster);
        }
        self.cluster = Some(Cluster::new(id, name.clone()));
        Ok(())
    }

    /// mkdir of a node (`o2nm_node_group_make_item`).
    pub fn make_node(&mut self, id: ItemId, name: &Name) -> Result<(), Refusal> {
        if name.as_bytes().len() > NODE_NAME_MAX {
            return Err(Refusal::NodeNameTooLong);
        }
        let cluster = self.cluster.as_mut().ok_or(Refusal::Gone)?;
        let node = Node { id, name: name.clone(), num: None, port: None, address: None };
        cluster.nodes.insert(id, node);
        Ok(())
    }

    /// rmdir of a cluster or node. With the local node the listening ends.
    pub(crate) fn drop_item(&mut self, item: ItemId, effects: &mut Effects) {
        let Some(cluster) = self.cluster.as_mut() else { return };
        let local = if cluster.id == item {
            let local = cluster.local;
            self.cluster = None;
            local
        } else {
            if let Some(num) = cluster.forget(item) {
                effects.push(Effect::NodeRemoved(num));
            }
            cluster.starting.take_if(|(starting, _)| *starting == item);
            cluster.local.take_if(|local| *local == item)
        };
        if local.is_some() {
            effects.push(Effect::StopListening);
        }
    }
}
