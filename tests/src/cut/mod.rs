//! Runs in which networks are cut and disks hang: what is done to a cluster, what kernels were seen to do then, and how
//! what another cluster does is judged by it.

pub mod judge;
pub mod run;
pub mod runs;

/// How a node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest has restarted or panicked, our daemon has ended with the status of a fenced one.
    Fenced,
    /// The test has killed it.
    Killed,
    /// Anything else.
    Other(String),
}

/// What was seen. Times are seconds since time 0 of the run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// All lines of the nodes' logs, without what comes before their text: when, of whom, what.
    pub lines: Vec<(f64, u8, String)>,
    /// Who ended, and when that was seen.
    pub ends: Vec<(f64, u8, End)>,
    /// New blocks on the disk, in the order of time: when, of whom.
    pub blocks: Vec<(f64, u8)>,
    /// At the end, of those that still run: who, alive, connected.
    pub lists: Vec<(u8, Vec<u8>, Vec<u8>)>,
    /// TCP segments with SYN alone.
    pub syns: Vec<Syn>,
    /// Messages on the wire but for handshakes and keepalives: when, from whom, to whom, bytes in hexadecimal numbers.
    pub messages: Vec<(f64, u8, u8, String)>,
    /// Who is our daemon.
    pub ours: Vec<u8>,
    /// Whose region somebody holds.
    pub holders: Vec<u8>,
    /// What they were told: when, whose, what.
    pub told: Vec<(f64, u8, String)>,
}

/// The begin of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Syn {
    /// When.
    pub at: f64,
    /// The node's port that it comes from.
    pub port: u16,
    /// To whom.
    pub to: u8,
    /// Or dropped.
    pub delivered: bool,
}
