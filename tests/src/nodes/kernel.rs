//! A real kernel as a node.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cut::End;
use crate::guest::qmp::{self, Qmp};
use crate::guest::{DEBUGFS, Error, Guest, TREE};
use crate::lines::{self, Line};
use crate::switch::{Switch, frame};
use crate::worker::Worker;

use super::Node;
use super::cluster::{self, Call, REGION};

const BOOT: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(60);
/// The last line of a node that fences itself.
const SORRY: &str = "ocfs2 is very sorry to be fencing this system";

/// A guest as a node.
pub struct Kernel {
    guest: Option<Guest>,
    // Dropped after the guest, which would end with it.
    _worker: Worker,
    qmp: PathBuf,
    /// What is left of a guest that has ended.
    last: Vec<Line>,
    end: Option<End>,
    /// QEMU is killed at the last line: one that ends by itself lets a hung write through to the disk before.
    panics: bool,
}

impl Kernel {
    /// A guest with the cluster of `count` nodes, but without the region yet. `panics`: when it fences itself; it is
    /// ended then before a write that hangs gets through.
    ///
    /// # Errors
    /// It does not boot, or refuses a call.
    pub fn boot(
        node: u8,
        count: u8,
        switch: &Switch,
        image: &Path,
        folder: &Path,
        panics: bool,
    ) -> Result<Self, Error> {
        let socket = folder.join(format!("qmp-{node}"));
        let card = format!("virtio-net-pci,netdev=link,mac={},romfile=", frame::mac_text(node));
        let mut guest = Guest::builder()
            .module("virtio_pci")
            .module("virtio_net")
            .module("ocfs2_nodemanager")
            .disk(image)
            .setup("dmesg -n 7")
            .setup(&format!("ifconfig eth0 {} netmask 255.255.255.0 up", frame::address(node)));
        if panics {
            // Stays where it is until QEMU is killed.
            guest = guest.setup("echo 0 > /proc/sys/kernel/panic");
        }
        let [option, value] = qmp::argument(&socket);
        for argument in ["-netdev", &switch.guest(node)?, "-device", &card, &option, &value] {
            guest = guest.argument(argument);
        }
        let worker = Worker::new()?;
        let guest = Some(worker.run(move || guest.boot(BOOT))??);
        let mut kernel = Self { guest, _worker: worker, qmp: socket, last: Vec::new(), end: None, panics };
        kernel.apply(&cluster::make(node, count, panics))?;
        Ok(kernel)
    }

    fn apply(&mut self, calls: &[Call]) -> Result<(), Error> {
        self.run(&cluster::command(calls)).map(drop)
    }

    fn run(&mut self, command: &str) -> Result<Vec<String>, Error> {
        let guest = self.guest.as_mut().ok_or_else(|| Error::from("the guest has ended".to_owned()))?;
        guest.run(command, SOON)
    }

    fn end(&mut self, end: End) {
        if let Some(guest) = self.guest.take() {
            self.last = guest.console();
        }
        self.end = Some(end);
    }
}

impl Node for Kernel {
    fn call(&mut self, call: &Call) -> Result<(), Error> {
        self.apply(std::slice::from_ref(call))
    }

    fn start(&mut self) -> Result<(), Error> {
        self.apply(&cluster::make_region())?;
        self.run(&format!("exec 7<>/dev/vda; echo 7 > {TREE}/{REGION}/dev && exec 7>&-")).map(drop)
    }

    fn show_quorum(&mut self) -> Result<(), Error> {
        self.run("echo allow > /sys/fs/o2cb/logmask/QUORUM").map(drop)
    }

    fn leave(&mut self) -> Result<(), Error> {
        self.run(&format!("rmdir {TREE}/{REGION}")).map(drop)
    }

    fn begin_to_leave(&mut self) -> Result<(), Error> {
        self.run(&format!("rmdir {TREE}/{REGION} > /dev/null 2>&1 &")).map(drop)
    }

    fn hold(&mut self) -> Result<bool, Error> {
        Ok(false)
    }

    fn told(&self) -> Vec<Line> {
        Vec::new()
    }

    fn address(&mut self, address: Ipv4Addr) -> Result<(), Error> {
        self.run(&format!("ifconfig eth0:1 {address} netmask 255.255.255.0 up")).map(drop)
    }

    fn hang(&mut self, hang: bool) -> Result<(), Error> {
        Qmp::connect(&self.qmp)?.hang_writes(0, hang)
    }

    fn kill(&mut self) -> Result<(), Error> {
        self.end(End::Killed);
        Ok(())
    }

    fn debug(&mut self, file: &str) -> Result<String, Error> {
        Ok(self.run(&format!("cat {DEBUGFS}/{file}"))?.join("\n"))
    }

    fn lines(&self) -> Vec<Line> {
        let lines = self.guest.as_ref().map_or_else(|| self.last.clone(), Guest::console);
        let text = |line: Line| {
            let quorum = lines::of_quorum(&line.text);
            Some(Line {
                at: line.at,
                text: quorum.or_else(|| lines::of_kernel(&line.text).map(str::to_owned))?,
            })
        };
        lines.into_iter().filter_map(text).collect()
    }

    fn ended(&mut self) -> Result<Option<End>, Error> {
        let Some(guest) = self.guest.as_mut() else { return Ok(self.end.clone()) };
        let sorry = || guest.console().iter().any(|line| line.text.contains(SORRY));
        if self.panics && sorry() {
            self.end(End::Fenced);
        } else if let Some(status) = guest.ended()? {
            let fenced = status.success() && guest.console().iter().any(|line| line.text.contains(SORRY));
            self.end(if fenced { End::Fenced } else { End::Other(format!("QEMU: {status}")) });
        }
        Ok(self.end.clone())
    }
}
