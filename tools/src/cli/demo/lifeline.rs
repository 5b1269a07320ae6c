//! The daemons of a demonstration end with it, also when it is killed and cannot end them.

use std::process::Command;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use uo2cb::Stopper;

use super::super::Fail;

/// In the environment of what a demonstration starts: its process.
const VARIABLE: &str = "UO2CB_DEMO";

/// Marks what the command starts as this demonstration's.
pub(super) fn tie(command: &mut Command) -> &mut Command {
    command.env(VARIABLE, std::process::id().to_string())
}

/// Stops a node when the demonstration that it belongs to has ended; nothing where it belongs to none.
pub(crate) fn watch(stopper: &Stopper) -> Result<(), Fail> {
    let Some(pid) = std::env::var(VARIABLE).ok().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw)
    else {
        return Ok(());
    };
    let stopper = stopper.clone();
    let wait = move || {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => while poll(&mut [PollFd::new(&process, PollFlags::IN)], None).is_err() {},
            // Ended already.
            Err(Errno::SRCH) => {}
            // A kernel that cannot tell.
            Err(_) => return,
        }
        stopper.stop("the demonstration has ended");
    };
    let started = thread::Builder::new().name("demo".into()).spawn(wait);
    started.map(drop).map_err(|error| Fail::new(format!("no thread: {error}")))
}
