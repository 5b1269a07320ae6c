//! `--fence machine`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use uo2cb_tests::guest::Error;

use crate::image::Image;
use crate::node::Node;

const FENCE: &str = "--fence machine";
/// A node that is up by a link of its own.
const UP: &str = "c=/o2cb/cluster/c; mkdir $c $c/node/n0 $c/heartbeat/R && echo 127.0.0.1 >$c/node/n0/ipv4_address &&\n\
    echo 7777 >$c/node/n0/ipv4_port && echo 0 >$c/node/n0/num && echo 1 >$c/node/n0/local &&\n\
    ln -s $c/node/n0 $c/heartbeat/R/n0";

/// A disk with a file system, for what is to outlive the machine.
fn file_system(path: &Path) -> Result<(), Error> {
    std::fs::File::create(path)?.set_len(16 << 20)?;
    let made = Command::new("mkfs.ext4").arg("-q").arg(path).output()?;
    if !made.status.success() {
        return Err(format!("mkfs.ext4: {}", String::from_utf8_lossy(&made.stderr)).into());
    }
    Ok(())
}

/// The write timeout, and what the next daemon after the restart knows of it.
pub(crate) fn reset(uo2cb: &[u8]) -> Result<(), Error> {
    let image = Image::new()?;
    let state = image.folder().join("state");
    file_system(&state)?;
    let boot = |image| {
        let mut node = Node::boot_with(uo2cb, image, |builder| {
            builder.module("crc32c_generic").module("ext4").disk(&state)
        })?;
        node.run("mkdir /state && mount -t ext4 /dev/vdb /state && export UO2CB_STATE_DIR=/state/uo2cb")?;
        Ok::<_, Error>(node)
    };
    let mut node = boot(image)?;
    let beside = node.image.beside(7)?;
    node.steady(7, &format!("{FENCE} --fault hang=write@9.."))?;
    let (console, image) = node.restarts("machine, reset", Instant::now(), Duration::from_secs(4), 7)?;
    let silent = image.last_block().elapsed();
    assert!(silent >= Duration::from_secs(12), "restarted {silent:?} from the last block");
    assert!(!console.contains("Kernel panic"), "{console}");
    assert!(!console.contains("ended with"), "the machine goes, not the daemon before it: {console}");
    drop(beside);
    let mut node = boot(image)?;
    node.mount(FENCE)?;
    let status = node.run("uo2cb status")?;
    assert!(status.contains("fenced: no good beat of region R (vda) for 12"), "{status}");
    Ok(())
}

/// Also: written while it runs, and a node on which nobody counts.
pub(crate) fn panic(uo2cb: &[u8]) -> Result<(), Error> {
    let mut node = Node::boot(uo2cb)?;
    // Up in no region: the process alone goes.
    node.mount(&format!("{FENCE} --heartbeat-mode user --panic-at main"))?;
    node.run(UP)?;
    node.run("rm $c/heartbeat/R/n0 && kill -TERM $(pidof uo2cb); while pidof uo2cb >/dev/null; do usleep 50000; done")?;
    node.survives(2)?;
    node.mount(&format!("{FENCE} --heartbeat-mode user --panic-at main"))?;
    node.run(UP)?;
    node.run("echo panic >$c/fence_method && kill -TERM $(pidof uo2cb)")?;
    let console = node.goes()?;
    assert!(console.contains("Kernel panic - not syncing: sysrq triggered crash"), "{console}");
    assert_eq!(console.matches("ended with 86").count(), 1, "{console}");
    Ok(())
}

/// Where the kernel does not do it by that, reboot(2) does.
pub(crate) fn without_sysrq(uo2cb: &[u8]) -> Result<(), Error> {
    let mut node = Node::boot(uo2cb)?;
    // Every write to it fails.
    node.run("mount --bind /dev/full /proc/sysrq-trigger")?;
    node.mount(&format!("{FENCE} --heartbeat-mode user --panic-at main"))?;
    node.run(UP)?;
    node.run("kill -TERM $(pidof uo2cb)")?;
    let console = node.goes()?;
    assert!(console.contains("reboot: Restarting system"), "{console}");
    Ok(())
}
