//! `uo2cb status`.

mod network;

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
    network::write(out, status)?;
    for region in each(status, "regions") {
        write_region(out, region)?;
    }
    for stopping in each(status, "stopping") {
        writeln!(
            out,
            "stopping   {} ({}) writes its last block",
            text(stopping, "region"),
            text(stopping, "device")
        )?;
    }
    let consumers = status.get("consumers").unwrap_or(&Value::Null);
    writeln!(out, "consumers  {consumers}")?;
    if let Some(log) = status.get("log").and_then(Value::as_str) {
        writeln!(out, "log        {log}")?;
    }
    for refused in each(status, "refusals") {
        let times = refused.get("times").and_then(Value::as_u64).filter(|times| *times > 1);
        let times = times.map_or_else(String::new, |times| format!(" ({times} times in a row)"));
        writeln!(out, "refused    {} {}{times}", text(refused, "time"), text(refused, "line"))?;
    }
    if let Some(fence) = status.get("last_fence").filter(|fence| fence.is_object()) {
        let pid = fence.get("pid").unwrap_or(&Value::Null);
        writeln!(out, "last fence {}, pid {pid}: {}", text(fence, "time"), text(fence, "why"))?;
    }
    Ok(())
}

fn write_region(out: &mut String, region: &Value) -> std::fmt::Result {
    let count = |key| region.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (holds, pins) = (count("holds"), count("pins"));
    let held = if holds > 0 { format!(", held by {holds}") } else { String::new() };
    let pinned = if pins > 0 && pins != holds { ", pinned" } else { "" };
    writeln!(out, "region     {} ({}){held}{pinned}", text(region, "name"), text(region, "method"))?;
    match region.get("disk").filter(|disk| disk.is_object()) {
        Some(disk) => {
            let number = |key| disk.get(key).unwrap_or(&Value::Null);
            let path = disk.get("path").and_then(Value::as_str);
            let path = path.map_or_else(String::new, |path| format!(" of {path}"));
            let deleted = if disk.get("deleted") == Some(&Value::Bool(true)) { " (deleted)" } else { "" };
            writeln!(
                out,
                "  disk     {}, {}; {} slots of {} bytes from block {}{path}{deleted}",
                text(disk, "device"),
                state(text(region, "phase"), disk),
                number("blocks"),
                number("block_bytes"),
                number("start_block"),
            )?;
            for warning in each(disk, "warnings").filter_map(Value::as_str) {
                writeln!(out, "  warning  {warning}")?;
            }
        }
        None => {
            if let Some(phase) = region.get("phase").and_then(Value::as_str) {
                writeln!(out, "  disk     {}", without_device(phase))?;
            }
        }
    }
    for up in each(region, "up") {
        let configured = up.get("configured") != Some(&Value::Bool(false));
        let mark = if configured { "" } else { ", not configured" };
        writeln!(out, "  up       {} since {}{mark}", node(up), text(up, "since"))?;
    }
    Ok(())
}

/// A region whose device is not open.
fn without_device(phase: &str) -> &str {
    match phase {
        "incomplete" => "none: it does not beat; block_bytes, start_block or blocks is missing",
        "no device" => "none: it does not beat, dev has not been written",
        "opening" => "being opened",
        "stopping" => "stopping: writes its last block",
        other => other,
    }
}

