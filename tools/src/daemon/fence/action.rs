//! What a fence does beside ending the process: chosen, and made ready, when the node starts.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::super::monitor::Monitor;
use super::super::notes::Notes;
use super::exec::Exec;
use super::machine::Machine;
use super::own::Own;
use super::watchdog::Watchdog;
use crate::error::Error;

/// What a fence does beside ending the process with [`CRASH_STATUS`](crate::CRASH_STATUS), which all of them do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum FenceAction {
    /// Nothing.
    #[default]
    Exit,
    /// Starts this program: a path, or a name that is looked up in PATH. It is the file that was there when the node
    /// started, whatever has taken its place since. It is not waited for. Its standard streams are /dev/null; it has the
    /// node's environment and
    ///
    /// - `UO2CB_FENCE_CLUSTER`, `UO2CB_FENCE_NODE`, `UO2CB_FENCE_NODE_NUM`: names of the cluster and of the local node, and
    ///   that node's number; each empty where there is none;
    /// - `UO2CB_FENCE_METHOD`: `reset` or `panic`, as in `fence_method`;
    /// - `UO2CB_FENCE_REASON`: why, as in the log.
    Exec(PathBuf),
    /// Does not feed this watchdog device any more, which then restarts the machine; so does every other end of the
    /// process but a clean one. Armed as long as a region of disk heartbeat is steady.
    Watchdog(PathBuf),
    /// Restarts the machine or has its kernel panic, as `fence_method` says at that moment. For root. While the local node
    /// is up in no region only the process ends.
    Machine,
}

impl FromStr for FenceAction {
    type Err = String;

    /// `exit`, `machine`, `exec=PROGRAM` or `watchdog=DEVICE`; a blank will do for the `=`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (word, what) = text.split_once(['=', ' ']).unwrap_or((text, ""));
        match word {
            "exit" if text == word => Ok(Self::Exit),
            "machine" if text == word => Ok(Self::Machine),
            "exec" if what.is_empty() => Err("exec needs a program".into()),
            "exec" => Ok(Self::Exec(what.into())),
            "watchdog" if what.is_empty() => Err("watchdog needs a device".into()),
            "watchdog" => Ok(Self::Watchdog(what.into())),
            _ => Err("the actions are exit, exec PROGRAM, watchdog DEVICE and machine".into()),
        }
    }
}

impl fmt::Display for FenceAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit => f.write_str("exit"),
            Self::Exec(program) => write!(f, "exec={}", program.display()),
            Self::Watchdog(device) => write!(f, "watchdog={}", device.display()),
            Self::Machine => f.write_str("machine"),
        }
    }
}

/// An action that is ready, as long as this exists.
#[derive(Debug)]
pub(crate) struct Ready {
    action: FenceAction,
    own: Arc<Own>,
    /// Whether the machine goes with the process, so that what tells of it must be on its disk before.
    pub(crate) restarts: bool,
    watchdog: Option<Arc<Watchdog>>,
    exec: Option<Arc<Exec>>,
    machine: Option<Arc<Machine>>,
}

impl Ready {
    /// Opens and starts what the action needs.
    ///
    /// # Errors
    /// What keeps it from ever being carried out.
    pub(crate) fn new(action: &FenceAction, notes: &Notes) -> Result<Self, Error> {
        let own = Arc::default();
        let (mut watchdog, mut exec, mut machine) = (None, None, None);
        match action {
            FenceAction::Exit => {}
            FenceAction::Exec(path) => exec = Some(Exec::prepare(path, &own, notes)?),
            FenceAction::Watchdog(path) => watchdog = Some(Watchdog::prepare(path, notes)?),
            FenceAction::Machine => machine = Some(Machine::prepare(&own)?),
        }
        let restarts = watchdog.is_some() || machine.is_some();
        Ok(Self { action: action.clone(), own, restarts, watchdog, exec, machine })
    }

    /// The node runs from now on.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub(crate) fn begin(&self, monitor: &Arc<Monitor>) -> Result<(), Error> {
        if self.action != FenceAction::Exit {
            monitor.notes.info(&format!("at a fence: {}", self.action));
        }
        if self.exec.is_some() || self.machine.is_some() {
            monitor.keep_own(Arc::clone(&self.own));
        }
        self.watchdog.as_ref().map_or(Ok(()), |watchdog| watchdog.watch(monitor))
    }

    /// The node has ended without a fence.
    pub(crate) fn close(&self) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_read_as_they_are_written() {
        for (text, action) in [
            ("exit", FenceAction::Exit),
            ("machine", FenceAction::Machine),
            ("exec=/a program=1", FenceAction::Exec("/a program=1".into())),
            ("watchdog=/dev/watchdog1", FenceAction::Watchdog("/dev/watchdog1".into())),
        ] {
            assert_eq!((text.parse(), action.to_string()), (Ok(action.clone()), text.to_owned()));
        }
        assert_eq!("exec /a b".parse(), Ok(FenceAction::Exec("/a b".into())));
        for (text, line) in [
            ("exec", "exec needs a program"),
            ("exec=", "exec needs a program"),
            ("watchdog", "watchdog needs a device"),
            ("watchdog=", "watchdog needs a device"),
            ("", "the actions are exit, exec PROGRAM, watchdog DEVICE and machine"),
            ("Machine", "the actions are exit, exec PROGRAM, watchdog DEVICE and machine"),
            ("machine=1", "the actions are exit, exec PROGRAM, watchdog DEVICE and machine"),
            ("reboot", "the actions are exit, exec PROGRAM, watchdog DEVICE and machine"),
        ] {
            assert_eq!(text.parse::<FenceAction>(), Err(line.to_owned()), "{text}");
        }
    }
}
