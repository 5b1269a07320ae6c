//! Regions as JSON.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use uo2cb_core::heartbeat::NodeName;
use uo2cb_core::heartbeat::disk::{DiskStatus, Findings};
use uo2cb_core::{DiskPhase, Instant, Name, NodeSet, RegionStatus};

use super::super::clock::utc;
use super::text::{self, Times};

/// Bytes of a node with a short name.
const MEMBER: usize = 72;

/// Writes one region after the other, and remembers what most of them have in common.
#[derive(Debug, Default)]
pub(super) struct Regions {
    any: bool,
    times: Times,
    /// The beginning of a node's object, by number: its name is the same in most regions.
    nodes: Vec<Option<(Name, Vec<u8>)>>,
}

impl Regions {
    /// `place`: where the region's device is now.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        region: &RegionStatus,
        place: Option<&Path>,
        now: Instant,
    ) {
        if std::mem::replace(&mut self.any, true) {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"name\":");
        text::string(out, &region.name.to_string());
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            ",\"method\":\"{}\",\"holds\":{},\"pins\":{},\"phase\":",
            region.method, region.holds, region.pins
        );
        match region.phase {
            Some(phase) => text::string(out, word(phase, region.disk.as_ref(), now)),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"disk\":");
        match &region.disk {
            Some(status) => disk(out, status, place, now),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"up\":[");
        out.reserve(region.up.len() * MEMBER);
        for (index, (node, since)) in region.up.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.member(out, node, *since, !region.unconfigured.contains(node.num));
        }
        out.extend_from_slice(b"]}");
    }

    fn member(&mut self, out: &mut Vec<u8>, node: &NodeName, since: Duration, configured: bool) {
        let num = usize::from(node.num.get());
        if self.nodes.len() <= num {
            self.nodes.resize_with(num + 1, || None);
        }
        let known = &mut self.nodes[num];
        if known.as_ref().is_none_or(|(name, _)| !name.is(&node.name) && *name != node.name) {
            let mut head = b"{\"name\":".to_vec();
            text::string(&mut head, &node.name.to_string());
            let _ = write!(head, ",\"num\":{num},\"since\":");
            *known = Some((node.name.clone(), head));
        }
        if let Some((_, head)) = known {
            out.extend_from_slice(head);
        }
        self.times.write(out, since);
        out.extend_from_slice(if configured { b"}" } else { b",\"configured\":false}" });
    }
}

/// How far a region is; a steady one that hangs is not called that.
fn word(phase: DiskPhase, disk: Option<&DiskStatus>, now: Instant) -> &'static str {
    let silent = disk.is_some_and(|disk| disk.silent(now).is_some());
    if silent { "silent" } else { phase.word() }
}

/// Whole milliseconds.
pub(super) fn ms(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// With the file system's help not even a hung one is asked: this is what the kernel has in memory.
fn split_place(place: &Path) -> (String, bool) {
    let text = place.to_string_lossy();
    match text.strip_suffix(" (deleted)") {
        Some(path) => (path.to_owned(), true),
        None => (text.into_owned(), false),
    }
}

fn disk(out: &mut Vec<u8>, disk: &DiskStatus, place: Option<&Path>, now: Instant) {
    out.extend_from_slice(b"{\"device\":");
    text::string(out, &disk.device);
    let (path, deleted) = place.map(split_place).unzip();
    out.extend_from_slice(b",\"path\":");
    match path {
        Some(path) => text::string(out, &path),
        None => out.extend_from_slice(b"null"),
    }
    let _ = write!(
        out,
        ",\"deleted\":{},\"pid\":{},\"block_bytes\":{},\"start_block\":{},\"blocks\":{},\"steady\":{},\
         \"beats_left\":{},\"beats_limit\":{},\"dead_ms\":{},\"write_timeout_in_ms\":{}",
        deleted.unwrap_or(false),
        disk.pid,
        disk.block_bytes,
        disk.start_block,
        disk.blocks,
        disk.steady,
        disk.beats_left,
        disk.beats_limit,
        disk.dead_ms,
        ms(disk.write_timeout)
    );
    let (least, most) = disk.start_takes(now).unzip();
    for (name, value) in [
        ("elapsed_time_in_ms", disk.last_good.map(|good| now.since(good))),
        ("silent_in_ms", disk.silent(now)),
        ("start_at_least_in_ms", least),
        ("start_at_most_in_ms", most),
    ] {
        let _ = write!(out, ",\"{name}\":");
        text::number(out, value.map(ms));
    }
    findings(out, disk);
    out.push(b'}');
}

fn findings(out: &mut Vec<u8>, disk: &DiskStatus) {
    let Findings { own_slot, failed, dead_ms, strangers } = &disk.findings;
    out.extend_from_slice(b",\"own_slot\":");
    match own_slot {
        Some(slot) => {
            let (time, found) = (utc(slot.at), slot.found);
            let _ = write!(
                out,
                "{{\"time\":\"{time}\",\"meaning\":\"{}\",\"beats\":{},\"node\":{},\"generation\":\"{:#x}\",\"seq\":\"{:#x}\"}}",
                slot.meaning(),
                slot.beats,
                found.node,
                found.generation,
                found.seq
            );
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"last_failure\":");
    match failed {
        Some((at, errno)) => {
            let _ = write!(out, "{{\"time\":\"{}\",\"errno\":\"{errno}\"}}", utc(*at));
        }
        None => out.extend_from_slice(b"null"),
    }
    let _ = write!(out, ",\"strangers\":[{}],\"other_dead_ms\":[", list(strangers));
    for (index, (num, theirs)) in dead_ms.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{{\"num\":{num},\"dead_ms\":{theirs}}}");
    }
    out.extend_from_slice(b"],\"warnings\":[");
    for (index, warning) in warnings(disk).iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text::string(out, warning);
    }
    out.push(b']');
}

fn list(nodes: &NodeSet) -> String {
    nodes.iter().map(|num| num.to_string()).collect::<Vec<_>>().join(",")
}

/// What somebody should look at.
pub(super) fn warnings(disk: &DiskStatus) -> Vec<String> {
    let mut warnings = Vec::new();
    if disk.start_is_lost() {
        warnings.push(format!(
            "the start cannot succeed any more: it wants {} good beats, and at most {} will come",
            disk.beats_left, disk.beats_limit
        ));
    }
    if let Some(slot) = &disk.findings.own_slot {
        let found = slot.found;
        warnings.push(format!(
            "the own slot {}: last at {}, {} beats so far, then node {}, generation {:#x}, seq {:#x}",
            slot.meaning(),
            utc(slot.at),
            slot.beats,
            found.node,
            found.generation,
            found.seq
        ));
    }
    if let Some((at, errno)) = &disk.findings.failed {
        warnings.push(format!("a beat failed: last at {} ({errno})", utc(*at)));
    }
    for num in disk.findings.strangers.iter() {
        warnings.push(format!("node {num} writes here and is not configured"));
    }
    let timeout = ms(disk.write_timeout);
    for (num, theirs) in &disk.findings.dead_ms {
        let danger = if u64::from(*theirs) <= timeout {
            format!(", and this one goes only after {timeout} ms")
        } else {
            String::new()
        };
        warnings.push(format!(
            "node {num} takes others for dead after {theirs} ms, this one after {}{danger}: \
             dead_threshold must be the same on all nodes",
            disk.dead_ms
        ));
    }
    warnings
}
