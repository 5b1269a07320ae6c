//! The listening end: accepts clients, bounded in number, and lets them go at the end.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::net::Shutdown;

use super::{Info, render, session, within_limit};
use crate::daemon::crash;
use crate::daemon::monitor::Monitor;
use crate::daemon::node::Stopper;
use crate::daemon::threads::{self, Standing};

/// How many clients at a time.
const CLIENTS: usize = 64;
/// How long the end waits for clients to take their last lines.
const FAREWELL: Duration = Duration::from_secs(1);

/// What all sessions share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) monitor: Arc<Monitor>,
    pub(super) info: Info,
    pub(super) stop: Stopper,
    clients: Mutex<Clients>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Clients {
    next: u64,
    open: HashMap<u64, Arc<UnixStream>>,
}

/// A control socket. Dropping it closes it and all its connections.
#[derive(Debug)]
pub(crate) struct Server {
    path: PathBuf,
    socket: Arc<UnixListener>,
    shared: Arc<Shared>,
}

impl Server {
    pub(crate) fn start(path: &Path, monitor: &Arc<Monitor>, info: Info, stop: Stopper) -> io::Result<Self> {
        // A socket is never bound over another: a leftover of this very name must be nobody's.
        let tried = within_limit(path, |path| UnixStream::connect(path));
        if tried.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            fs::remove_file(path)?;
        }
        let socket = Arc::new(bind(path)?);
        let shared = Arc::new(Shared {
            monitor: Arc::clone(monitor),
            info,
            stop,
            clients: Mutex::default(),
            left: Condvar::new(),
        });
        let server = Self { path: path.to_owned(), socket: Arc::clone(&socket), shared: Arc::clone(&shared) };
        threads::spawn("control", Standing::Ordinary, move || accept(&socket, &shared))?;
        Ok(server)
    }

    /// No new clients, and nobody finds it any more. Connections stay.
    pub(crate) fn close(&self) {
        let _ = fs::remove_file(&self.path);
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
    }
}

/// Under its name from the moment it listens: before that a client would take it for a killed node's, and remove it.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    // In a folder of its own, which nobody else knows and which goes in any case.
    let folder = tempfile::Builder::new().prefix(".uo2cb-").tempdir_in(parent)?;
    let before = folder.path().join("socket");
    let socket = within_limit(&before, |path| UnixListener::bind(path))?;
    fs::set_permissions(&before, fs::Permissions::from_mode(0o600))?;
    // A link, since a rename could replace another's.
    fs::hard_link(&before, path)?;
    Ok(socket)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
        let mut clients = self.shared.clients.lock();
        // First what still is to be sent, then the end, whether it has been read or not.
        for how in [std::net::Shutdown::Read, std::net::Shutdown::Both] {
            clients.open.values().for_each(|stream| {
                let _ = stream.shutdown(how);
            });
            self.shared.left.wait_while_for(&mut clients, |clients| !clients.open.is_empty(), FAREWELL);
        }
    }
}

fn accept(socket: &UnixListener, shared: &Arc<Shared>) {
    loop {
        match socket.accept() {
            Ok((stream, _)) => {
                crash::point("control");
                shared.welcome(stream);
            }
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return,
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

impl Shared {
    fn welcome(self: &Arc<Self>, stream: UnixStream) {
        let stream = Arc::new(stream);
        let mut clients = self.clients.lock();
        if clients.open.len() >= CLIENTS {
            drop(clients);
            // A new socket's buffer is empty: this does not block.
            let line = format!("{}\n", render::error("too many clients"));
            let _ = (&*stream).write_all(line.as_bytes());
            return;
        }
        let number = clients.next;
        clients.next += 1;
        clients.open.insert(number, Arc::clone(&stream));
        drop(clients);
        let shared = Arc::clone(self);
        let standing = Standing::Entering(self.monitor.realtime.clone());
        let thread = threads::spawn("client", standing, move || {
            session::run(&shared, &stream);
            shared.goodbye(number);
        });
        if thread.is_err() {
            self.goodbye(number);
        }
    }

    fn goodbye(&self, number: u64) {
        self.clients.lock().open.remove(&number);
        self.left.notify_all();
    }
}
