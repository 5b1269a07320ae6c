//! The facts behind a refusal, for its line in the log: who has the number, what is missing, what exists already. A
//! refused call has changed nothing, so they can be found out afterwards.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::consumers::Consumers;
use crate::error::{Errno, Refusal};
use crate::heartbeat::Disk;
use crate::heartbeat::disk::DiskPhase;
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
    /// A refusal that comes from the driver, and what that knows of it.
    pub(crate) told: Option<(Refusal, Option<&'a str>)>,
}

impl<'a> Refused<'a> {
    /// None for calls whose refusals have no details.
    pub(crate) fn of(op: &Op<'a>, items: &Items) -> Option<Self> {
        let mut told = None;
        let (item, value, target) = match *op {
            Op::Store { item, data, .. } => (item, data, None),
            Op::Mkdir { dir, name } | Op::Forbidden { dir, name, .. } => (dir, name, None),
            Op::Rmdir { dir, name } => match items.child(dir, name)? {
                Object::Dir(item) => (item, name, None),
                Object::Attribute(..) | Object::Link(_) => return None,
            },
            Op::Symlink { dir, name, target } => match target {
                Ok(Object::Dir(target)) => (dir, name, Some(target)),
                Ok(Object::Attribute(..) | Object::Link(_)) => (dir, name, None),
                Err(NoTarget { refusal, detail }) => {
                    told = Some((refusal, detail));
                    (dir, name, None)
                }
            },
            Op::Lookup { .. }
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
        return detail.map(Into::into);
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
            let first = below(items, item, first);
            Some(match count {
                1 => first,
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
        Refusal::KeyTaken => {
            let other = machines.heartbeat.get::<Disk>()?.with_the_key_of(&Name::new(value).ok()?)?;
            Some(machines.heartbeat.layer.by_id(other)?.name.to_string())
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
        Refusal::RegionStarted => {
            let disk = machines.heartbeat.get::<Disk>()?;
            match (disk.phase(item)?, disk.device(item)) {
                (DiskPhase::Stopping, _) => Some("it still writes its last block".into()),
                (_, Some(device)) => Some(format!("on {device}")),
                (_, None) => Some("its device is being opened".into()),
            }
        }
        Refusal::RegionIncomplete => {
            let (block_bytes, start_block, blocks) = machines.heartbeat.get::<Disk>()?.numbers(item)?;
            let wanted = [
                ("block_bytes", block_bytes == 0),
                ("start_block", start_block == 0),
                ("blocks", blocks == 0),
            ];
            Some(format!("{} still 0", names(wanted)))
        }
        Refusal::BeyondBlocks => {
            let (_, _, blocks) = machines.heartbeat.get::<Disk>()?.numbers(item)?;
            Some(format!("it is {}, and the slots 0 to {}", cluster?.local()?.num?, blocks.checked_sub(1)?))
        }
        Refusal::WrongBlockSize(device) => {
            let (block_bytes, ..) = machines.heartbeat.get::<Disk>()?.numbers(item)?;
            Some(format!("{device} instead of {block_bytes}"))
        }
        Refusal::TargetMissing => {
            target.filter(|target| items.dropping(*target)).map(|_| "it is being removed".into())
        }
        Refusal::StackInUse => Some(hold(consumers.holding())),
        Refusal::LinkNotToNode => Some(format!("a {}", items.kind(target?)?.name)),
        Refusal::NodeLinked => {
            let twin = items.children(item).find(|link| items.target(*link) == target)?;
            Some(format!("as {}", items.name(twin)?))
        }
        Refusal::System(errno) if items.kind(item)?.is(&NODE) => {
            let Node { address, port, .. } = node?;
            Some(not_bound(errno, &address.as_ref()?.to_string(), (*port)?))
        }
        // Only its `dev` asks something of the system.
        Refusal::System(_) if machines.heartbeat.layer.by_id(item).is_some() => {
            Some("opening the device failed".into())
        }
        Refusal::System(_) => None,
        Refusal::NoSuchEntry
        | Refusal::Gone
        | Refusal::BeingRemoved
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
        | Refusal::TargetNotADirectory
        | Refusal::TargetOutside
        | Refusal::TargetIsRoot
        | Refusal::TargetLoop
        | Refusal::TargetTooLong
        | Refusal::TargetDenied
        | Refusal::CallerHidden
        | Refusal::ReadOnly
        | Refusal::WriteOnly
        | Refusal::SizeTooBig
        | Refusal::NotANumber
        | Refusal::NotDecimal
        | Refusal::NotStrictNumber
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
        | Refusal::NotABlockDevice
        | Refusal::Unreadable
        | Refusal::Unstable
        | Refusal::StartInterrupted
        | Refusal::StartStopped
        | Refusal::NoSuchRegion
        | Refusal::NodeUnnumbered
        | Refusal::BadMask
        | Refusal::BadStackLabel
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
    match consumers.holders(item) {
        0 if who.is_empty() => who.push("global heartbeat is in use".into()),
        0 => {}
        holders => who.push(hold(holders)),
    }
    Some(who.join(", "))
}

fn hold(consumers: usize) -> String {
    match consumers {
        1 => "1 consumer holds".into(),
        many => format!("{many} consumers hold"),
    }
}

/// The path of an entry below a directory.
fn below(items: &Items, dir: ItemId, entry: ItemId) -> String {
    let (above, path) = (items.path(dir), items.path(entry));
    let rest = path.strip_prefix(&above[..]).unwrap_or(&path);
    crate::name::printable(rest.strip_prefix(b"/").unwrap_or(rest))
}

/// Those of which it is true.
fn names<const N: usize>(wanted: [(&str, bool); N]) -> String {
    let names: Vec<_> = wanted.into_iter().filter_map(|(name, named)| named.then_some(name)).collect();
    match &names[..] {
        [first, middle, last] => format!("{first}, {middle} and {last}"),
        few => few.join(" and "),
    }
}

fn missing(node: &Node, refusal: Refusal) -> String {
    let wanted = [
        ("ipv4_address", node.address.is_none()),
        ("ipv4_port", node.port.is_none()),
        ("num", node.num.is_none() && refusal == Refusal::LocalNeedsAll),
    ];
    format!("{} missing", names(wanted))
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
