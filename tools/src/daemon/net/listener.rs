//! The listening socket of the local node.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::net::Shutdown;
use uo2cb_core::nodeman::Address;

use super::super::fence;

/// The socket that the monitor can end, while the thread of the sockets accepts from it.
#[derive(Debug, Default)]
pub(super) struct Listening(Mutex<Option<Arc<TcpListener>>>);

impl Listening {
    /// Binds. What is bound already is ended first.
    pub(super) fn bind(&self, address: Address, port: u16) -> io::Result<Arc<TcpListener>> {
        self.shut();
        let socket = TcpListener::bind((Ipv4Addr::from(address.0), port))?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(socket);
        *self.0.lock() = Some(Arc::clone(&socket));
        Ok(socket)
    }

    /// Nobody can connect any more, and the port is free.
    pub(super) fn shut(&self) {
        if let Some(socket) = self.0.lock().take() {
            let _ = rustix::net::shutdown(&socket, Shutdown::Both);
        }
    }
}

impl fence::Outward for Listening {
    fn cut_off(&self) {
        // Whoever holds the lock at this moment is binding; the end of the process ends that.
        if let Some(socket) = self.0.try_lock().and_then(|mut socket| socket.take()) {
            let _ = rustix::net::shutdown(&socket, Shutdown::Both);
        }
    }
}

/// What an attempt to accept gave.
pub(super) enum Accepted {
    /// A connection, and from where.
    From(TcpStream, Address, u16),
    /// Nothing more at present.
    Nothing,
    /// The socket was shut.
    Ended,
    /// The system has no room for another one now.
    NoRoom,
}

/// The next connection.
pub(super) fn accept(socket: &TcpListener) -> Accepted {
    match socket.accept() {
        Ok((stream, SocketAddr::V4(from))) => {
            Accepted::From(stream, Address(from.ip().octets()), from.port())
        }
        Ok((_, SocketAddr::V6(_))) => Accepted::Nothing,
        Err(error) => match error.raw_os_error() {
            Some(libc::EINVAL | libc::EBADF) => Accepted::Ended,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Accepted::NoRoom,
            // Nobody there, or he went away again.
            _ => Accepted::Nothing,
        },
    }
}
