//! The cluster's configuration: the same calls on all nodes, since the trees are the same.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::guest::{Error, TREE};
use crate::switch::PORT;
use crate::switch::frame;

/// Beats without a change after which a node is dead; the node gives up one beat before.
pub const DEAD_THRESHOLD: u32 = 7;
/// The region's path in the tree.
pub const REGION: &str = "cluster/c/heartbeat/R1";
/// Where the region begins on the image, in blocks.
pub const START_BLOCK: u64 = 1;
/// Bytes of a block.
pub const BLOCK: usize = 512;

/// A call on a tree.
#[derive(Clone, Debug)]
pub enum Call {
    /// Of a directory.
    Mkdir(String),
    /// Of a directory.
    Rmdir(String),
    /// To an attribute.
    Write(String, String),
    /// To an item, from another place in the tree.
    Link(String, String),
    /// Of a link.
    Unlink(String),
}

/// Makes calls on a tree that is mounted here.
///
/// # Errors
/// The first that is refused: which, and the errno.
pub fn apply(root: &Path, calls: &[Call]) -> Result<(), Error> {
    for call in calls {
        let made = match call {
            Call::Mkdir(path) => fs::create_dir(root.join(path)),
            Call::Rmdir(path) => fs::remove_dir(root.join(path)),
            Call::Write(path, value) => fs::write(root.join(path), format!("{value}\n")),
            Call::Link(to, path) => symlink(root.join(to), root.join(path)),
            Call::Unlink(path) => fs::remove_file(root.join(path)),
        };
        made.map_err(|error| format!("{call:?}: {error}"))?;
    }
    Ok(())
}

/// The same calls as a command for a guest's shell, which ends with the first that is refused.
pub fn command(calls: &[Call]) -> String {
    let line = |call: &Call| match call {
        Call::Mkdir(path) => format!("mkdir {TREE}/{path}"),
        Call::Rmdir(path) => format!("rmdir {TREE}/{path}"),
        Call::Write(path, value) => format!("echo {value} > {TREE}/{path}"),
        Call::Link(to, path) => format!("ln -s {TREE}/{to} {TREE}/{path}"),
        Call::Unlink(path) => format!("rm {TREE}/{path}"),
    };
    calls.iter().map(line).collect::<Vec<_>>().join(" && ")
}

/// The cluster with nodes from 1 to `count`, of which one is `local`. `panic`: its fence method, instead of a reset.
pub fn make(local: u8, count: u8, panic: bool) -> Vec<Call> {
    let write = |path: &str, value: String| Call::Write(format!("cluster/c/{path}"), value);
    let mut calls = vec![Call::Mkdir("cluster/c".into())];
    for (attribute, value) in
        [("keepalive_delay_ms", 1000), ("idle_timeout_ms", 5000), ("reconnect_delay_ms", 1000)]
    {
        calls.push(write(attribute, value.to_string()));
    }
    calls.push(write("fence_method", if panic { "panic" } else { "reset" }.into()));
    calls.push(write("heartbeat/dead_threshold", DEAD_THRESHOLD.to_string()));
    for node in 1..=count {
        calls.extend(make_node(node));
    }
    calls.push(write(&format!("node/n{local}/local"), "1".into()));
    calls
}

/// One node.
pub fn make_node(node: u8) -> Vec<Call> {
    let mut calls = vec![Call::Mkdir(format!("cluster/c/node/n{node}"))];
    let (port, address) = (PORT.to_string(), frame::address(node).to_string());
    for (attribute, value) in [("ipv4_port", port), ("ipv4_address", address), ("num", node.to_string())] {
        calls.push(Call::Write(format!("cluster/c/node/n{node}/{attribute}"), value));
    }
    calls
}

/// The region, up to the write to `dev` that starts it.
pub fn make_region() -> Vec<Call> {
    let mut calls = vec![Call::Mkdir(REGION.into())];
    for (attribute, value) in [("block_bytes", BLOCK as u64), ("start_block", START_BLOCK), ("blocks", 255)] {
        calls.push(Call::Write(format!("{REGION}/{attribute}"), value.to_string()));
    }
    calls
}
