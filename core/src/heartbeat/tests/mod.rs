//! The generic layer, the registry of methods, both methods.

mod callbacks;
mod methods;

use crate::testing::Bench;

const REGION: &str = "cluster/c/heartbeat/R";

fn up(bench: &mut Bench, node: &str, region: &str) -> crate::RequestId {
    let link = alloc::format!("cluster/c/heartbeat/{region}/{node}");
    bench.ask_link(&alloc::format!("cluster/c/node/{node}"), &link)
}

fn down(bench: &mut Bench, node: &str, region: &str) -> crate::RequestId {
    bench.ask_unlink(&alloc::format!("cluster/c/heartbeat/{region}/{node}"))
}
