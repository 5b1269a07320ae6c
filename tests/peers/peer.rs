//! The test's end of a connection.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use uo2cb_tests::guest::Error;

use crate::wire::{HANDSHAKE, HEADER, Handshake, Header, KEEP_ANSWER, KEEP_REQUEST, keepalive};
use crate::world::LIMIT;

pub(crate) struct Peer {
    stream: TcpStream,
    /// Our own port.
    pub(crate) port: u16,
    /// Requests for keepalives are not answered: half a message has been sent, or another thread sends.
    pub(crate) mute: bool,
}

/// What was received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Message(Header, Vec<u8>),
    /// The connection was closed, by FIN or by RST.
    End,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Result<Self, Error> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let port = stream.local_addr()?.port();
        Ok(Self { stream, port, mute: false })
    }

    /// Sends, and does not mind that the other side has closed: that is found when reading.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Receives the other side's handshake.
    pub(crate) fn handshake(&mut self) -> Result<(), Error> {
        let mut bytes = [0; HANDSHAKE];
        self.stream.read_exact(&mut bytes).map_err(|error| format!("no handshake: {error}"))?;
        if bytes[..] != Handshake::RIGHT.bytes() {
            return Err(format!("its handshake is {bytes:02x?}").into());
        }
        Ok(())
    }

    /// The next message that is no keepalive; requests for one are answered.
    pub(crate) fn next(&mut self) -> Result<Got, Error> {
        loop {
            let mut header = [0; HEADER];
            match self.read(&mut header)? {
                0 => return Ok(Got::End),
                HEADER => {}
                length => return Err(format!("{length} bytes of a header").into()),
            }
            let header = Header::read(&header);
            match header.magic {
                KEEP_REQUEST if self.mute => {}
                KEEP_REQUEST => self.send(&keepalive(KEEP_ANSWER)),
                KEEP_ANSWER => {}
                _ => {
                    let mut data = vec![0; header.length.into()];
                    if self.read(&mut data)? < data.len() {
                        return Err(format!("{header:?}: without its data").into());
                    }
                    return Ok(Got::Message(header, data));
                }
            }
        }
    }

    /// Answers keepalives for so long; the connection stays.
    pub(crate) fn stays(&mut self, long: Duration) -> Result<(), Error> {
        let until = Instant::now() + long;
        while Instant::now() < until {
            self.works()?;
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Waits until the other side has closed, without a word besides keepalives.
    pub(crate) fn closed(&mut self) -> Result<(), Error> {
        match self.next()? {
            Got::End => Ok(()),
            got @ Got::Message(..) => Err(format!("{got:?} instead of a close").into()),
        }
    }

    /// Waits until the other side has closed, without a single byte.
    pub(crate) fn closed_unheard(&mut self) -> Result<(), Error> {
        let length = self.read(&mut [0; HANDSHAKE])?;
        if length > 0 { Err(format!("{length} bytes, and no close").into()) } else { Ok(()) }
    }

    /// The next message is an answer to a keepalive, or a request for one and then that.
    pub(crate) fn answer(&mut self) -> Result<(), Error> {
        loop {
            let mut header = [0; HEADER];
            if self.read(&mut header)? < HEADER {
                return Err("closed, instead of the answer to a keepalive".to_owned().into());
            }
            if header[..] == keepalive(KEEP_ANSWER) {
                return Ok(());
            }
            if header[..] != keepalive(KEEP_REQUEST) {
                return Err(
                    format!("instead of the answer to a keepalive: {:?}", Header::read(&header)).into()
                );
            }
            self.send(&keepalive(KEEP_ANSWER));
        }
    }

    /// The connection still works: a keepalive request is answered, and nothing else comes.
    pub(crate) fn works(&mut self) -> Result<(), Error> {
        self.send(&keepalive(KEEP_REQUEST));
        self.answer()
    }

    /// As many bytes as come before the end.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        let mut done = 0;
        while done < into.len() {
            match self.stream.read(&mut into[done..]) {
                Ok(0) => break,
                Ok(length) => done += length,
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    break;
                }
                Err(error) => return Err(format!("neither bytes nor a close: {error}").into()),
            }
        }
        Ok(done)
    }

    /// Sends so many requests, and meanwhile reads the answers, which must all have this `sys`.
    pub(crate) fn pour(&mut self, requests: &[Vec<u8>], sys: u32) -> Result<(), Error> {
        let mut writer = self.stream.try_clone()?;
        self.mute = true;
        let poured = std::thread::scope(|scope| {
            scope.spawn(move || requests.chunks(64).try_for_each(|some| writer.write_all(&some.concat())));
            for _ in requests {
                match self.next()? {
                    Got::Message(header, data) if header.sys == sys && data.is_empty() => {}
                    got => return Err(format!("{got:?} instead of an answer").into()),
                }
            }
            Ok(())
        });
        self.mute = false;
        poured
    }

    /// Closes without sending or waiting for anything more: by RST.
    pub(crate) fn reset(self) -> Result<(), Error> {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))
            .map_err(std::io::Error::from)?;
        Ok(())
    }

    /// Ends sending, by FIN.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        Ok(self.stream.shutdown(std::net::Shutdown::Write)?)
    }

    /// Sends this again and again until the other side takes nothing more for a second. Returns how many bytes it took.
    pub(crate) fn flood(&mut self, with: &[u8], at_most: usize) -> Result<usize, Error> {
        self.stream.set_write_timeout(Some(Duration::from_secs(1)))?;
        let mut sent = 0;
        while sent < at_most {
            match self.stream.write(&with[sent % with.len()..]) {
                Ok(length) => sent += length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => return Err(format!("a flood: {error}").into()),
            }
        }
        self.stream.set_write_timeout(Some(LIMIT))?;
        Ok(sent)
    }
}
