//! A network of a scenario's own: a switch with two ports, one for our daemons, one for guests.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use tempfile::TempDir;
use uo2cb_tests::guest::{Builder, Error};
use uo2cb_tests::switch::space::NameSpace;
use uo2cb_tests::switch::{PORT, Switch, frame};

use crate::cluster::Cluster;

pub(crate) struct Network {
    cluster: Cluster,
    /// Where our daemons run.
    space: NameSpace,
    switch: Switch,
    /// Of short path: it has sockets in it.
    _folder: TempDir,
}

/// The port of a node: no address ends in 0, which is a node's number here.
pub(crate) fn port(node: u8) -> u8 {
    node + 1
}

pub(crate) fn address(node: u8) -> Ipv4Addr {
    frame::address(port(node))
}

/// A node as both sides name it in their logs.
pub(crate) fn place(node: u8) -> String {
    format!("node n{node} (num {node}) at {}:{PORT}", address(node))
}

impl Network {
    pub(crate) fn new(cluster: Cluster) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let (switch, space) = (Switch::start(folder.path())?, NameSpace::new()?);
        switch.tap(port(cluster.ours), &space)?;
        Ok(Self { cluster, space, switch, _folder: folder })
    }

    /// Runs something where our daemons run: processes that it starts end with the network, and a daemon listens in the
    /// network of who writes to `local`.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.space.run(job)?
    }

    /// A guest that is plugged in as `node`.
    pub(crate) fn attach(&self, guest: Builder, node: u8) -> Result<Builder, Error> {
        // Without a boot program, which is not installed everywhere.
        let card = format!("virtio-net-pci,netdev=link,mac={},romfile=", frame::mac_text(port(node)));
        let netdev = self.switch.guest(port(node))?;
        let guest = guest.module("virtio_pci").module("virtio_net");
        let guest =
            ["-netdev", &netdev, "-device", &card].iter().fold(guest, |guest, word| guest.argument(word));
        Ok(guest.setup(&format!("ifconfig eth0 {} netmask 255.255.255.0 up", address(node))))
    }

    /// Nothing goes from one node to the other any more, or all does.
    pub(crate) fn cut(&self, cut: bool) {
        let (ours, theirs) = (port(self.cluster.ours), port(self.cluster.theirs));
        if cut {
            self.switch.part(&[&[ours], &[theirs]]);
        } else {
            self.switch.heal_all();
        }
    }

    /// The file with everything that was delivered.
    pub(crate) fn delivered(&self) -> PathBuf {
        self.switch.capture(false)
    }
}
