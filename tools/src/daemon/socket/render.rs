//! State and events as JSON.

use std::time::Duration;

use serde_json::{Value, json};
use uo2cb_core::heartbeat::{Cause, Event, NodeName};
use uo2cb_core::{DiskStatus, Errno, Instant, Refusal, Status};

use crate::control::About;
use crate::daemon::clock::utc;
use crate::daemon::monitor::UpIn;

pub(super) fn event(event: &Event) -> Value {
    let (cause, pid) = match event.cause {
        Cause::Linked(pid) => ("linked", Some(pid)),
        Cause::Unlinked(pid) => ("unlinked", Some(pid)),
        Cause::Beats => ("beats", None),
        Cause::Silent => ("silent", None),
        Cause::Restarted => ("restarted", None),
        Cause::Stopped => ("stopped", None),
    };
    json!({"event": {
        "number": event.number,
        "time": utc(event.at),
        "edge": event.edge.to_string(),
        "node": node(&event.node),
        "region": event.region.as_ref().map(|region| region.name.to_string()),
        "cause": cause,
        "pid": pid,
        "text": event.to_string(),
    }})
}

fn disk(disk: &DiskStatus, now: Instant) -> Value {
    json!({
        "device": disk.device,
        "pid": disk.pid,
        "block_bytes": disk.block_bytes,
        "start_block": disk.start_block,
        "blocks": disk.blocks,
        "steady": disk.steady,
        "beats_left": disk.beats_left,
        "beats_limit": disk.beats_limit,
        "elapsed_time_in_ms": disk.last_good.map(|good| now.since(good).as_millis() as u64),
        "write_timeout_in_ms": disk.write_timeout.as_millis() as u64,
    })
}

fn node(node: &NodeName) -> Value {
    json!({"name": node.name.to_string(), "num": node.num.get()})
}

pub(super) fn up(up: &[UpIn]) -> Value {
    let region = |up: &UpIn| up.region.as_ref().map(ToString::to_string);
    let one = |up: &UpIn| json!({"region": region(up), "node": node(&up.node), "since": utc(up.since)});
    up.iter().map(one).collect()
}

pub(super) fn refusal(refusal: Refusal) -> Value {
    json!({"error": {"message": refusal.rule(), "errno": errno(refusal.errno())}})
}

fn errno(errno: Errno) -> String {
    errno.to_string()
}

pub(super) fn error(message: &str) -> Value {
    json!({"error": {"message": message}})
}

pub(super) fn status(status: &Status, now: Instant, waiting: usize, about: &About) -> Value {
    let since = |(node, since): &(NodeName, Duration)| json!({"name": node.name.to_string(), "num": node.num.get(), "since": utc(*since)});
    let cluster = status.cluster.as_ref().map(|cluster| {
        let nodes: Vec<_> = cluster
            .nodes
            .iter()
            .map(|node| {
                json!({
                    "name": node.name.to_string(),
                    "num": node.num.map(uo2cb_core::NodeNum::get),
                    "ipv4_address": node.address.map(|address| address.to_string()),
                    "ipv4_port": node.port,
                    "local": node.local,
                    "up": node.num.is_some_and(|num| cluster.up.contains(num)),
                })
            })
            .collect();
        json!({
            "name": cluster.name.to_string(),
            "fence_method": cluster.fence_method.word(),
            "nodes": nodes,
        })
    });
    let regions: Vec<_> = status
        .regions
        .iter()
        .map(|region| {
            json!({
                "name": region.name.to_string(),
                "method": region.method,
                "holds": region.holds,
                "disk": region.disk.as_ref().map(|of| disk(of, now)),
                "up": region.up.iter().map(since).collect::<Vec<_>>(),
            })
        })
        .collect();
    let mut members = about.members();
    let Value::Object(stack) = json!({
        "heartbeat_mode": status.method,
        "heartbeat_available_modes": status.methods,
        "cluster": cluster,
        "regions": regions,
        "consumers": status.consumers,
        "waiting": waiting,
    }) else {
        unreachable!("an object")
    };
    members.extend(stack);
    json!({"status": members})
}
