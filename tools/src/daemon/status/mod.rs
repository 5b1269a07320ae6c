//! The answer to `status`: what the stack, its disks and its log have to say, as one line of JSON.
//!
//! The stack is read in parts, each in a short hold of the monitor, and a part is a state that has been; the text is made
//! outside. It grows with the number of regions and of the nodes in them, and with nothing else.

#[cfg(test)]
mod figures;
mod net;
mod regions;
#[cfg(test)]
mod tests;
mod text;

use std::io::Write;

use serde_json::{Map, Value, json};
use uo2cb_core::{Engine, NodeNum, Now, Status};

use self::net::Moment;
use self::regions::{Regions, ms};
use super::clock::utc;
use super::monitor::Monitor;

/// Regions that are read in one hold of the monitor.
const PART: usize = 16;

/// The line for a node; `members` are what is to be said of it beside its stack.
pub(crate) fn line(monitor: &Monitor, mut members: Map<String, Value>) -> Vec<u8> {
    let overview = monitor.read(Engine::overview);
    members.extend(stack(&overview));
    let Now { mono: now, unix } = monitor.moment();
    let moment = Moment { now, unix };
    members.insert("net".into(), net::net(&overview, moment));
    members.insert("quorum".into(), net::quorum(&overview, moment));
    members.insert("waiting".into(), monitor.waiting().into());
    members.insert("log".into(), monitor.notes.place().map_or(Value::Null, Value::from));
    members.insert("refusals".into(), refusals(monitor));
    members.insert("last_fence".into(), last_fence(monitor));
    let mut out = Vec::with_capacity(4096);
    out.extend_from_slice(b"{\"status\":{");
    for (name, value) in &members {
        // Writing to a Vec cannot fail, nor have these values keys that are no strings.
        let _ = serde_json::to_writer(&mut out, name);
        out.push(b':');
        let _ = serde_json::to_writer(&mut out, value);
        out.push(b',');
    }
    out.extend_from_slice(b"\"regions\":[");
    let mut regions = Regions::default();
    let mut after = None;
    loop {
        let part = monitor.read(|engine| engine.regions_after(after, PART));
        let Some(last) = part.last() else { break };
        after = Some(last.id);
        let now = monitor.now();
        for region in &part {
            let place = region.disk.as_ref().and_then(|_| monitor.disks.place(region.id));
            regions.write(&mut out, region, place.as_deref(), now);
        }
    }
    let _ = out.write_all(b"]}}\n");
    out
}

fn stack(status: &Status) -> Map<String, Value> {
    let cluster = status.cluster.as_ref().map(|cluster| {
        let node = |node: &uo2cb_core::NodeStatus| {
            json!({
                "name": node.name.to_string(),
                "num": node.num.map(NodeNum::get),
                "ipv4_address": node.address.map(|address| address.to_string()),
                "ipv4_port": node.port,
                "local": node.local,
                "up": node.num.is_some_and(|num| cluster.up.contains(num)),
            })
        };
        json!({
            "name": cluster.name.to_string(),
            "fence_method": cluster.fence_method.word(),
            "idle_timeout_ms": ms(cluster.idle_timeout),
            "keepalive_delay_ms": ms(cluster.keepalive_delay),
            "reconnect_delay_ms": ms(cluster.reconnect_delay),
            "nodes": cluster.nodes.iter().map(node).collect::<Vec<_>>(),
        })
    });
    let stopping = status
        .stopping
        .iter()
        .map(|of| json!({"region": of.region.to_string(), "device": of.device}))
        .collect::<Vec<_>>();
    let members = [
        ("heartbeat_mode", json!(status.method)),
        ("heartbeat_available_modes", json!(status.methods)),
        ("cluster", json!(cluster)),
        ("stopping", json!(stopping)),
        ("consumers", json!(status.consumers)),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn refusals(monitor: &Monitor) -> Value {
    let refusals = monitor.notes.refusals();
    refusals.iter().map(|one| json!({"time": utc(one.at), "line": one.line, "times": one.times})).collect()
}

fn last_fence(monitor: &Monitor) -> Value {
    let fence = monitor.record.get().and_then(|record| record.earlier());
    fence.map_or(Value::Null, |fence| json!({"time": fence.time, "pid": fence.pid, "why": fence.why}))
}
