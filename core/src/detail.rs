//! The facts behind a refusal, for its line in the log: who has the number, what is missing, what exists already. A
//! refused call has changed nothing, so they can be found out afterwards.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::consumers::Consumers;
use crate::error::{Errno, Refusal};
use crate::heartbeat::Disk;
use crate::ids::{ItemId, NodeNum};
use crate::machines::Machines;
use crate::name::Name;
use crate::nodeman::{Cluster, NODE, Node, parse_address};
use crate::number;
use crate::tree::{Items, NoTarget, Object, Op};

/// A refused call: on which item, with which value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused<'a> {
    /// The item whose attribute was to be stored, the item to be removed, or the directory of a new entry.
    pub(crate) item: ItemId,
    /// What was to be stored, or the name of the new entry.
    pub(crate) value: &'a [u8],
    /// What a link was to point at.
    pub(crate) target: Option<ItemId>,
    /// What the driver knows, and of which refusal.
    pub(crate) told: Option<(Refusal, &'a str)>,
}

impl<'a> Refused<'a> {
    /// None for calls whose refusals have no details.
    pub(crate) fn of(op: &Op<'a>, items: &Items) -> Option<Self> {
        let mut told = None;
        let (item, value, target) = match *op {
            Op::Store { item, data, .. } => (item, data, None),
            Op::Mkdir { dir, name } => (dir, name, None),
            Op::Rmdir { dir, name } => match items.child(dir, name)? {
                Object::Dir(item) => (item, name, None),
                Object::Attribute(..) | Object::Link(_) => return None,
            },
            Op::Symlink { dir, name, target } => match target {
                Ok(Object::Dir(target)) => (dir, name, Some(target)),
                Ok(Object::Attribute(..) | Object::Link(_)) => (dir, name, None),
                Err(NoTarget { refusal, detail }) => {
                    told = detail.map(|detail| (refusal, detail));
                    (dir, name, None)
                }
            },
            Op::Forbidden { .. }
            | Op::Lookup { .. }
            | Op::Stat(_)
            | Op::List(_)
            | Op::Open { .. }
            | Op::Show { .. }
            | Op::Unlink { .. }
            | Op::Readlink(_)
            | Op::SetAttr(..) => return None,
        };
        Some(Self { item, value, target, told })
    }
}

