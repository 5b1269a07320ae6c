//! The listening socket of the local node. Nobody speaks the wire protocol here yet: whoever connects is told
//! so by a close.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::net::Shutdown;
use uo2cb_core::nodeman::Address;

use super::fault_point;
use super::fence;
use super::notes::Notes;
use super::threads::{self, Standing};

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Arc<Socket>,
}

#[derive(Debug)]
struct Socket(TcpListener);

impl Socket {
    /// Ends the accept that the thread waits in, and every one after it.
    fn shut(&self) {
        let _ = rustix::net::shutdown(&self.0, Shutdown::Both);
    }
}

impl fence::Outward for Socket {
    fn cut_off(&self) {
        self.shut();
    }
}

impl Listener {
    /// Binds; does not block.
    pub(crate) fn bind(address: Address, port: u16, notes: &Notes) -> io::Result<Self> {
        let socket = Arc::new(Socket(TcpListener::bind((Ipv4Addr::from(address.0), port))?));
        let (accepting, notes) = (Arc::clone(&socket), notes.clone());
        threads::spawn("listen", Standing::Ordinary, move || accept(&accepting.0, &notes))?;
        fence::register(&socket);
        Ok(Self { socket })
    }
}

impl Drop for Listener {
    /// The port is free when this returns, whenever the thread gets round to closing its half.
    fn drop(&mut self) {
        self.socket.shut();
    }
}

fn accept(socket: &TcpListener, notes: &Notes) {
    let mut said = false;
    loop {
        match socket.accept() {
            Ok((connection, peer)) => {
                fault_point::reach("listen");
                drop(connection);
                if !said {
                    said = true;
                    notes.info(&format!(
                        "o2net: connection from {peer} closed: this version does not talk to peers yet"
                    ));
                }
            }
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return,
            // No descriptors, or the peer went away again: neither is a reason to stop listening.
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LogFormat, LogTarget};
    use std::io::Read;
    use std::net::TcpStream;

    #[test]
    fn a_port_can_be_listened_on_again_at_once() {
        let notes = Notes::open(LogTarget::Discard, LogFormat::Text).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let here = Address([127, 0, 0, 1]);
        for _ in 0..50 {
            let listener = Listener::bind(here, port, &notes).unwrap();
            assert!(Listener::bind(here, port, &notes).is_err());
            let mut peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
            // Closed at once: end of file, or a reset.
            assert!(!matches!(peer.read(&mut [0]), Ok(1)));
            drop(listener);
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        }
    }
}
