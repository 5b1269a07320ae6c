//! The subject, and around it all that a test plays: peers' addresses, their heartbeats, the network.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};
use tempfile::TempDir;
use uo2cb_tests::guest::Error;
use uo2cb_tests::lines::Line;
use uo2cb_tests::nodes::cluster::Call;
use uo2cb_tests::nodes::{Kernel, Kind, Node, Ours, numbers, wait};
use uo2cb_tests::program::format_disk;
use uo2cb_tests::switch::space::NameSpace;
use uo2cb_tests::switch::{PORT, Switch, frame};

use crate::beats::Beats;
use crate::peer::Peer;
use crate::wire::Handshake;

/// The subject's number. Peers with higher ones connect to it, it connects to those with lower ones.
pub(crate) const SUBJECT: u8 = 5;
/// Configured nodes are 1 to this.
const NODES: u8 = 9;
/// An address that no node has.
pub(crate) const STRANGER: u8 = 99;
/// The port of the switch behind which all peers are.
const PEERS: u8 = 100;

/// For anything that must come.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks for something.
const LOOK: Duration = Duration::from_millis(10);

pub(crate) struct World {
    /// Who the subject is.
    pub(crate) kind: Kind,
    pub(crate) subject: Box<dyn Node>,
    pub(crate) beats: Beats,
    space: NameSpace,
    /// When the mark was set, and from when on lines are looked for.
    begin: Instant,
    mark: Instant,
    marks: u32,
    _switch: Switch,
    _folders: [TempDir; 2],
}

impl World {
    /// A subject whose region runs, and nobody else alive.
    pub(crate) fn new(kind: Kind, uo2cb: &Path) -> Result<Self, Error> {
        // The image not in /tmp: that may be in memory, where there is no direct I/O. But paths of sockets are short.
        let folders = [tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?, tempfile::tempdir()?];
        let (image, folder) = (folders[0].path().join("image"), folders[1].path());
        format_disk(uo2cb, &image)?;
        let switch = Switch::start(folder)?;
        let space = NameSpace::new()?;
        switch.tap(PEERS, &space)?;
        for node in (1..=NODES).filter(|node| *node != SUBJECT).chain([STRANGER]) {
            space.address(frame::address(node))?;
        }
        let mut subject: Box<dyn Node> = match kind {
            Kind::Kernel => Box::new(Kernel::boot(SUBJECT, NODES, &switch, &image, folder, false)?),
            Kind::Ours => Box::new(Ours::start(uo2cb, SUBJECT, NODES, &switch, &image, folder, None)?),
        };
        subject.start()?;
        let beats = Beats::start(&image)?;
        Ok(Self {
            kind,
            subject,
            beats,
            space,
            begin: Instant::now(),
            mark: Instant::now(),
            marks: 0,
            _switch: switch,
            _folders: folders,
        })
    }

    /// Looks from now on only for new lines.
    pub(crate) fn mark(&mut self) {
        self.begin = Instant::now();
        // Lines of what has happened may still be on their way: behind them comes that of a refused call.
        if self.kind == Kind::Ours {
            self.marks += 1;
            let word = format!("mark {}\\n", self.marks);
            let value = format!("mark {}", self.marks);
            let _ = self.subject.call(&Call::Write("cluster/c/idle_timeout_ms".into(), value));
            let until = self.begin + LIMIT;
            // If it is gone, the scenario will find that.
            while Instant::now() < until && !self.subject.lines().iter().any(|line| line.text.contains(&word))
            {
                std::thread::sleep(LOOK);
            }
        }
        self.mark = Instant::now();
    }

