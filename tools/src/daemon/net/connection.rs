//! One connection: what is still to be sent, and what the socket has for us.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::epoll::EventFlags;
use rustix::net::sockopt::{set_tcp_nodelay, set_tcp_user_timeout, socket_error};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with};
use uo2cb_core::nodeman::Address;
use uo2cb_core::{ConnectionId, Errno};

use super::errno;

/// Bytes that may wait to be sent until nothing more is read: the other end is to take the answers first.
const PAUSE: usize = 64 * 1024;
/// Bytes that may wait at most.
const LIMIT: usize = 1024 * 1024;
/// Never give up sending by itself (milliseconds, `O2NET_TCP_USER_TIMEOUT`).
const FOREVER: u32 = 0x7fff_ffff;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) stream: Arc<TcpStream>,
    connecting: bool,
    /// Sent when there is room, from `sent` on.
    out: Vec<u8>,
    sent: usize,
    /// What the thread waits for, as epoll was told.
    pub(super) interest: EventFlags,
}

/// What came from a socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The other end has closed its half.
    End,
    /// It is broken.
    Broken(Errno),
}

impl Connection {
    /// Begins to connect from an own address, any port.
    pub(super) fn connect(id: ConnectionId, from: Address, to: Address, port: u16) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        options(&socket)?;
        let at = |address: Address, port| SocketAddrV4::new(Ipv4Addr::from(address.0), port);
        bind(&socket, &at(from, 0))?;
        match connect(&socket, &at(to, port)) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(Self::new(id, socket.into(), true))
    }

    /// One that somebody else has made.
    pub(super) fn accepted(id: ConnectionId, stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let socket = OwnedFd::from(stream);
        options(&socket)?;
        Ok(Self::new(id, socket.into(), false))
    }

    fn new(id: ConnectionId, stream: TcpStream, connecting: bool) -> Self {
        let interest = EventFlags::empty();
        Self { id, stream: Arc::new(stream), connecting, out: Vec::new(), sent: 0, interest }
    }

    pub(super) fn connecting(&self) -> bool {
        self.connecting
    }

    /// The attempt has ended: the own port, or why not.
    pub(super) fn finish_connecting(&mut self) -> Result<u16, Errno> {
        self.connecting = false;
        match socket_error(&self.stream) {
            Ok(Ok(())) => {}
            Ok(Err(errno)) | Err(errno) => return Err(Errno(errno.raw_os_error())),
        }
        self.stream.local_addr().map(|own| own.port()).map_err(|error| errno(&error))
    }

    /// What epoll is to wait for.
    pub(super) fn wanted(&self) -> EventFlags {
        let mut wanted = EventFlags::empty();
        wanted.set(EventFlags::OUT, self.connecting || self.waiting() > 0);
        wanted.set(EventFlags::IN, !self.connecting && self.waiting() < PAUSE);
        wanted
    }

    fn waiting(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Reads once.
    pub(super) fn read(&self, into: &mut [u8]) -> Input {
        match (&*self.stream).read(into) {
            Ok(0) => Input::End,
            Ok(count) => Input::Bytes(count),
            Err(error) if later(&error) => Input::Nothing,
            Err(error) => Input::Broken(errno(&error)),
        }
    }

    /// Sends behind what is not sent yet. False: too much waits. What is broken is found when it is read.
    pub(super) fn send(&mut self, bytes: &[u8]) -> bool {
        if self.waiting() + bytes.len() > LIMIT {
            return false;
        }
        self.out.extend_from_slice(bytes);
        self.flush();
        true
    }

    /// Sends as much as there is room for.
    pub(super) fn flush(&mut self) {
        while self.waiting() > 0 && !self.connecting {
            match (&*self.stream).write(&self.out[self.sent..]) {
                Ok(0) => break,
                Ok(count) => self.sent += count,
                Err(error) if later(&error) => break,
                // The error stays, and reading finds it as well.
                Err(_) => {
                    self.sent = self.out.len();
                    break;
                }
            }
        }
        if self.waiting() == 0 {
            self.out.clear();
            self.sent = 0;
        } else if self.sent > PAUSE {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }
}

fn options(socket: &OwnedFd) -> io::Result<()> {
    set_tcp_nodelay(socket, true)?;
    Ok(set_tcp_user_timeout(socket, FOREVER)?)
}

fn later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
