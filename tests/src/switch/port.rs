//! A port of the switch: a tap device, or a pair of sockets with QEMU at the other end.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::guest::Error;

/// Frames that wait for a port whose other end does not read; more are lost, as in any switch.
const QUEUE: usize = 256;

/// No two sockets have one name, also when a guest starts again.
static NEXT: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
pub(super) struct Port {
    pub(super) node: u8,
    end: End,
    queue: Mutex<VecDeque<Vec<u8>>>,
}

#[derive(Debug)]
enum End {
    Tap(File),
    Guest(UnixDatagram, PathBuf),
}

impl Port {
    pub(super) fn tap(node: u8, tap: File) -> Self {
        Self { node, end: End::Tap(tap), queue: Mutex::default() }
    }

    /// A port and the `-netdev` of the QEMU that is to be plugged in.
    pub(super) fn guest(node: u8, folder: &Path) -> Result<(Self, String), Error> {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let [ours, theirs] = ["switch", "guest"].map(|end| folder.join(format!("{end}-{node}-{turn}")));
        let socket = UnixDatagram::bind(&ours)?;
        socket.set_nonblocking(true)?;
        let netdev = format!(
            "dgram,id=link,local.type=unix,local.path={},remote.type=unix,remote.path={}",
            theirs.display(),
            ours.display()
        );
        Ok((Self { node, end: End::Guest(socket, theirs), queue: Mutex::default() }, netdev))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match &self.end {
            End::Tap(tap) => tap.as_fd(),
            End::Guest(socket, _) => socket.as_fd(),
        }
    }

    /// The length of the next frame, if there is one.
    pub(super) fn receive(&self, into: &mut [u8]) -> Option<usize> {
        rustix::io::read(self.fd(), into).ok().filter(|length| *length > 0)
    }

    pub(super) fn send(&self, frame: &[u8]) {
        let mut queue = self.queue.lock();
        if (!queue.is_empty() || !self.try_send(frame)) && queue.len() < QUEUE {
            queue.push_back(frame.to_vec());
        }
    }

    /// Is nothing left that waits?
    pub(super) fn flush(&self) -> bool {
        let mut queue = self.queue.lock();
        while queue.front().is_some_and(|frame| self.try_send(frame)) {
            queue.pop_front();
        }
        queue.is_empty()
    }

    /// False: the other end has no room. A frame that nobody is there for is gone.
    fn try_send(&self, frame: &[u8]) -> bool {
        let sent = match &self.end {
            End::Tap(tap) => rustix::io::write(tap, frame).map_err(std::io::Error::from),
            End::Guest(socket, to) => socket.send_to(frame, to),
        };
        !sent.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}
