//! A fence that restarts or panics the machine, as the kernel's own does. Only when asked for by name, only for root.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use uo2cb_core::FenceMethod;

use super::super::deadline;
use super::own::Own;
use super::{Outward, register};
use crate::error::Error;

const TRIGGER: &str = "/proc/sysrq-trigger";

/// Open as long as the process runs. None: there is only reboot(2).
static OPENED: OnceLock<Option<File>> = OnceLock::new();
/// What the end of the process is to bring about; 0: nothing.
static WANTED: AtomicU8 = AtomicU8::new(0);

/// A node whose fence takes the machine with it.
#[derive(Debug)]
pub(crate) struct Machine {
    own: Arc<Own>,
}

impl Machine {
    /// Opens what restarts the machine.
    ///
    /// # Errors
    /// For ordinary users, and where not even root can restart the machine, as in a container.
    pub(crate) fn prepare(own: &Arc<Own>) -> Result<Arc<Self>, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::FenceRoot);
        }
        let opened = OpenOptions::new().write(true).open(TRIGGER);
        if let Err(error) = &opened {
            if !may_reboot() {
                return Err(Error::FenceMachine(io::Error::new(error.kind(), format!("{TRIGGER}: {error}"))));
            }
        }
        let _ = OPENED.set(opened.ok());
        deadline::at_the_end(restart);
        let machine = Arc::new(Self { own: Arc::clone(own) });
        register(&machine);
        Ok(machine)
    }
}

impl Outward for Machine {
    /// While this node is up in no region nobody counts on it, so its process alone will go: a machine that starts it again
    /// when it comes up would else restart for ever.
    fn cut_off(&self) {
        if self.own.up() {
            let wanted = match self.own.method() {
                FenceMethod::Reset => b'b',
                FenceMethod::Panic => b'c',
            };
            WANTED.store(wanted, Ordering::SeqCst);
        }
    }
}

/// Restarts the machine if a fence wants it. Returns if not, or if the kernel does not do it. Takes no lock and allocates
/// nothing.
fn restart() {
    let wanted = WANTED.load(Ordering::SeqCst);
    if wanted == 0 {
        return;
    }
    if let Some(Some(trigger)) = OPENED.get() {
        let _ = rustix::io::write(trigger, &[wanted]);
    }
    // SAFETY: takes no pointers.
    unsafe { libc::reboot(libc::RB_AUTOBOOT) };
}

/// Whether reboot(2) would restart the machine, and not end a name space.
fn may_reboot() -> bool {
    const CAP_SYS_BOOT: u32 = 22;
    // The first PID name space has this number in every kernel.
    const FIRST: &str = "pid:[4026531836]";
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capable = status.lines().find_map(|line| line.strip_prefix("CapEff:")).is_some_and(|set| {
        u64::from_str_radix(set.trim(), 16).is_ok_and(|set| set & (1 << CAP_SYS_BOOT) != 0)
    });
    let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let first = users.split_whitespace().eq(["0", "0", "4294967295"]);
    capable && first && fs::read_link("/proc/self/ns/pid").is_ok_and(|space| space.as_os_str() == FIRST)
}
