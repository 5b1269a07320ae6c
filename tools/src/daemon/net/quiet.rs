//! Connections at a fence: others must not hear of it by a last packet, as little as of a machine that restarts.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::fence;

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<BTreeMap<u64, Arc<TcpStream>>>);

impl Quiet {
    pub(super) fn add(&self, token: u64, stream: &Arc<TcpStream>) {
        self.0.lock().insert(token, Arc::clone(stream));
    }

    pub(super) fn remove(&self, token: u64) {
        self.0.lock().remove(&token);
    }
}

impl fence::Outward for Quiet {
    fn cut_off(&self) {
        // Held for moments only; whoever holds it now adds or removes one.
        if let Some(all) = self.0.try_lock() {
            all.values().for_each(|stream| silence(stream.as_raw_fd()));
        }
    }
}

/// Lets a connection end without a packet where this process has the right to do that (CAP_NET_ADMIN); else with whatever
/// the system sends.
fn silence(socket: RawFd) {
    /// Of linux/tcp.h: a socket in repair is taken apart, not closed.
    const TCP_REPAIR: libc::c_int = 19;
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int, which lives until the call returns; a descriptor that is none is refused.
    let _ = unsafe {
        libc::setsockopt(
            socket,
            libc::IPPROTO_TCP,
            TCP_REPAIR,
            std::ptr::from_ref(&on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
}
