//! `uo2cb status`.

use std::fmt::Write;

use clap::Args;
use serde_json::Value;

use super::{Fail, Which, each, node, say, text};

/// Show cluster, nodes and regions: who is up where, since when
#[derive(Args)]
pub(crate) struct Status {
    /// As one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

impl Status {
    pub(crate) fn run(self) -> Result<(), Fail> {
        let status = self.which.connect()?.status()?;
        say(&if self.json { format!("{status}\n") } else { lines(&status) });
        Ok(())
    }
}

fn lines(status: &Value) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_lines(&mut out, status);
    out
}

fn write_lines(out: &mut String, status: &Value) -> std::fmt::Result {
    let pid = status.get("pid").unwrap_or(&Value::Null);
    writeln!(out, "uo2cb {}, pid {pid}, since {}", text(status, "version"), text(status, "since"))?;
    for (view, dir) in status.get("mounts").and_then(Value::as_object).into_iter().flatten() {
        let hidden = status.get("hidden").and_then(|hidden| hidden.get(view)).and_then(Value::as_str);
        let hidden = hidden.map_or_else(String::new, |why| format!(", hidden: {why}"));
        writeln!(out, "{view:<10} {}{hidden}", dir.as_str().unwrap_or("-"))?;
    }
    let modes: Vec<_> = each(status, "heartbeat_available_modes").filter_map(Value::as_str).collect();
    writeln!(out, "heartbeat  {} (of {})", text(status, "heartbeat_mode"), modes.join(", "))?;
    match status.get("cluster").filter(|cluster| cluster.is_object()) {
        None => writeln!(out, "no cluster")?,
        Some(cluster) => {
            writeln!(
                out,
                "cluster    {}, fence method {}",
                text(cluster, "name"),
                text(cluster, "fence_method")
            )?;
            for one in each(cluster, "nodes") {
                let flag = |key| one.get(key).and_then(Value::as_bool).unwrap_or(false);
                let port = one.get("ipv4_port").filter(|port| port.is_number());
                let port = port.map_or_else(|| "-".into(), Value::to_string);
                let num = one.get("num").filter(|num| num.is_number());
                let num = num.map_or_else(|| "-".into(), Value::to_string);
                writeln!(
                    out,
                    "  node     {} ({num}) {}:{port}{}{}",
                    text(one, "name"),
                    text(one, "ipv4_address"),
                    if flag("local") { ", local" } else { "" },
                    if flag("up") { ", up" } else { "" },
                )?;
            }
        }
    }
    for region in each(status, "regions") {
        let holds = region.get("holds").and_then(Value::as_u64).unwrap_or(0);
        let held = if holds > 0 { format!(", held by {holds}") } else { String::new() };
        writeln!(out, "region     {} ({}){held}", text(region, "name"), text(region, "method"))?;
        if let Some(disk) = region.get("disk").filter(|disk| disk.is_object()) {
            let state = state(disk);
            let number = |key| disk.get(key).unwrap_or(&Value::Null);
            writeln!(
                out,
                "  disk     {}, {state}; {} slots of {} bytes from block {}",
                text(disk, "device"),
                number("blocks"),
                number("block_bytes"),
                number("start_block"),
            )?;
        }
        for up in each(region, "up") {
            writeln!(out, "  up       {} since {}", node(up), text(up, "since"))?;
        }
    }
    let consumers = status.get("consumers").unwrap_or(&Value::Null);
    writeln!(out, "consumers  {consumers}")
}

/// Good beats are two seconds apart; a region whose last one is further away than this hangs.
const LATE: u64 = 5000;

/// What a region does on its disk.
fn state(disk: &Value) -> String {
    let number = |key| disk.get(key).and_then(Value::as_u64);
    let (left, limit) = (number("beats_left").unwrap_or(0), number("beats_limit").unwrap_or(0));
    let elapsed = number("elapsed_time_in_ms").unwrap_or(0);
    let seconds = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
    if !disk.get("steady").and_then(Value::as_bool).unwrap_or(false) {
        return format!("starting, {left} more good beats of at most {limit}");
    }
    if elapsed < LATE {
        return "steady".into();
    }
    let timeout = number("write_timeout_in_ms").unwrap_or(0);
    format!("no good write for {} (write timeout {})", seconds(elapsed), seconds(timeout))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_in_lines() {
        let status = json!({
            "version": "0.1.0", "pid": 7, "since": "S", "mounts": {"config": "/c"}, "consumers": 1,
            "heartbeat_mode": "user", "heartbeat_available_modes": ["disk", "user"],
            "cluster": {"name": "c", "fence_method": "reset", "nodes": [
                {"name": "n1", "num": 1, "ipv4_address": "127.0.0.1", "ipv4_port": 7777, "local": true, "up": true},
                {"name": "n2", "num": null, "ipv4_address": null, "ipv4_port": null, "local": false, "up": false}]},
            "regions": [{"name": "D", "method": "disk", "holds": 0, "up": [], "disk": {"device": "vda",
                "pid": 8, "block_bytes": 512, "start_block": 1, "blocks": 255, "steady": true}},
                {"name": "R", "method": "user", "holds": 2, "up": [{"name": "n1", "num": 1, "since": "T"}]}],
        });
        assert_eq!(
            lines(&status),
            "uo2cb 0.1.0, pid 7, since S\nconfig     /c\nheartbeat  user (of disk, user)\n\
             cluster    c, fence method reset\n  node     n1 (1) 127.0.0.1:7777, local, up\n  \
             node     n2 (-) -:-\nregion     D (disk)\n  disk     vda, steady; 255 slots of 512 bytes \
             from block 1\nregion     R (user), held by 2\n  up       n1 (1) since T\nconsumers  1\n"
        );
        let shown = |disk: Value| state(&disk);
        assert_eq!(shown(json!({"steady": true, "elapsed_time_in_ms": 2004})), "steady");
        assert_eq!(
            shown(json!({"steady": true, "elapsed_time_in_ms": 7049, "write_timeout_in_ms": 12_000})),
            "no good write for 7.0 s (write timeout 12.0 s)"
        );
        let starting =
            json!({"steady": false, "beats_left": 2, "beats_limit": 7, "elapsed_time_in_ms": null});
        assert_eq!(shown(starting), "starting, 2 more good beats of at most 7");
        assert!(lines(&json!({"cluster": null})).contains("no cluster\n"));
    }
}
