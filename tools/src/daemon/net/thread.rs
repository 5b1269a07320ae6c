//! The thread of all sockets: carries out what the monitor has noted, and hands in what they say.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use uo2cb_core::net::{Closing, NetEvent, NetRequest};
use uo2cb_core::{ConnectionId, Errno};

use super::super::error::plain;
use super::super::fault_point;
use super::super::notes::Notes;
use super::connection::{Connection, Input};
use super::listener::{Accepted, Listening, accept};
use super::quiet::Quiet;
use super::space::{self, Entered};
use super::{Job, Jobs, Owner, Wanted, errno};

/// The tokens of what is no connection.
const WAKE: u64 = 0;
const LISTENER: u64 = 1;
const FIRST: u64 = 2;
/// Bytes that are read and handed in at a time.
const PIECE: usize = 16 * 1024;
/// Events that are taken at a time.
const EVENTS: usize = 64;
/// Connections that are accepted at a time: others want to be served as well.
const ACCEPTED: usize = 16;
/// Until the next attempt to accept, when the system had no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(100);

pub(super) struct Thread {
    jobs: Arc<Jobs>,
    owner: Weak<dyn Owner>,
    notes: Notes,
    listening: Arc<Listening>,
    quiet: Arc<Quiet>,
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    listener: Option<Arc<TcpListener>>,
    /// The listener is not waited for until then.
    no_room: Option<Instant>,
    connections: BTreeMap<u64, Connection>,
    tokens: BTreeMap<ConnectionId, u64>,
    next_token: u64,
    accepted: u64,
    piece: Box<[u8]>,
}

impl Thread {
    /// # Errors
    /// No descriptor, no memory.
    pub(super) fn new(
        jobs: Arc<Jobs>,
        owner: Weak<dyn Owner>,
        notes: Notes,
        (listening, quiet): (Arc<Listening>, Arc<Quiet>),
        wake: Arc<OwnedFd>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        Ok(Self {
            jobs,
            owner,
            notes,
            listening,
            quiet,
            epoll,
            wake,
            listener: None,
            no_room: None,
            connections: BTreeMap::new(),
            tokens: BTreeMap::new(),
            next_token: FIRST,
            accepted: 0,
            piece: vec![0; PIECE].into(),
        })
    }