/// What there is to say beside the rule. None: nothing.
pub(crate) fn detail(
    refusal: Refusal,
    refused: Refused<'_>,
    items: &Items,
    machines: &Machines,
    consumers: &Consumers,
) -> Option<String> {
    let Refused { item, value, target, told } = refused;
    // The tree's own rules come before what became of the target.
    if let Some((_, detail)) = told.filter(|(of, _)| *of == refusal) {
        return Some(detail.into());
    }
    let cluster = machines.nodes.cluster();
    let node = machines.nodes.node(item);
    match refusal {
        Refusal::NameExists => Some(match items.child(item, value)? {
            Object::Dir(_) => "of a directory".into(),
            Object::Attribute(..) => "of an attribute".into(),
            Object::Link(link) => format!("of a link to {}", path(items, items.target(link)?)),
        }),
        Refusal::NameTooLong | Refusal::NodeNameTooLong | Refusal::RegionNameTooLong => {
            Some(format!("this one has {}", value.len()))
        }
        Refusal::NothingMadeHere | Refusal::NoLinksHere => {
            let method = machines.heartbeat.layer.by_id(item).map(|region| region.method);
            let of = method.map_or_else(String::new, |method| format!(" of the method {method}"));
            Some(format!("a {}{of}", items.kind(item)?.name))
        }
        Refusal::Depended => dependents(item, machines, consumers),
        Refusal::LinkedTo => Some(path(items, items.links_to(item)?)),
        Refusal::NotEmpty => {
            let (first, count) = items.own_entries(item)?;
            let first = items.name(first)?;
            Some(match count {
                1 => first.to_string(),
                count => format!("{first} and {} more", count - 1),
            })
        }
        Refusal::SecondCluster | Refusal::ModeInUse => Some(format!("{} exists", cluster?.name)),
        Refusal::NumberTaken => {
            let num = NodeNum::new(number::unsigned(value).ok()?)?;
            Some(machines.nodes.node_by_num(num)?.name.to_string())
        }
        Refusal::AddressTaken => {
            let address = parse_address(value).ok()?;
            Some(cluster?.node_by_address(address)?.name.to_string())
        }
        Refusal::NumberSet => Some(node?.num?.to_string()),
        Refusal::AddressSet => Some(node?.address?.to_string()),
        Refusal::PortSet => Some(node?.port?.to_string()),
        Refusal::NumberNeedsAddress | Refusal::LocalNeedsAll => Some(missing(node?, refusal)),
        Refusal::OtherLocal => Some(local_or_starting(cluster?)?.to_string()),
        Refusal::IdleNotAboveKeepalive => {
            let Cluster { idle_timeout_ms, keepalive_delay_ms, .. } = cluster?;
            Some(format!("they are {idle_timeout_ms} and {keepalive_delay_ms} now"))
        }
        Refusal::UnknownMode => {
            Some(format!("there are {}", machines.heartbeat.available().collect::<Vec<_>>().join(", ")))
        }
        Refusal::RegionStarted => Some(format!("on {}", machines.heartbeat.get::<Disk>()?.device(item)?)),
        Refusal::BeyondBlocks => Some(cluster?.local()?.num?.to_string()),
        Refusal::LinkNotToNode => Some(format!("a {}", items.kind(target?)?.name)),
        Refusal::NodeLinked => {
            let twin = items.children(item).find(|link| items.target(*link) == target)?;
            Some(format!("as {}", items.name(twin)?))
        }
        Refusal::System(errno) if items.kind(item)?.is(&NODE) => {
            let Node { address, port, .. } = node?;
            Some(not_bound(errno, &address.as_ref()?.to_string(), (*port)?))
        }
        Refusal::System(_) => Some("the device cannot be opened".into()),
        Refusal::NoSuchEntry
        | Refusal::Gone
        | Refusal::BadName
        | Refusal::NotADirectory
        | Refusal::IsADirectory
        | Refusal::NotALink
        | Refusal::NoNewFiles
        | Refusal::NoSpecialFiles
        | Refusal::NoHardLinks
        | Refusal::NoRename
        | Refusal::AttributeStays
        | Refusal::DefaultGroup
        | Refusal::Interrupted
        | Refusal::TargetMissing
        | Refusal::TargetNotADirectory
        | Refusal::TargetOutside
        | Refusal::TargetIsRoot
        | Refusal::TargetLoop
        | Refusal::TargetTooLong
        | Refusal::TargetDenied
        | Refusal::ReadOnly
        | Refusal::WriteOnly
        | Refusal::SizeTooBig
        | Refusal::NotANumber
        | Refusal::NoMethod
        | Refusal::TimeoutZero
        | Refusal::TimeoutRange
        | Refusal::NumberRange
        | Refusal::BadAddress
        | Refusal::OctetRange
        | Refusal::PortZero
        | Refusal::PortRange
        | Refusal::PeerConnected
        | Refusal::BadFenceMethod
        | Refusal::TooManyRegions
        | Refusal::BadDiskMode
        | Refusal::BlockBytesRange
        | Refusal::NotAPowerOfTwo
        | Refusal::BlocksRange
        | Refusal::NoLocalNode
        | Refusal::BadDescriptor
        | Refusal::RegionIncomplete
        | Refusal::NotABlockDevice
        | Refusal::WrongBlockSize
        | Refusal::Unreadable
        | Refusal::Unstable
        | Refusal::StartInterrupted
        | Refusal::NoSuchRegion
        | Refusal::NodeUnnumbered
        | Refusal::BadMask
        | Refusal::BadStackLabel
        | Refusal::StackInUse
        | Refusal::ShuttingDown
        | Refusal::Subsystem(..) => None,
    }
}

fn path(items: &Items, item: ItemId) -> String {
    crate::name::printable(&items.path(item))
}

/// Who depends on a region, or on the local node.
fn dependents(item: ItemId, machines: &Machines, consumers: &Consumers) -> Option<String> {
    let local = machines.nodes.node(item).is_some();
    let disk = machines.heartbeat.get::<Disk>();
    let mut who = Vec::new();
    if local {
        let regions = machines.heartbeat.layer.regions();
        let mut beating = regions.filter(|region| disk.is_some_and(|disk| disk.device(region.id).is_some()));
        if let Some(one) = beating.next() {
            who.push(match beating.count() {
                0 => format!("region {} heartbeats", one.name),
                more => format!("region {} and {more} more heartbeat", one.name),
            });
        }
    }
    let holders = consumers.holders(item);
    match holders {
        0 if who.is_empty() => who.push("global heartbeat is in use".into()),
        0 => {}
        1 => who.push("1 consumer holds".into()),
        many => who.push(format!("{many} consumers hold")),
    }
    Some(who.join(", "))
}

fn missing(node: &Node, refusal: Refusal) -> String {
    let wanted = [
        ("ipv4_address", node.address.is_none()),
        ("ipv4_port", node.port.is_none()),
        ("num", node.num.is_none() && refusal == Refusal::LocalNeedsAll),
    ];
    let names: Vec<_> = wanted.into_iter().filter_map(|(name, missing)| missing.then_some(name)).collect();
    format!("{} missing", names.join(" and "))
}

fn local_or_starting(cluster: &Cluster) -> Option<&Name> {
    cluster.local().or_else(|| cluster.starting()).map(|node| &node.name)
}

/// Why the local node's address could not be listened on.
fn not_bound(errno: Errno, address: &str, port: u16) -> String {
    match errno {
        Errno::EADDRNOTAVAIL => format!("the address {address} is not one of this machine's"),
        Errno::EADDRINUSE => format!("port {port} of {address} is in use by another process"),
        Errno::EACCES => format!("port {port} of {address} needs privileges"),
        _ => format!("port {port} of {address} cannot be listened on"),
    }
}

#[cfg(test)]
mod tests;
