//! What there is to say about regions and their disks, for the log.

use core::fmt;
use core::time::Duration;

use super::block::{Block, Found};
use super::slot::Own;
use crate::error::Errno;
use crate::ids::NodeNum;
use crate::name::Name;
use crate::net::SendError;

/// Something about a region and its device; the words are the kernel's where it has some.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskNote {
    /// There is no configured node: no beat.
    NoNodes,
    /// Some nodes have numbers beyond the region's slots, of which there are so many.
    BeyondBlocks(u32),
    /// The slots could not be read when the region was to start.
    Unreadable(Errno),
    /// The device's sectors are not the region's slots.
    BlockSize {
        /// The region's.
        ours: u32,
        /// The device's.
        device: u32,
    },
    /// A beat failed at reading or writing.
    BeatFailed(Errno),
    /// The own slot is not as it was written.
    OwnSlot {
        /// In what it differs.
        own: Own,
        /// What was written.
        expected: Block,
        /// What is there.
        found: Block,
    },
    /// A live node's block has a wrong checksum.
    BadChecksum {
        /// Which node.
        node: NodeNum,
        /// The block.
        found: Found,
    },
    /// A node joined whose dead threshold is another than ours.
    DeadThreshold {
        /// Which node.
        node: NodeNum,
        /// Its time until death, in milliseconds.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// The wall clock is behind the own slot: it was set back, or the slot is from a clock that is ahead.
    ClockBehind {
        /// What the block says.
        seq: u64,
        /// What the clock says, in the same seconds.
        clock: u64,
    },
    /// The own slot holds a seq that no clock has.
    SeqBeyond(u64),
    /// Global heartbeat: steady.
    Started,
    /// Global heartbeat: removed.
    Stopped,
    /// Global heartbeat: removed before it was steady.
    StartAborted,
    /// Global heartbeat: counts for the quorum of regions.
    QuorumDevice,
    /// It did not become steady in time.
    Unstable,
    /// No good beat for the write timeout.
    WriteTimeout(Duration),
    /// The beats fail: none was good for half of the write timeout, at whose end this node goes.
    HalfSilent {
        /// For how long none was.
        silent: Duration,
        /// The write timeout.
        timeout: Duration,
    },
    /// A write of this node hangs for half of the write timeout.
    Hung {
        /// This node.
        node: NodeNum,
        /// Half of the timeout.
        half: Duration,
        /// Whom it asks for more time; none: it is the one to be asked.
        master: Option<NodeNum>,
    },
    /// A node asks for more time, by the number that it gives.
    TimeAsked {
        /// That number.
        said: u8,
        /// Whose connection it came over.
        from: NodeNum,
    },
    /// That is no node's number.
    TimeAskedByNobody,
    /// The writes of all nodes hang.
    AllHung,
    /// The lowest node gives more time.
    TimeGiven,
    /// A message was not delivered.
    NotSent {
        /// Its name in the kernel's line.
        message: &'static str,
        /// To whom.
        node: NodeNum,
        /// Why not.
        error: SendError,
    },
}

impl DiskNote {
    /// Does it say that something is wrong?
    pub fn is_error(&self) -> bool {
        !matches!(
            self,
            Self::Started
                | Self::Stopped
                | Self::StartAborted
                | Self::QuorumDevice
                | Self::Hung { .. }
                | Self::TimeAsked { .. }
                | Self::AllHung
                | Self::TimeGiven
        )
    }

    /// Does it say that beats fail, hang, or are given more time?
    pub(crate) fn is_about_beats(&self) -> bool {
        matches!(
            self,
            Self::BeatFailed(_)
                | Self::WriteTimeout(_)
                | Self::HalfSilent { .. }
                | Self::Hung { .. }
                | Self::TimeAsked { .. }
                | Self::AllHung
                | Self::TimeGiven
                | Self::NotSent { .. }
        )
    }

