//! The cluster's configuration: the same calls on both sides, since the trees are the same.

use uo2cb_tests::nodes::cluster::Call;
use uo2cb_tests::switch::PORT;

use crate::network;

/// Time without a message until a connection is idle, in milliseconds.
pub(crate) const IDLE_MS: u32 = 5000;

/// The node numbers of our daemon and of the kernel, or the kernels.
#[derive(Clone, Copy)]
pub(crate) struct Cluster {
    pub(crate) ours: u8,
    pub(crate) theirs: u8,
    pub(crate) second: Option<u8>,
}

impl Cluster {
    /// The cluster with all nodes, of which one is `local`.
    pub(crate) fn make(self, local: u8, dead_threshold: u32) -> Vec<Call> {
        let mut calls = vec![Call::Mkdir("cluster/c".into())];
        let timeouts =
            [("keepalive_delay_ms", 1000), ("idle_timeout_ms", IDLE_MS), ("reconnect_delay_ms", 1000)];
        for (attribute, value) in timeouts {
            calls.push(Call::Write(format!("cluster/c/{attribute}"), value.to_string()));
        }
        for num in [self.ours, self.theirs].into_iter().chain(self.second) {
            let node = format!("cluster/c/node/n{num}");
            calls.push(Call::Mkdir(node.clone()));
            let (port, address) = (PORT.to_string(), network::address(num).to_string());
            for (attribute, value) in
                [("ipv4_port", port), ("ipv4_address", address), ("num", num.to_string())]
            {
                calls.push(Call::Write(format!("{node}/{attribute}"), value));
            }
        }
        calls.push(Call::Write(format!("cluster/c/node/n{local}/local"), "1".into()));
        calls.push(Call::Write("cluster/c/heartbeat/dead_threshold".into(), dead_threshold.to_string()));
        calls
    }
}

/// The region on the image.
#[derive(Clone)]
pub(crate) struct Region {
    pub(crate) name: String,
    /// Where it begins, in blocks of 512 bytes.
    pub(crate) start_block: u64,
    /// How many slots it has.
    pub(crate) blocks: u64,
}

impl Region {
    /// Its path in the tree.
    pub(crate) fn path(&self) -> String {
        format!("cluster/c/heartbeat/{}", self.name)
    }

    /// What makes it, up to the write to `dev` that starts it.
    pub(crate) fn make(&self) -> Vec<Call> {
        let path = self.path();
        let mut calls = vec![Call::Mkdir(path.clone())];
        for (attribute, value) in
            [("block_bytes", 512), ("start_block", self.start_block), ("blocks", self.blocks)]
        {
            calls.push(Call::Write(format!("{path}/{attribute}"), value.to_string()));
        }
        calls
    }
}
