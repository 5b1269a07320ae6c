//! The attributes of clusters and nodes.

use alloc::vec::Vec;

use super::{Address, Cluster, Node, NodeManager, parse_address};
use crate::call::Call;
use crate::effect::{Effect, Effects};
use crate::error::Refusal;
use crate::fence::FenceMethod;
use crate::ids::{ItemId, NodeNum, RequestId};
use crate::message::Action;
use crate::net::NetNote;
use crate::note::Note;
use crate::number;
use crate::text::{boolean, line};
use crate::tree::{Attribute, Kind, Stored, files};

files! {
    /// Files of a cluster.
    pub(crate) enum ClusterFile {
        IdleTimeout = Attribute::read_write("idle_timeout_ms"),
        KeepaliveDelay = Attribute::read_write("keepalive_delay_ms"),
        ReconnectDelay = Attribute::read_write("reconnect_delay_ms"),
        FenceMethod = Attribute::read_write("fence_method"),
    }
}

files! {
    /// Files of a node.
    pub(crate) enum NodeFile {
        Num = Attribute::read_write("num"),
        Port = Attribute::read_write("ipv4_port"),
        Address = Attribute::read_write("ipv4_address"),
        Local = Attribute::read_write("local"),
    }
}

/// `cluster/NAME`.
pub static CLUSTER: Kind =
    Kind { name: "cluster", makes: false, links: false, attributes: ClusterFile::ATTRIBUTES };

/// `cluster/NAME/node`.
pub static NODES: Kind = Kind { name: "node group", makes: true, links: false, attributes: &[] };

/// `cluster/NAME/node/NODE`.
pub static NODE: Kind = Kind { name: "node", makes: false, links: false, attributes: NodeFile::ATTRIBUTES };

impl NodeManager {
    /// Text of a file of a cluster.
    pub(crate) fn show_cluster(&self, file: ClusterFile, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let cluster = self.cluster.as_ref().ok_or(Refusal::Gone)?;
        match file {
            ClusterFile::IdleTimeout => line(out, cluster.idle_timeout_ms),
            ClusterFile::KeepaliveDelay => line(out, cluster.keepalive_delay_ms),
            ClusterFile::ReconnectDelay => line(out, cluster.reconnect_delay_ms),
            ClusterFile::FenceMethod => line(out, cluster.fence_method.word()),
        }
        Ok(())
    }

    /// New value of a file of a cluster.
    pub(crate) fn store_cluster(
        &mut self,
        file: ClusterFile,
        data: &[u8],
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let peers = self.connected_peers;
        let cluster = self.cluster.as_mut().ok_or(Refusal::Gone)?;
        match file {
            ClusterFile::IdleTimeout => {
                let idle = milliseconds(data)?;
                if idle != cluster.idle_timeout_ms {
                    agreed("idle timeout", peers, effects)?;
                    ordered(idle, cluster.keepalive_delay_ms)?;
                    cluster.idle_timeout_ms = idle;
                }
            }
            ClusterFile::KeepaliveDelay => {
                let keepalive = milliseconds(data)?;
                if keepalive != cluster.keepalive_delay_ms {
                    agreed("keepalive delay", peers, effects)?;
                    ordered(cluster.idle_timeout_ms, keepalive)?;
                    cluster.keepalive_delay_ms = keepalive;
                }
            }
            ClusterFile::ReconnectDelay => cluster.reconnect_delay_ms = milliseconds(data)?,
            ClusterFile::FenceMethod => {
                let method = fence_method(data)?;
                if method != cluster.fence_method {
                    cluster.fence_method = method;
                    effects.note(Note::FenceMethod(method));
                }
            }
        }
        Ok(())
    }

    /// Text of a file of a node.
    pub(crate) fn show_node(&self, item: ItemId, file: NodeFile, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let node = self.node(item).ok_or(Refusal::Gone)?;
        match file {
            NodeFile::Num => line(out, node.num.map_or(0, NodeNum::get)),
            NodeFile::Port => line(out, node.port.unwrap_or(0)),
            NodeFile::Address => line(out, node.address.unwrap_or(Address([0; 4]))),
            NodeFile::Local => line(out, u8::from(self.is_local(item))),
        }
        Ok(())
    }

