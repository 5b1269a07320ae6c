//! Which names there are.

/// The region of all, and a node that all link and unlink in it.
pub const SHARED: &str = "cluster/c/heartbeat/shared";
/// See [`SHARED`].
pub const SHARED_NODE: &str = "cluster/c/node/s1";
/// How many nodes and regions each process has.
pub(crate) const NODES: u64 = 3;
pub(crate) const REGIONS: u64 = 2;

/// A node of a process.
pub(crate) fn node(number: u32, which: u64) -> String {
    format!("cluster/c/node/w{number}-{which}")
}

/// A region of a process.
pub(crate) fn region(number: u32, which: u64) -> String {
    format!("cluster/c/heartbeat/w{number}-r{which}")
}

/// The number of a node.
pub(crate) fn num(number: u32, which: u64) -> u64 {
    1 + u64::from(number) * NODES + which
}

/// Is the last part of this path a name of the process?
pub fn is_of(path: &str, number: u32) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with(&format!("w{number}-")))
}

/// Goes `name` when `above` goes? A node takes its number along.
pub fn is_below(name: &str, above: &str) -> bool {
    name.strip_prefix(above).is_some_and(|rest| matches!(rest.as_bytes().first(), None | Some(b'#')))
}