    /// All lines since the mark.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.subject.lines().into_iter().filter(|line| line.at >= self.mark).collect()
    }

    /// How many lines since the mark contain `text`.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.text.contains(text)).count()
    }

    /// Waits for a line with `text`. Returns its time since the mark, in seconds.
    pub(crate) fn sees(&self, text: &str) -> Result<f64, Error> {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(line) = self.lines().iter().find(|line| line.text.contains(text)) {
                return Ok(line.at.duration_since(self.begin).as_secs_f64());
            }
            if Instant::now() > until {
                let lines: Vec<_> = self.lines().into_iter().map(|line| line.text).collect();
                return Err(format!("no line {text:?} but {lines:?}").into());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// No line since the mark contains `text`.
    pub(crate) fn never(&self, text: &str) -> Result<(), Error> {
        match self.lines().iter().find(|line| line.text.contains(text)) {
            Some(line) => Err(format!("a line that must not be: {:?}", line.text).into()),
            None => Ok(()),
        }
    }

    /// A connection from a node's address, without any bytes yet.
    pub(crate) fn connect(&self, from: u8) -> Result<Peer, Error> {
        let stream = self.space.run(move || connect(frame::address(from), frame::address(SUBJECT)))?;
        Peer::new(stream.map_err(|error| format!("node {from} cannot connect: {error}"))?)
    }

    /// Connects again and again, and closes at once. Returns its own ports.
    pub(crate) fn connect_often(&self, from: u8, count: usize) -> Result<Vec<u16>, Error> {
        let ports = self.space.run(move || {
            let one = |_| connect(frame::address(from), frame::address(SUBJECT))?.local_addr();
            (0..count).map(one).map(|own| own.map(|own| own.port())).collect::<std::io::Result<Vec<_>>>()
        })?;
        Ok(ports.map_err(|error| format!("node {from} cannot connect: {error}"))?)
    }

    /// A connection that is up on both sides, from a node that is alive.
    pub(crate) fn connected(&mut self, from: u8) -> Result<Peer, Error> {
        self.mark();
        let mut peer = self.connect(from)?;
        peer.send(&Handshake::RIGHT.bytes());
        peer.handshake()?;
        self.sees(&format!(
            "o2net: Accepted connection from node n{from} (num {from}) at 10.9.0.{from}:7777"
        ))?;
        peer.works()?;
        self.mark();
        Ok(peer)
    }

    /// Takes connections at a node's address.
    pub(crate) fn listen(&self, node: u8) -> Result<TcpListener, Error> {
        let address = SocketAddr::from((frame::address(node), PORT));
        let listener = self.space.run(move || TcpListener::bind(address))?;
        Ok(listener.map_err(|error| format!("{address}: {error}"))?)
    }

    /// Lets a node beat, and waits until the subject has it alive.
    pub(crate) fn up(&mut self, node: u8) -> Result<(), Error> {
        self.beats.up(node);
        self.alive(node, true)
    }

    /// Lets a node leave, and waits until the subject has noticed.
    pub(crate) fn leave(&mut self, node: u8) -> Result<(), Error> {
        self.beats.leave(node);
        self.alive(node, false)
    }

    pub(crate) fn alive(&mut self, node: u8, alive: bool) -> Result<(), Error> {
        let what = format!("node {node} alive: {alive}");
        wait(&what, LIMIT, || Ok(numbers(&self.subject.debug("o2hb/livenodes")?).contains(&node) == alive))
    }

    /// Waits until the subject has no socket any more.
    pub(crate) fn settled(&mut self) -> Result<(), Error> {
        wait("no sockets", LIMIT, || Ok(self.subject.debug("o2net/stats")?.trim().is_empty()))
    }

    /// A call that must be refused with this errno, given as its text.
    pub(crate) fn refused(&mut self, call: &Call, errno: &str) -> Result<(), Error> {
        match self.subject.call(call) {
            Ok(()) => Err(format!("{call:?}: not refused").into()),
            Err(error) if error.to_string().contains(errno) => Ok(()),
            Err(error) => Err(format!("{call:?}: {error}, and not {errno}").into()),
        }
    }
}

/// Bound to an address before it connects, which std cannot.
fn connect(from: Ipv4Addr, to: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddr::from((from, 0)))?;
    rustix::net::connect(&socket, &SocketAddr::from((to, PORT)))?;
    Ok(socket.into())
}
