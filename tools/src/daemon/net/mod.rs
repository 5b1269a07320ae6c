//! Sockets: the monitor's side. What it wants of them is noted here and carried out by one thread ([`thread`]), which
//! waits for all of them at once. Nothing in here blocks.

mod connection;
mod listener;
mod quiet;
mod space;
mod thread;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use uo2cb_core::net::{NetEvent, NetRequest};
use uo2cb_core::nodeman::Address;
use uo2cb_core::{Caller, Errno, FenceReason, RequestId};

use self::listener::Listening;
use self::quiet::Quiet;
use super::mailbox::{Mailbox, Wake};
use super::notes::Notes;
use super::realtime::Realtime;
use super::threads::{self, Standing};
use super::{error, fence};

/// How long the end waits for the thread.
const LEAVE: Duration = Duration::from_millis(500);

/// Where the writer of `local` wants to listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) request: RequestId,
    pub(crate) caller: Caller,
    pub(crate) address: Address,
    pub(crate) port: u16,
}

#[derive(Debug)]
enum Job {
    Listen(Wanted),
    StopListening,
    Net(NetRequest),
}

/// Ends the thread's wait.
#[derive(Debug)]
struct Waker(Arc<OwnedFd>);

impl Wake for Waker {
    fn wake(&self) {
        // Full: it has not been read since, so it will be.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

/// Jobs for the thread of the sockets.
type Jobs = Mailbox<Job, Waker>;

/// Whose sockets these are: what happens to them is handed in there, by their thread.
pub(crate) trait Owner: Send + Sync {
    /// It listens, or does not.
    fn listening(&self, request: RequestId, result: Result<(), Errno>);

    /// Something happened to a connection.
    fn net_event(&self, event: NetEvent<'_>);
}

/// The sockets of a node.
pub(crate) struct Sockets {
    notes: Notes,
    realtime: Realtime,
    owner: Weak<dyn Owner>,
    jobs: Arc<Jobs>,
    listening: Arc<Listening>,
    quiet: Arc<Quiet>,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets").finish_non_exhaustive()
    }
}

impl Sockets {
    pub(crate) fn new(notes: Notes, realtime: Realtime, owner: Weak<dyn Owner>) -> Self {
        let (jobs, listening, quiet) = (Arc::default(), Arc::default(), Arc::default());
        fence::register(&jobs);
        fence::register(&quiet);
        fence::register(&listening);
        Self { notes, realtime, owner, jobs, listening, quiet, running: Mutex::new(None) }
    }

    /// Listens. Ends with [`Owner::listening`], unless it is refused here.
    pub(crate) fn listen(&self, wanted: Wanted) -> Result<(), Errno> {
        let mut running = self.running.lock();
        if running.is_none() {
            *running = Some(self.start().map_err(|error| errno(&error))?);
        }
        self.jobs.note(Job::Listen(wanted));
        Ok(())
    }

    /// The port is free when this returns, whenever the thread gets round to closing its socket.
    pub(crate) fn stop_listening(&self) {
        self.listening.shut();
        self.jobs.note(Job::StopListening);
    }

    pub(crate) fn request(&self, request: NetRequest) {
        self.jobs.note(Job::Net(request));
    }

    /// Sends down what has been noted.
    pub(crate) fn go(&self) {
        self.jobs.go();
    }

    fn start(&self) -> io::Result<JoinHandle<()>> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        self.jobs.attach(Waker(Arc::clone(&wake)));
        let thread = thread::Thread::new(
            Arc::clone(&self.jobs),
            Weak::clone(&self.owner),
            self.notes.clone(),
            (Arc::clone(&self.listening), Arc::clone(&self.quiet)),
            wake,
        )?;
        let standing = Standing::Entering(self.realtime.clone());
        threads::spawn("sockets", standing, move || {
            let Err(error) = thread.run() else { return };
            // Others would take silence for the death of this node, which still heartbeats.
            let what = error::plain(&error);
            fence::end(format_args!("fenced: {}", FenceReason::Network { what }));
        })
    }

    /// Ends the thread, and closes all sockets.
    pub(crate) fn stop(&self) {
        self.listening.shut();
        drop(self.jobs.close());
        let Some(running) = self.running.lock().take() else { return };
        let deadline = Instant::now() + LEAVE;
        while !running.is_finished() {
            if Instant::now() > deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = running.join();
    }
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno)
}

#[cfg(test)]
mod tests;
