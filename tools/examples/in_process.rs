//! A cluster stack's test without a mount: two nodes join the group of a region, one leaves, and a consumer is
//! told of each before the call has returned. Needs no rights and no /dev/fuse.
//!
//! `cargo run --example in_process`

use std::sync::{Arc, Mutex, PoisonError};

use uo2cb::{Error, Node};

fn main() -> Result<(), Error> {
    let node = Node::builder().user_heartbeat().start()?;

    node.mkdir("cluster/c")?;
    for (name, num) in [("n1", "1"), ("n2", "2")] {
        let dir = format!("cluster/c/node/{name}");
        node.mkdir(&dir)?;
        node.write(format!("{dir}/ipv4_address"), format!("127.0.0.{num}"))?;
        node.write(format!("{dir}/ipv4_port"), "7777")?;
        node.write(format!("{dir}/num"), num)?;
    }
    node.mkdir("cluster/c/heartbeat/R")?;

    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let watch = node.on_event(None, 0, move |event| {
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(event.to_string());
    })?;

    node.symlink("cluster/c/node/n1", "cluster/c/heartbeat/R/n1")?;
    node.symlink("cluster/c/node/n2", "cluster/c/heartbeat/R/n2")?;
    for up in &node.status().regions[0].up {
        println!("up: {} ({})", up.0.name, up.0.num);
    }
    node.unlink("cluster/c/heartbeat/R/n1")?;

    // What the kernel refuses is refused, with its errno and the rule.
    if let Err(refusal) = node.rmdir("cluster/c/heartbeat/R") {
        println!("rmdir of R: {refusal}");
    }
    drop(watch);
    for event in told.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("told: {event}");
    }
    Ok(())
}
