//! The two files with the choice of heartbeat methods. They stand in two trees.

use alloc::vec::Vec;

use crate::heartbeat::Heartbeat;
use crate::text::line;

/// The active method.
pub(super) fn show_active(heartbeat: &Heartbeat, out: &mut Vec<u8>) {
    line(out, heartbeat.active_name().unwrap_or_default());
}

/// All methods.
pub(super) fn show_available(heartbeat: &Heartbeat, out: &mut Vec<u8>) {
    heartbeat.available().for_each(|name| line(out, name));
}
