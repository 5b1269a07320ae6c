//! Connections and quorum in lines.

use std::fmt::{Result, Write};

use serde_json::Value;

use super::super::{each, text};

/// Nothing where this node does not listen.
pub(super) fn write(out: &mut String, status: &Value) -> Result {
    let Some(net) = status.get("net").filter(|net| net.get("listens") == Some(&Value::Bool(true))) else {
        return Ok(());
    };
    for peer in each(net, "peers") {
        writeln!(out, "peer       {} {}", node(peer), state(peer))?;
        if let Some(warning) = peer.get("warning").and_then(Value::as_str) {
            writeln!(out, "  warning  {warning}")?;
        }
        if let Some(left) = number(peer, "decision_in_ms") {
            writeln!(out, "  warning  quorum decides in {} s, unless something is heard", seconds(left))?;
        }
    }
    let Some(quorum) = status.get("quorum").filter(|quorum| quorum.is_object()) else { return Ok(()) };
    // One node alone has nothing to decide.
    if each(net, "peers").next().is_some() {
        let (heartbeating, connected) = (numbers(quorum, "heartbeating"), numbers(quorum, "connected"));
        writeln!(out, "quorum     heartbeating {heartbeating}; connected {connected}")?;
    }
    let waits =
        if quorum.get("pending") == Some(&Value::Bool(true)) { "; a decision waits for this" } else { "" };
    // A node without a region is held itself: as long as nobody waits for that, it is none of anybody's business.
    let matters = |hold: &&Value| {
        let own = each(status.get("cluster").unwrap_or(&Value::Null), "nodes")
            .any(|node| node.get("local") == Some(&Value::Bool(true)) && node.get("num") == hold.get("num"));
        !own || !waits.is_empty()
    };
    for hold in each(quorum, "holds").filter(matters) {
        let held = number(hold, "for_ms").unwrap_or(0);
        writeln!(out, "  hold     {} for {} s: {}{waits}", node(hold), seconds(held), text(hold, "why"))?;
    }
    if let Some(decided) = quorum.get("decided").filter(|decided| decided.is_object()) {
        writeln!(out, "  decided  {}: {}", text(decided, "time"), text(decided, "text"))?;
    }
    Ok(())
}

/// Name and number; the name of a node that is not configured any more is not known.
fn node(of: &Value) -> String {
    let num = of.get("num").unwrap_or(&Value::Null);
    match of.get("name").and_then(Value::as_str) {
        Some(name) => format!("{name} ({num})"),
        None => format!("node {num}"),
    }
}

fn state(peer: &Value) -> String {
    let since = || text(peer, "since");
    let heard = || {
        let ago = number(peer, "heard_ms_ago").unwrap_or(0);
        format!("last heard of {} s ago", seconds(ago))
    };
    match text(peer, "phase") {
        "none" => "not connected".into(),
        "connecting" => format!("being connected to since {}", since()),
        "handshake" => format!("connected, without a handshake since {}", since()),
        "lost" => "not connected any more".into(),
        phase => {
            let by =
                if peer.get("made") == Some(&Value::Bool(true)) { "by this node" } else { "by that node" };
            format!("{phase}, {by}, since {}; {}", since(), heard())
        }
    }
}

fn number(of: &Value, key: &str) -> Option<u64> {
    of.get(key).and_then(Value::as_u64)
}

/// With one decimal place.
fn seconds(ms: u64) -> String {
    format!("{}.{}", ms / 1000, ms % 1000 / 100)
}

fn numbers(of: &Value, key: &str) -> String {
    let all: Vec<_> = each(of, key).map(Value::to_string).collect();
    if all.is_empty() { "nobody".into() } else { all.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(status: &Value) -> String {
        let mut out = String::new();
        write(&mut out, status).unwrap();
        out
    }

    #[test]
    fn nothing_of_a_node_that_does_not_listen_or_is_alone() {
        assert_eq!(shown(&json!({})), "");
        assert_eq!(shown(&json!({"net": {"listens": false, "peers": []}})), "");
        let quorum =
            json!({"heartbeating": [0], "connected": [0], "holds": [], "pending": false, "decided": null});
        assert_eq!(shown(&json!({"net": {"listens": true, "peers": []}, "quorum": quorum})), "");
    }

    #[test]
    fn peers_holds_and_decisions() {
        let peers = json!([
            {"num": 1, "name": "n1", "phase": "silent", "made": true, "since": "T", "heard_ms_ago": 6049,
             "warning": "silent for 6049 ms of 5000 ms idle timeout", "decision_in_ms": 12_900},
            {"num": 2, "name": null, "phase": "none"},
            {"num": 3, "name": "n3", "phase": "connected", "made": false, "since": "U", "heard_ms_ago": 40}]);
        let quorum = json!({"heartbeating": [0, 1, 2, 3], "connected": [0, 3], "pending": true,
            "holds": [{"num": 1, "name": "n1", "for_ms": 1_049, "why": "W"}],
            "decided": {"time": "V", "fences": false, "text": "not fencing this node"}});
        assert_eq!(
            shown(&json!({"net": {"listens": true, "peers": peers}, "quorum": quorum})),
            "peer       n1 (1) silent, by this node, since T; last heard of 6.0 s ago\n  \
             warning  silent for 6049 ms of 5000 ms idle timeout\n  \
             warning  quorum decides in 12.9 s, unless something is heard\n\
             peer       node 2 not connected\n\
             peer       n3 (3) connected, by that node, since U; last heard of 0.0 s ago\n\
             quorum     heartbeating 0 1 2 3; connected 0 3\n  \
             hold     n1 (1) for 1.0 s: W; a decision waits for this\n  \
             decided  V: not fencing this node\n"
        );
        assert_eq!(shown(&json!({"net": {"listens": true, "peers": []}, "quorum": Value::Null})), "");
    }
}