    /// New value of a file of a node. The order of the checks is the kernel's (`o2nm_node_*_store`).
    pub(crate) fn store_node(
        &mut self,
        call: Call,
        item: ItemId,
        file: NodeFile,
        data: &[u8],
        effects: &mut Effects,
    ) -> Result<Stored, Refusal> {
        let cluster = self.cluster.as_mut().ok_or(Refusal::Gone)?;
        match file {
            NodeFile::Num => {
                let num = store_num(cluster, item, data)?;
                effects.push(Effect::NodeNumbered(num));
            }
            NodeFile::Port => {
                let port = match number::unsigned(data)? {
                    0 => return Err(Refusal::PortZero),
                    port => {
                        u16::try_from(port).ok().filter(|port| *port < u16::MAX).ok_or(Refusal::PortRange)?
                    }
                };
                set_once(&mut node_mut(cluster, item)?.port, port, Refusal::PortSet)?;
            }
            NodeFile::Address => {
                let address = parse_address(data)?;
                if cluster.node_by_address(address).is_some() {
                    return Err(Refusal::AddressTaken);
                }
                set_once(&mut node_mut(cluster, item)?.address, address, Refusal::AddressSet)?;
                cluster.by_address.insert(address, item);
            }
            NodeFile::Local => return store_local(cluster, call, item, data, effects),
        }
        Ok(Stored::Done)
    }

    /// The bind that the store `request` of `local` asked for has ended. Returns the node that is the local
    /// one now; none when the bind failed, or `local` was taken back meanwhile.
    pub(crate) fn listening(&mut self, request: RequestId, bound: bool) -> Option<&Node> {
        let cluster = self.cluster.as_mut()?;
        let (item, _) = cluster.starting.take_if(|(_, asked)| *asked == request)?;
        if !bound {
            return None;
        }
        cluster.local = Some(item);
        cluster.nodes.get(&item)
    }

    fn is_local(&self, item: ItemId) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.local == Some(item))
    }
}

fn node_mut(cluster: &mut Cluster, item: ItemId) -> Result<&mut Node, Refusal> {
    cluster.nodes.get_mut(&item).ok_or(Refusal::Gone)
}

fn store_num(cluster: &mut Cluster, item: ItemId, data: &[u8]) -> Result<NodeNum, Refusal> {
    let num = NodeNum::new(number::unsigned(data)?).ok_or(Refusal::NumberRange)?;
    let node = node_mut(cluster, item)?;
    if node.address.is_none() || node.port.is_none() {
        return Err(Refusal::NumberNeedsAddress);
    }
    if cluster.numbers.contains(num) {
        return Err(Refusal::NumberTaken);
    }
    set_once(&mut node_mut(cluster, item)?.num, num, Refusal::NumberSet)?;
    cluster.numbers.insert(num);
    cluster.by_num.insert(num, item);
    Ok(num)
}

fn store_local(
    cluster: &mut Cluster,
    call: Call,
    item: ItemId,
    data: &[u8],
    effects: &mut Effects,
) -> Result<Stored, Refusal> {
    let local = boolean(data)?;
    let node = node_mut(cluster, item)?;
    let (Some(address), Some(port), Some(_)) = (node.address, node.port, node.num) else {
        return Err(Refusal::LocalNeedsAll);
    };
    match (local, cluster.local.or(cluster.starting.map(|(starting, _)| starting))) {
        (true, Some(other)) if other != item => Err(Refusal::OtherLocal),
        (true, None) => {
            cluster.starting = Some((item, call.request));
            effects.act(Action::Listen { request: call.request, caller: call.caller, address, port });
            Ok(Stored::Later)
        }
        (false, Some(other)) if other == item => {
            cluster.local = None;
            cluster.starting = None;
            effects.push(Effect::StopListening);
            effects.push(Effect::StopRegions);
            Ok(Stored::Done)
        }
        (true | false, _) => Ok(Stored::Done),
    }
}

fn set_once<T>(place: &mut Option<T>, value: T, taken: Refusal) -> Result<(), Refusal> {
    if place.is_some() {
        return Err(taken);
    }
    *place = Some(value);
    Ok(())
}

fn milliseconds(data: &[u8]) -> Result<u32, Refusal> {
    match number::unsigned(data)? {
        0 => Err(Refusal::TimeoutZero),
        value => u32::try_from(value).ok().filter(|value| *value < u32::MAX).ok_or(Refusal::TimeoutRange),
    }
}

/// A time may still change.
fn agreed(what: &'static str, peers: u32, effects: &mut Effects) -> Result<(), Refusal> {
    if peers > 0 {
        effects.note(Note::Net(NetNote::Agreed(what, peers)));
        return Err(Refusal::PeerConnected);
    }
    Ok(())
}

fn ordered(idle: u32, keepalive: u32) -> Result<(), Refusal> {
    if idle > keepalive { Ok(()) } else { Err(Refusal::IdleNotAboveKeepalive) }
}

fn fence_method(data: &[u8]) -> Result<FenceMethod, Refusal> {
    let word = data.strip_suffix(b"\n").ok_or(Refusal::BadFenceMethod)?;
    [FenceMethod::Reset, FenceMethod::Panic]
        .into_iter()
        .find(|method| word.eq_ignore_ascii_case(method.word().as_bytes()))
        .ok_or(Refusal::BadFenceMethod)
}
