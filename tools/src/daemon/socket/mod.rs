//! The daemon's end of its [control](crate::control) socket: one thread for all clients, so that an idle one costs no
//! stack, and one that does not read holds nobody but itself.

mod outgoing;
mod places;
mod render;
mod session;

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use self::places::Places;
use self::session::{Backend, Session};
use super::fault_point;
use super::monitor::Monitor;
use super::stopper::Stopper;
use super::threads::{self, Standing};
use crate::control::About;
use crate::control::socket::{Left, remove_record, within_limit};

/// How long the end waits for clients to take their last lines.
const LAST_LINES: Duration = Duration::from_secs(1);
/// How long nobody is accepted after a failure, such as too many open files.
const PAUSE: Duration = Duration::from_millis(20);

/// A control socket. Dropping it closes it and all its connections.
#[derive(Debug)]
pub(crate) struct Server {
    path: PathBuf,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// What the server's thread is told by others.
#[derive(Debug)]
struct State {
    wake: Arc<Wake>,
    phase: Mutex<Phase>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// No new clients.
    Closed,
    /// Nothing is read any more; what still is to be sent has some time.
    Ending,
}

/// Ends the wait of the server's thread.
#[derive(Debug)]
struct Wake(OwnedFd);

impl Wake {
    fn now(&self) {
        // Full means that it is awake anyway.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl Server {
    pub(crate) fn start(
        path: &Path,
        monitor: &Arc<Monitor>,
        about: About,
        stop: Stopper,
    ) -> io::Result<Self> {
        // A socket is never bound over another: a leftover of this very name must be nobody's.
        if let Some(left) = Left::at(path) {
            left.remove(path)?;
        }
        let wake = Arc::new(Wake(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?));
        let state = Arc::new(State { wake, phase: Mutex::new(Phase::Open) });
        let listener = bind(path, || about.write(path))?;
        let mut server = Self { path: path.to_owned(), state: Arc::clone(&state), thread: None };
        let node = Backend { monitor: Arc::clone(monitor), about, stop };
        let standing = Standing::Entering(monitor.realtime.clone());
        server.thread = Some(threads::spawn("control", standing, move || serve(listener, &node, &state))?);
        Ok(server)
    }

    /// No new clients, and nobody finds it any more. Connections stay.
    pub(crate) fn close(&self) {
        let mut phase = self.state.phase.lock();
        if *phase == Phase::Open {
            *phase = Phase::Closed;
            // Its own: bound by it, and never over another.
            let _ = fs::remove_file(&self.path);
            remove_record(&self.path);
            self.state.wake.now();
        }
    }
}

/// Under its name from the moment it listens: before that a client would take it for a killed node's.
fn bind(path: &Path, record: impl FnOnce() -> io::Result<()>) -> io::Result<UnixListener> {
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    // In a folder of its own, which nobody else knows and which goes in any case.
    let folder = tempfile::Builder::new().prefix(".uo2cb-").tempdir_in(parent)?;
    let before = folder.path().join("socket");
    let socket = within_limit(&before, |path| UnixListener::bind(path))?;
    fs::set_permissions(&before, fs::Permissions::from_mode(0o600))?;
    socket.set_nonblocking(true)?;
    // A link, since a rename could replace another's.
    fs::hard_link(&before, path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    record().inspect_err(|_| {
        let _ = fs::remove_file(path);
    })?;
    Ok(socket)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
        *self.state.phase.lock() = Phase::Ending;
        self.state.wake.now();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Body of the thread: reads, answers and writes as far as it goes without waiting for anybody.
fn serve(listener: UnixListener, node: &Backend, state: &State) {
    let mut listener = Some(listener);
    let mut places = Places::default();
    let mut end = None;
    let mut pause: Option<Instant> = None;
    loop {
        let phase = *state.phase.lock();
        if phase != Phase::Open {
            listener = None;
        }
        places.resume(node);
        if phase == Phase::Ending {
            end = end.or_else(|| Some(Instant::now() + LAST_LINES));
            places.each(|session| session.finish(node));
        }
        places.clear_ended(node);
        if end.is_some_and(|end| places.is_empty() || Instant::now() >= end) {
            return;
        }
        pause = pause.filter(|until| *until > Instant::now());
        let accepting = listener.as_ref().filter(|_| pause.is_none());
        let events = {
            let mut fds = vec![PollFd::new(&state.wake.0, PollFlags::IN)];
            fds.extend(accepting.map(|listener| PollFd::new(listener, PollFlags::IN)));
            let clients = fds.len();
            let waiting: Vec<_> = places.wanted().collect();
            fds.extend(
                waiting.iter().map(|(_, session, flags)| PollFd::from_borrowed_fd(session.as_fd(), *flags)),
            );
            let left = |moment: Instant| moment.saturating_duration_since(Instant::now());
            let limit = [end, pause].into_iter().flatten().min().map(left);
            let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
            match poll(&mut fds, limit.as_ref()) {
                // An interruption is like an end of the wait.
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => {
                    let why = io::Error::from(errno);
                    node.monitor.notes.warn(&format!("control socket: clients cannot be waited for: {why}"));
                    thread::sleep(PAUSE);
                }
            }
            let events = waiting.iter().zip(&fds[clients..]);
            events.map(|((number, ..), fd)| (*number, fd.revents())).collect::<Vec<_>>()
        };
        let _ = rustix::io::read(&state.wake.0, &mut [0; 8]);
        for (number, event) in events {
            places.serve(number, event, node);
        }
        if let Some(Err(_)) = accepting.map(|listener| accept(listener, &mut places, node, &state.wake)) {
            pause = Some(Instant::now() + PAUSE);
        }
    }
}

/// Accepts all connections that wait.
fn accept(listener: &UnixListener, places: &mut Places, node: &Backend, wake: &Arc<Wake>) -> io::Result<()> {
    loop {
        let stream: UnixStream = match listener.accept() {
            Ok((stream, _)) => {
                fault_point::reach("control");
                stream
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        places.take(Session::new(stream, Arc::clone(wake)), node);
    }
}