    /// Until the mailbox is closed.
    ///
    /// # Errors
    /// Sockets cannot be waited for any more.
    pub(super) fn run(mut self) -> io::Result<()> {
        let (mut batch, mut events) = (Vec::new(), Vec::with_capacity(EVENTS));
        let jobs = Arc::clone(&self.jobs);
        while jobs.take(&mut batch) {
            if !batch.is_empty() {
                for job in batch.drain(..) {
                    self.carry_out(job)?;
                }
                continue;
            }
            events.clear();
            self.look_for_room()?;
            let limit = self.no_room.map(|until| timespec(until.saturating_duration_since(Instant::now())));
            match epoll::wait(&self.epoll, spare_capacity(&mut events), limit.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if !events.is_empty() {
                jobs.awake();
            }
            for event in &events {
                let (token, flags) = (event.data.u64(), event.flags);
                match token {
                    WAKE => {
                        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
                    }
                    LISTENER => self.accept_some()?,
                    token => self.serve(token, flags)?,
                }
            }
        }
        Ok(())
    }

    fn hand_in(&self, event: NetEvent<'_>) {
        fault_point::reach("sockets");
        if let Some(owner) = self.owner.upgrade() {
            owner.net_event(event);
        }
    }

    fn carry_out(&mut self, job: Job) -> io::Result<()> {
        match job {
            Job::Listen(wanted) => {
                let result = self.listen(&wanted);
                if let Some(owner) = self.owner.upgrade() {
                    owner.listening(wanted.request, result);
                }
            }
            Job::StopListening => {
                // A socket that was bound after the monitor had shut the one before.
                self.listening.shut();
                self.listener = None;
            }
            Job::Net(NetRequest::Connect { connection, from, to, port }) => {
                let made = Connection::connect(connection, from, to, port);
                if let Err(error) = made.and_then(|made| self.add(made)) {
                    let errno = errno(&error);
                    // Refused by somebody who is near enough to answer at once.
                    let refused = errno.0 == libc::ECONNREFUSED;
                    let closing = if refused { Closing::Reset(errno) } else { Closing::NotTried(errno) };
                    self.hand_in(NetEvent::Closed(connection, closing));
                }
            }
            Job::Net(NetRequest::Send { connection, bytes }) => {
                let Some(token) = self.tokens.get(&connection).copied() else { return Ok(()) };
                let Some(of) = self.connections.get_mut(&token) else { return Ok(()) };
                if of.send(&bytes) {
                    return self.update(token);
                }
                self.end(token, Closing::Full);
            }
            Job::Net(NetRequest::Close(connection)) => {
                if let Some(token) = self.tokens.remove(&connection) {
                    self.forget(token);
                }
            }
        }
        Ok(())
    }

    fn listen(&mut self, wanted: &Wanted) -> Result<(), Errno> {
        let Wanted { caller, address, port, .. } = *wanted;
        if let Entered::Own(error) = space::enter(caller.pid) {
            self.notes.warn(&format!(
                "o2net: listening in the network of this process ({}), not in that of pid {} ({}), which cannot be \
                 entered: {}",
                space::name(std::process::id()),
                caller.pid,
                space::name(caller.pid),
                plain(&error)
            ));
        }
        let socket = self.listening.bind(address, port).map_err(|error| errno(&error))?;
        let data = epoll::EventData::new_u64(LISTENER);
        if let Err(errno) = epoll::add(&self.epoll, &*socket, data, epoll::EventFlags::IN) {
            self.listening.shut();
            return Err(Errno(errno.raw_os_error()));
        }
        (self.listener, self.no_room) = (Some(socket), None);
        Ok(())
    }

    /// Waits for the listener, or does not. It stays known to epoll: that never needs room, which may be scarce.
    fn watch_listener(&self, watch: bool) -> io::Result<()> {
        let Some(listener) = &self.listener else { return Ok(()) };
        let wanted = if watch { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
        Ok(epoll::modify(&self.epoll, &**listener, epoll::EventData::new_u64(LISTENER), wanted)?)
    }

    /// Accepts again after a pause, however busy the connections are.
    fn look_for_room(&mut self) -> io::Result<()> {
        if self.no_room.take_if(|until| *until <= Instant::now()).is_some() {
            self.watch_listener(true)?;
        }
        Ok(())
    }

    fn accept_some(&mut self) -> io::Result<()> {
        for _ in 0..ACCEPTED {
            let Some(listener) = self.listener.clone() else { return Ok(()) };
            match accept(&listener) {
                Accepted::From(stream, from, port) => {
                    self.accepted += 1;
                    let connection = ConnectionId::Accepted(self.accepted);
                    let made = Connection::accepted(connection, stream);
                    // Gone again before it could be served.
                    let Ok(()) = made.and_then(|made| self.add(made)) else { continue };
                    self.hand_in(NetEvent::Accepted { connection, from, port });
                }
                Accepted::Nothing => return Ok(()),
                Accepted::Ended => {
                    epoll::delete(&self.epoll, &*listener)?;
                    self.listener = None;
                    return Ok(());
                }
                Accepted::NoRoom => {
                    self.no_room = Some(Instant::now() + NO_ROOM);
                    return self.watch_listener(false);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, mut connection: Connection) -> io::Result<()> {
        let token = self.next_token;
        let wanted = connection.wanted();
        epoll::add(&self.epoll, &*connection.stream, epoll::EventData::new_u64(token), wanted)?;
        self.next_token += 1;
        connection.interest = wanted;
        self.quiet.add(token, &connection.stream);
        self.tokens.insert(connection.id, token);
        self.connections.insert(token, connection);
        Ok(())
    }

    /// Waits for what a connection wants now.
    fn update(&mut self, token: u64) -> io::Result<()> {
        let Some(of) = self.connections.get_mut(&token) else { return Ok(()) };
        let wanted = of.wanted();
        if wanted != of.interest {
            of.interest = wanted;
            epoll::modify(&self.epoll, &*of.stream, epoll::EventData::new_u64(token), wanted)?;
        }
        Ok(())
    }

    /// A connection is ready for something.
    fn serve(&mut self, token: u64, flags: epoll::EventFlags) -> io::Result<()> {
        let Some(of) = self.connections.get_mut(&token) else { return Ok(()) };
        let id = of.id;
        if of.connecting() {
            match of.finish_connecting() {
                Ok(port) => self.hand_in(NetEvent::Connected { connection: id, port }),
                Err(errno) => self.end(token, Closing::Reset(errno)),
            }
            return self.update(token);
        }
        if flags.contains(epoll::EventFlags::OUT) {
            of.flush();
        }
        // Errors and ends are reported whether they are asked for or not, and found by reading.
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            let mut piece = std::mem::take(&mut self.piece);
            match of.read(&mut piece) {
                Input::Bytes(count) => self.hand_in(NetEvent::Received(id, &piece[..count])),
                Input::Nothing => {}
                Input::End => self.end(token, Closing::Ended),
                Input::Broken(errno) => self.end(token, Closing::Reset(errno)),
            }
            self.piece = piece;
        }
        self.update(token)
    }

    /// A connection has ended by itself.
    fn end(&mut self, token: u64, closing: Closing) {
        if let Some(id) = self.forget(token) {
            self.tokens.remove(&id);
            self.hand_in(NetEvent::Closed(id, closing));
        }
    }

    fn forget(&mut self, token: u64) -> Option<ConnectionId> {
        self.quiet.remove(token);
        self.connections.remove(&token).map(|of| of.id)
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}
