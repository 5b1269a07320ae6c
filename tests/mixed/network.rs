//! A network of a scenario's own: one link between host and guest.

use std::process::Command;

use uo2cb_tests::guest::{Builder, Error};

/// The host's address.
pub(crate) const HOST: &str = "10.77.0.1";
/// The guest's address.
pub(crate) const GUEST: &str = "10.77.0.2";

/// Moves this thread, and all processes that it starts from now on, into a new network name space. It ends with the
/// last of them, so every scenario can have the same addresses.
pub(crate) fn enter() -> Result<(), Error> {
    // SAFETY: of this thread only the network changes; descriptors and memory stay shared with the others.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
        .map_err(|error| format!("a network name space: {error}"))?;
    for line in [
        "link set lo up",
        "tuntap add dev tap0 mode tap",
        &format!("address add {HOST}/24 dev tap0"),
        "link set tap0 up",
    ] {
        let output = Command::new("ip").args(line.split(' ')).output();
        let output = output.map_err(|error| format!("ip (package iproute2): {error}"))?;
        if !output.status.success() {
            return Err(format!("ip {line}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
        }
    }
    Ok(())
}

/// A guest with the other end of the link.
pub(crate) fn attach(guest: Builder) -> Builder {
    let link = "tap,id=link,ifname=tap0,script=no,downscript=no";
    guest
        .module("virtio_pci")
        .module("virtio_net")
        .argument("-netdev")
        .argument(link)
        .argument("-device")
        // Without a boot program, which is not installed everywhere.
        .argument("virtio-net-pci,netdev=link,romfile=")
        .setup(&format!("ifconfig eth0 {GUEST} netmask 255.255.255.0 up"))
}