/// How far a region is.
fn state(phase: &str, disk: &Value) -> String {
    let ms = |key| disk.get(key).and_then(Value::as_u64).unwrap_or(0);
    match phase {
        "reading" => "its slots are being read".into(),
        "starting" => {
            // Rounded to what includes it.
            let (least, most) = (ms("start_at_least_in_ms") / 1000, ms("start_at_most_in_ms").div_ceil(1000));
            format!(
                "starting: {} good beats of at most {} left, which takes {least} to {most} s",
                ms("beats_left"),
                ms("beats_limit")
            )
        }
        "silent" => {
            format!("silent for {} ms of {} ms write timeout", ms("silent_in_ms"), ms("write_timeout_in_ms"))
        }
        other => other.into(),
    }
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
            "regions": [{"name": "D", "method": "disk", "holds": 0, "up": [], "phase": "steady", "disk": {
                "device": "vda", "pid": 8, "block_bytes": 512, "start_block": 1, "blocks": 255, "steady": true}},
                {"name": "R", "method": "user", "holds": 2, "pins": 2, "up": [{"name": "n1", "num": 1, "since": "T"}]}],
        });
        assert_eq!(
            lines(&status),
            "uo2cb 0.1.0, pid 7, since S\nconfig     /c\nheartbeat  user (of disk, user)\n\
             cluster    c, fence method reset\n  node     n1 (1) 127.0.0.1:7777, local, up\n  \
             node     n2 (-) -:-\nregion     D (disk)\n  disk     vda, steady; 255 slots of 512 bytes \
             from block 1\nregion     R (user), held by 2\n  up       n1 (1) since T\nconsumers  1\n"
        );
        assert!(lines(&json!({"cluster": null})).contains("no cluster\n"));
    }
    #[test]
    fn regions_in_lines() {
        let shown = |region: Value| {
            let mut out = String::new();
            write_region(&mut out, &region).unwrap();
            out
        };
        for (phase, words) in [
            ("incomplete", "none: it does not beat; block_bytes, start_block or blocks is missing"),
            ("no device", "none: it does not beat, dev has not been written"),
            ("opening", "being opened"),
            ("stopping", "stopping: writes its last block"),
        ] {
            let text = shown(json!({"name": "R", "method": "disk", "phase": phase, "disk": null}));
            assert_eq!(text, format!("region     R (disk)\n  disk     {words}\n"));
        }
        let text = shown(json!({"name": "R", "method": "user", "phase": null, "disk": null}));
        assert_eq!(text, "region     R (user)\n");
        let disk = json!({"device": "disk.img", "path": "/a/disk.img", "deleted": true, "blocks": 8,
            "block_bytes": 512, "start_block": 1, "silent_in_ms": 3100, "write_timeout_in_ms": 60_000,
            "warnings": ["the own slot was emptied"]});
        let up = json!([{"name": "n2", "num": 2, "since": "T", "configured": false}]);
        assert_eq!(
            shown(
                json!({"name": "R", "method": "disk", "phase": "silent", "disk": disk, "pins": 1, "up": up})
            ),
            "region     R (disk), pinned\n  disk     disk.img, silent for 3100 ms of 60000 ms write \
             timeout; 8 slots of 512 bytes from block 1 of /a/disk.img (deleted)\n  warning  the own slot was emptied\n  \
             up       n2 (2) since T, not configured\n"
        );
        let starting = json!({"beats_left": 2, "beats_limit": 7, "start_at_least_in_ms": 2900,
            "start_at_most_in_ms": 12_100});
        assert_eq!(
            state("starting", &starting),
            "starting: 2 good beats of at most 7 left, which takes 2 to 13 s"
        );
        assert_eq!(state("reading", &json!({})), "its slots are being read");
    }

    #[test]
    fn what_went_wrong_in_lines() {
        let status = json!({"cluster": null, "consumers": 0, "log": "/l",
            "stopping": [{"region": "R", "device": "vda"}],
            "refusals": [{"time": "T", "line": "rmdir x: no", "times": 1},
                {"time": "U", "line": "mkdir y: no", "times": 3}],
            "last_fence": {"time": "V", "pid": 9, "why": "fenced: no good beat"}});
        let text = lines(&status);
        let (_, end) = text.split_once("no cluster\n").unwrap();
        assert_eq!(
            end,
            "stopping   R (vda) writes its last block\nconsumers  0\nlog        /l\nrefused    T rmdir x: no\n\
             refused    U mkdir y: no (3 times in a row)\nlast fence V, pid 9: fenced: no good beat\n"
        );
    }
}
