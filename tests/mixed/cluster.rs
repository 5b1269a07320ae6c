//! The cluster's configuration: the same calls on both sides, since the trees are the same.

use uo2cb_tests::nodes::cluster::Call;

use crate::network;

/// The region's path in the tree.
pub(crate) const REGION: &str = "cluster/c/heartbeat/R";
/// Where the region begins on the image, in blocks.
pub(crate) const START_BLOCK: u64 = 1;
/// How many slots it has.
pub(crate) const BLOCKS: u64 = 8;

/// The node numbers of our daemon and of the kernel.
#[derive(Clone, Copy)]
pub(crate) struct Cluster {
    pub(crate) ours: u8,
    pub(crate) theirs: u8,
}

impl Cluster {
    /// The cluster with both nodes, of which one is `local`.
    pub(crate) fn make(self, local: u8, dead_threshold: u32) -> Vec<Call> {
        let mut calls = vec![Call::Mkdir("cluster/c".into())];
        for (num, address) in [(self.ours, network::HOST), (self.theirs, network::GUEST)] {
            let node = format!("cluster/c/node/n{num}");
            calls.push(Call::Mkdir(node.clone()));
            let values = [("ipv4_port", "7777"), ("ipv4_address", address), ("num", &num.to_string())];
            for (attribute, value) in values {
                calls.push(Call::Write(format!("{node}/{attribute}"), value.into()));
            }
        }
        calls.push(Call::Write(format!("cluster/c/node/n{local}/local"), "1".into()));
        calls.push(Call::Write("cluster/c/heartbeat/dead_threshold".into(), dead_threshold.to_string()));
        calls
    }

    /// The region, up to the write to `dev` that starts it.
    pub(crate) fn make_region() -> Vec<Call> {
        let mut calls = vec![Call::Mkdir(REGION.into())];
        for (attribute, value) in [("block_bytes", 512), ("start_block", START_BLOCK), ("blocks", BLOCKS)] {
            calls.push(Call::Write(format!("{REGION}/{attribute}"), value.to_string()));
        }
        calls
    }
}
