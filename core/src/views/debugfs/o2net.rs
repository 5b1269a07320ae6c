//! What the kernel shows under /sys/kernel/debug/o2net: the connections.

use alloc::vec::Vec;

use super::file;
use crate::machines::Machines;
use crate::net::{PeerPhase, PeerStatus, Place};
use crate::text::line;
use crate::time::Instant;
use crate::tree::{Kind, files};

files! {
    /// Files of o2net.
    pub(super) enum File {
        ConnectedNodes = file("connected_nodes"),
        Stats = file("stats"),
        SockContainers = file("sock_containers"),
        SendTracking = file("send_tracking"),
    }
}

pub(super) static O2NET: Kind =
    Kind { name: "o2net", makes: false, links: false, attributes: File::ATTRIBUTES };

/// Text of a file.
pub(super) fn show(machines: &Machines, file: File, out: &mut Vec<u8>) {
    match file {
        File::ConnectedNodes => line(out, machines.net.connected()),
        File::Stats => machines.net.status().filter(has_socket).for_each(|peer| stats(&peer, out)),
        File::SockContainers => {
            machines.net.status().filter(has_socket).for_each(|peer| container(machines, &peer, out));
        }
        // Sends that wait in the kernel have a thread each; here none does.
        File::SendTracking => {}
    }
}

fn has_socket(peer: &PeerStatus) -> bool {
    peer.made.is_some()
}

/// Version of the format, node, requests sent, three times of sending, requests handled, time of handling. Nobody waits
/// while something is sent or handled here, so the times are 0.
fn stats(peer: &PeerStatus, out: &mut Vec<u8>) {
    let counters = peer.counters;
    line(out, format_args!("1,{},{},0,0,0,{},0", peer.num, counters.sent, counters.received));
}

fn container(machines: &Machines, peer: &PeerStatus, out: &mut Vec<u8>) {
    let cluster = machines.nodes.cluster();
    let own = cluster.and_then(|cluster| cluster.local()).and_then(Place::of);
    let node = machines.nodes.node_by_num(peer.num).and_then(Place::of);
    let (Some(own), Some(node), Some(made)) = (own, node, peer.made) else { return };
    let chosen = peer.port.unwrap_or_default();
    let (here, there) = if made { (chosen, node.port) } else { (own.port, chosen) };
    let usecs = |at: Option<Instant>| at.map_or(0, |at: Instant| at.since_start().as_micros());
    let (heard, last) = (usecs(peer.heard), peer.counters.last);
    let good = matches!(peer.phase, PeerPhase::Connected | PeerPhase::Silent);
    let handled = usecs(last.map(|last| last.at));
    let kind = last.map(|last| last.kind);
    // The kernel has an address of its memory here, or `(____ptrval____)`: of no use to its readers, as this.
    line(out, format_args!("{}:", peer.num));
    line(out, "  krefs:           2");
    line(out, format_args!("  sock:            {}:{here} -> {}:{there}", own.address, node.address));
    line(out, format_args!("  remote node:     {}", node.name));
    line(out, format_args!("  page off:        {}", peer.inbox));
    line(out, format_args!("  handshake ok:    {}", u8::from(good)));
    line(out, format_args!("  timer:           {} usecs", usecs(peer.idle_since)));
    for name in ["data ready:      ", "advance start:   ", "advance stop:    "] {
        line(out, format_args!("  {name}{heard} usecs"));
    }
    for name in ["func start:      ", "func stop:       "] {
        line(out, format_args!("  {name}{handled} usecs"));
    }
    line(out, format_args!("  func key:        0x{:08x}", kind.map_or(0, |kind| kind.key)));
    line(out, format_args!("  func type:       {}", kind.map_or(0, |kind| kind.message)));
}
