//! Events and errors as JSON.

use serde_json::{Value, json};
use uo2cb_core::heartbeat::{Cause, Event, NodeName};
use uo2cb_core::{Errno, Note, Refusal, Topic};

use crate::daemon::clock::{unix_now, utc};
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

/// `left_out`: how many before it were, because the client did not read.
pub(super) fn note(topic: Topic, note: &Note, left_out: u64) -> Value {
    json!({"note": {
        "time": utc(unix_now()),
        "about": topic.word(),
        "text": note.to_string(),
        "left_out": left_out,
    }})
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