    /// As one line.
    pub fn line(&self, region: &Name, device: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNodes => write!(f, "No configured nodes found! No beat of region {region} ({device})"),
            Self::BeyondBlocks(blocks) => {
                write!(f, "Nodes with numbers from {blocks} on have no slot in region {region} ({device})")
            }
            Self::Unreadable(errno) => {
                write!(f, "Slots of region {region} ({device}) cannot be read: {errno}")
            }
            Self::BlockSize { ours, device: theirs } => {
                write!(f, "blocksize {ours} incorrect for device ({device}), expected {theirs}")
            }
            Self::BeatFailed(errno) => write!(f, "Beat of region {region} ({device}) failed: {errno}"),
            Self::OwnSlot { own, expected, found } => {
                let words = match own {
                    // No node has written an empty slot: not the one with number 0 either.
                    Own::OtherNode if *found == Block::default() => "Heartbeat generation mismatch on device",
                    Own::OtherNode => "Another node is heartbeating on device",
                    Own::Generation => "Heartbeat generation mismatch on device",
                    Own::Seq | Own::First | Own::Good => "Heartbeat sequence mismatch on device",
                };
                write!(f, "{words} ({device}): expected({}), ondisk({})", Triple(expected), Triple(found))
            }
            Self::BadChecksum { node, found: Found { block, cksum, .. } } => write!(
                f,
                "Node {node} has written a bad crc to {device}: seq = {:#x}, node = {}, cksum = {cksum:#x}, generation {:#x}",
                block.seq, block.node, block.generation
            ),
            Self::DeadThreshold { node, theirs, ours } => write!(
                f,
                "Node {node} on device {device} has a dead count of {theirs} ms, but our count is {ours} ms. \
                 Please double check your configuration values for 'O2CB_HEARTBEAT_THRESHOLD'"
            ),
            Self::ClockBehind { seq, clock } => write!(
                f,
                "The clock is {} s behind the own slot of region {region} ({device}): seq counts on from {seq}",
                seq.saturating_sub(*clock)
            ),
            Self::SeqBeyond(seq) => write!(
                f,
                "The own slot of region {region} ({device}) holds seq {seq:#x}, which no clock has: the clock's is taken"
            ),
            Self::Started => write!(f, "Heartbeat started on region {region} ({device})"),
            Self::Stopped => write!(f, "Heartbeat stopped on region {region} ({device})"),
            Self::StartAborted => write!(f, "Heartbeat start aborted on region {region} ({device})"),
            Self::QuorumDevice => write!(f, "Region {region} ({device}) is now a quorum device"),
            Self::Unstable => write!(f, "Unable to stabilize heartbeat on region {region} ({device})"),
            Self::WriteTimeout(silent) => {
                write!(
                    f,
                    "Heartbeat write timeout to device {device} after {} milliseconds",
                    silent.as_millis()
                )
            }
            Self::HalfSilent { silent, timeout } => write!(
                f,
                "No good beat of region {region} ({device}) for {} of {} milliseconds, after which this node fences itself",
                silent.as_millis(),
                timeout.as_millis()
            ),
            Self::Hung { node, half, master } => {
                let secs = half.as_secs();
                write!(f, "node {node} hb write hung for {secs}s on region {region} ({device})")?;
                match master {
                    Some(master) => write!(f, ", negotiate timeout with node {master}."),
                    None => f.write_str("."),
                }
            }
            Self::TimeAsked { said: node, .. } => {
                write!(f, "receive negotiate timeout message from node {node} on region {region} ({device}).")
            }
            Self::TimeAskedByNobody => f.write_str("got nego timeout message from bad node."),
            Self::AllHung => write!(f, "all nodes hb write hung, maybe region {region} ({device}) is down."),
            Self::TimeGiven => {
                write!(f, "negotiate timeout approved by master node on region {region} ({device}).")
            }
            Self::NotSent { message, node, error } => {
                write!(f, "send {message} msg to node {node} fail {error}")
            }
        }
    }
}

/// Node, generation and seq as the kernel prints them.
struct Triple<'a>(&'a Block);

impl fmt::Display for Triple<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Block { seq, node, generation, .. } = self.0;
        write!(f, "{node}:{generation:#x}, {seq:#x}")
    }
}
