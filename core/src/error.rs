//! Refusals: everything that the stack refuses, with its errno and the rule that was broken.

use core::fmt;

pub use crate::errno::Errno;

/// Why something was refused: one variant for each distinct refusal. A refused operation has changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    // Names and entries
    /// The directory has no such entry.
    NoSuchEntry,
    /// The item has been removed; a descriptor or a cached id refers to it.
    Gone,
    /// The removal of the item waits for a store in progress: it can be used no more.
    BeingRemoved,
    /// The name is taken (also by an attribute, a default group, `.` or `..`).
    NameExists,
    /// A name of more than 255 bytes.
    NameTooLong,
    /// A name with a slash or a NUL: comes only from programs that use the tree in process, not through a mount.
    BadName,
    /// rmdir, or a call in a directory, on something else.
    NotADirectory,
    /// Unlink of a directory.
    IsADirectory,
    /// Readlink of something else.
    NotALink,
    // Changes that configfs refuses
    /// mkdir where the type has neither make_item nor make_group (`configfs_mkdir`).
    NothingMadeHere,
    /// open(O_CREAT) or mknod of a regular file.
    NoNewFiles,
    /// mknod of anything else.
    NoSpecialFiles,
    /// link(2).
    NoHardLinks,
    /// rename(2).
    NoRename,
    /// Unlink of an attribute.
    AttributeStays,
    /// rmdir of a default group or of a subsystem's directory (`configfs_rmdir`).
    DefaultGroup,
    /// rmdir of a pinned item (`configfs_depend_item`).
    Depended,
    /// rmdir of the target of a link (`configfs_detach_prep`).
    LinkedTo,
    /// rmdir of a directory that is not empty (`configfs_detach_prep`).
    NotEmpty,
    /// A waiting rmdir was given up by its caller.
    Interrupted,
    /// mkdir of a region whose negotiation key another one has (`o2net_register_handler`).
    KeyTaken,
    // Links
    /// symlink where the type has no allow_link (`configfs_symlink`).
    NoLinksHere,
    /// The link's target could not be found.
    TargetMissing,
    /// The link's target is a file or an attribute.
    TargetNotADirectory,
    /// The link's target is a directory of another file system.
    TargetOutside,
    /// The link's target is the root, which is no item.
    TargetIsRoot,
    /// More than 40 links on the way to the target.
    TargetLoop,
    /// The target has a component of more than 255 bytes, or more than 4095 in all.
    TargetTooLong,
    /// The caller may not search a directory on the way to the target.
    TargetDenied,
    /// From where the caller looks for the target cannot be seen.
    CallerHidden,
    // Attributes
    /// The attribute has no store, or no write bit in its mode; that holds for root too (`__configfs_open_file`).
    ReadOnly,
    /// The attribute has no show, or no read bit in its mode.
    WriteOnly,
    /// truncate beyond the largest file size.
    SizeTooBig,
    /// Not in the number syntax of most attributes (`simple_strtoul` with base 0).
    NotANumber,
    /// Not in the number syntax of `dead_threshold` (`simple_strtoul` with base 10).
    NotDecimal,
    /// Not in the number syntax of `start_block` (`kstrtoull` with base 0).
    NotStrictNumber,
    // Clusters and nodes
    /// mkdir of a second cluster (`o2nm_cluster_group_make_group`).
    SecondCluster,
    /// mkdir of a cluster while no method is registered.
    NoMethod,
    /// A timeout of zero.
    TimeoutZero,
    /// Range of a timeout.
    TimeoutRange,
    /// mkdir of a node with a name of more than 64 bytes (`o2nm_node_group_make_item`).
    NodeNameTooLong,
    /// Range of `num` (`O2NM_MAX_NODES`).
    NumberRange,
    /// `num` before address and port (`o2nm_node_num_store`).
    NumberNeedsAddress,
    /// A node has the number; also the node itself.
    NumberTaken,
    /// `num` is set once.
    NumberSet,
    /// Syntax of `ipv4_address`.
    BadAddress,
    /// Range of `ipv4_address`.
    OctetRange,
    /// A node has the address; also the node itself.
    AddressTaken,
    /// `ipv4_address` is set once.
    AddressSet,
    /// `ipv4_port` of zero.
    PortZero,
    /// Range of `ipv4_port`.
    PortRange,
    /// `ipv4_port` is set once.
    PortSet,
    /// `local` before address, port and number (`o2nm_node_local_store`).
    LocalNeedsAll,
    /// `local` while another node is the local one.
    OtherLocal,
    /// `idle_timeout_ms` not above `keepalive_delay_ms`.
    IdleNotAboveKeepalive,
    /// A timeout that connected peers have agreed to.
    PeerConnected,
    /// Syntax of `fence_method`.
    BadFenceMethod,
    // Heartbeat
    /// `heartbeat_mode` written with no registered method's name.
    UnknownMode,
    /// `heartbeat_mode` written while there is a cluster.
    ModeInUse,
    /// mkdir of a region with a name of more than 32 bytes.
    RegionNameTooLong,
    /// mkdir of the 33rd region in global mode.
    TooManyRegions,
    /// Syntax of `heartbeat/mode`.
    BadDiskMode,
    /// Range of `block_bytes`.
    BlockBytesRange,
    /// Value of `block_bytes`.
    NotAPowerOfTwo,
    /// Range of `blocks`.
    BlocksRange,
    /// A change of a region that heartbeats.
    RegionStarted,
    /// `dev` or a hold without a local node.
    NoLocalNode,
    /// `dev` written with no open descriptor's number (`o2hb_region_dev_store`).
    BadDescriptor,
    /// `dev` before `block_bytes`, `start_block` and `blocks`.
    RegionIncomplete,
    /// `dev` written with the descriptor of something else.
    NotABlockDevice,
    /// The local node's number is beyond the slots of the region.
    BeyondBlocks,
    /// The device's sectors are of another size than the region's slots: of this one.
    WrongBlockSize(u32),
    /// The device ends before the last slot, or cannot be read.
    Unreadable,
    /// The region could not become steady.
    Unstable,
    /// The writer of `dev` was interrupted while it waited.
    StartInterrupted,
    /// There is no local node any more, or the stack is stopping, and the writer of `dev` still waited.
    StartStopped,
    /// A hold of a region that does not exist.
    NoSuchRegion,
    /// A link to something else in a region of the user method.
    LinkNotToNode,
    /// A link to a node without a number, which no event could name.
    NodeUnnumbered,
    /// A second link to the same node: its removal would be ambiguous.
    NodeLinked,
    // Others
    /// An unknown word written to a logmask file.
    BadMask,
    /// No word of four letters written to `cluster_stack`.
    BadStackLabel,
    /// Another word written to `cluster_stack` while the stack is in use.
    StackInUse,
    /// A request that was waiting at the shutdown, or came after it.
    ShuttingDown,
    /// The system refused what the driver did for the caller (bind the local node's address, open a device), with
    /// this errno.
    System(Errno),
    /// A refusal of a subsystem outside this crate, with its errno and rule.
    Subsystem(Errno, &'static str),
}

impl Refusal {
    /// The errno for the caller.
    pub fn errno(self) -> Errno {
        match self {
            Self::NoSuchEntry
            | Self::Gone
            | Self::BeingRemoved
            | Self::TargetMissing
            | Self::TargetIsRoot
            | Self::NoSuchRegion => Errno::ENOENT,
            Self::NameExists | Self::NumberTaken | Self::AddressTaken | Self::NodeLinked | Self::KeyTaken => {
                Errno::EEXIST
            }
            Self::NameTooLong | Self::TargetTooLong | Self::NodeNameTooLong | Self::RegionNameTooLong => {
                Errno::ENAMETOOLONG
            }
            Self::BadName
            | Self::NotALink
            | Self::NotANumber
            | Self::NotDecimal
            | Self::NotStrictNumber
            | Self::TimeoutZero
            | Self::PortZero
            | Self::NumberNeedsAddress
            | Self::BadAddress
            | Self::LocalNeedsAll
            | Self::IdleNotAboveKeepalive
            | Self::PeerConnected
            | Self::BadFenceMethod
            | Self::UnknownMode
            | Self::BadDiskMode
            | Self::NotAPowerOfTwo
            | Self::RegionStarted
            | Self::NoLocalNode
            | Self::BadDescriptor
            | Self::RegionIncomplete
            | Self::NotABlockDevice
            | Self::NodeUnnumbered
            | Self::BadMask
            | Self::BeyondBlocks
            | Self::WrongBlockSize(_)
            | Self::BadStackLabel => Errno::EINVAL,
            Self::NotADirectory | Self::TargetNotADirectory => Errno::ENOTDIR,
            Self::IsADirectory => Errno::EISDIR,
            Self::NothingMadeHere
            | Self::NoSpecialFiles
            | Self::NoHardLinks
            | Self::NoRename
            | Self::AttributeStays
            | Self::DefaultGroup
            | Self::NoLinksHere
            | Self::TargetOutside
            | Self::LinkNotToNode => Errno::EPERM,
            Self::NoNewFiles | Self::TargetDenied | Self::CallerHidden | Self::ReadOnly | Self::WriteOnly => {
                Errno::EACCES
            }
            Self::Depended
            | Self::LinkedTo
            | Self::NumberSet
            | Self::AddressSet
            | Self::PortSet
            | Self::OtherLocal
            | Self::StackInUse
            | Self::ModeInUse => Errno::EBUSY,
            Self::NotEmpty => Errno::ENOTEMPTY,
            Self::Interrupted => Errno::EINTR,
            Self::TargetLoop => Errno::ELOOP,
            Self::SizeTooBig | Self::TooManyRegions => Errno::EFBIG,
            Self::TimeoutRange
            | Self::NumberRange
            | Self::OctetRange
            | Self::PortRange
            | Self::BlockBytesRange
            | Self::BlocksRange => Errno::ERANGE,
            Self::SecondCluster => Errno::ENOSPC,
            Self::NoMethod => Errno::ENOMEM,
            Self::ShuttingDown
            | Self::Unreadable
            | Self::Unstable
            | Self::StartInterrupted
            | Self::StartStopped => Errno::EIO,
            Self::System(errno) | Self::Subsystem(errno, _) => errno,
        }
    }

    /// The rule that was broken, for the log.
    pub fn rule(self) -> &'static str {
        match self {
            Self::NoSuchEntry => "no such entry",
            Self::Gone => "the item has been removed",
            Self::BeingRemoved => "the item is being removed, which waits for a store in it",
            Self::NameExists => "the name is taken",
            Self::NameTooLong => "a name has at most 255 bytes",
            Self::BadName => "a name has no slash and no NUL",
            Self::NotADirectory => "not a directory",
            Self::IsADirectory => "a directory",
            Self::NotALink => "not a symbolic link",
            Self::NothingMadeHere => "no directories can be made in this directory",
            Self::NoNewFiles => "no files can be made: attributes come with their directory",
            Self::NoSpecialFiles => "no devices, pipes or sockets in this tree",
            Self::NoHardLinks => "no hard links in this tree",
            Self::NoRename => "nothing can be renamed in this tree",
            Self::AttributeStays => "an attribute is removed only with its directory",
            Self::DefaultGroup => "a default group is removed only with its parent",
            Self::Depended => "somebody depends on the item",
            Self::LinkedTo => "a link points at the item",
            Self::NotEmpty => "the directory holds items or links",
            Self::Interrupted => "interrupted while waiting",
            Self::NoLinksHere => "this kind of directory holds no links",
            Self::TargetMissing => "the target does not exist",
            Self::TargetNotADirectory => "the target is not a directory",
            Self::TargetOutside => "the target lies outside this tree",
            Self::TargetIsRoot => "the target is the root of the tree",
            Self::TargetLoop => "more than 40 symbolic links on the way to the target",
            Self::TargetTooLong => "the target has more than 4095 bytes, or a name in it more than 255",
            Self::TargetDenied => "the caller may not search a directory on the way to the target",
            Self::CallerHidden => "the caller's directories cannot be seen",
            Self::ReadOnly => "the attribute cannot be written",
            Self::WriteOnly => "the attribute cannot be read",
            Self::SizeTooBig => "a file has at most 2147483647 bytes",
            Self::NotANumber => "not a number (decimal, octal after 0, hexadecimal after 0x)",
            Self::NotDecimal => "not a decimal number",
            Self::NotStrictNumber => "not a number below 2^64 (decimal, octal after 0, hexadecimal after 0x)",
            Self::TimeoutZero | Self::TimeoutRange => "a timeout is 1 to 4294967294 milliseconds",
            Self::NumberRange => "num is 0 to 254",
            Self::SecondCluster => "there can be only one cluster",
            Self::NoMethod => "no heartbeat method is active",
            Self::NodeNameTooLong => "a node's name has at most 64 bytes",
            Self::NumberNeedsAddress => "ipv4_address and ipv4_port must be set before num",
            Self::NumberTaken => "a node of this cluster has that number",
            Self::NumberSet => "the node has a number already",
            Self::BadAddress => "an address is four decimal numbers with dots between them",
            Self::OctetRange => "each number of an address is 0 to 255",
            Self::KeyTaken => "another region's messages have the same key: choose another name",
            Self::AddressTaken => "a node of this cluster has that address",
            Self::AddressSet => "the node has an address already",
            Self::PortZero | Self::PortRange => "ipv4_port is 1 to 65534",
            Self::PortSet => "the node has a port already",
            Self::LocalNeedsAll => "ipv4_address, ipv4_port and num must be set before local",
            Self::OtherLocal => "another node of this cluster is the local one",
            Self::IdleNotAboveKeepalive => "idle_timeout_ms must be greater than keepalive_delay_ms",
            Self::PeerConnected => "cannot change while a peer is connected",
            Self::BadFenceMethod => "fence_method is reset or panic, and a newline",
            Self::UnknownMode => "no such heartbeat method",
            Self::ModeInUse => "the heartbeat method can change only while there is no cluster",
            Self::RegionNameTooLong => "a region's name has at most 32 bytes",
            Self::TooManyRegions => "global heartbeat has at most 32 regions",
            Self::BadDiskMode => "mode is local or global",
            Self::BlockBytesRange => "block_bytes is 512 to 4096",
            Self::NotAPowerOfTwo => "block_bytes is a power of two: 512, 1024, 2048 or 4096",
            Self::BlocksRange => "blocks is 1 to 255",
            Self::RegionStarted => "the region has been started already",
            Self::NoLocalNode => "there is no local node",
            Self::BadDescriptor => "not the number of an open descriptor of the process that writes",
            Self::RegionIncomplete => {
                "block_bytes, start_block and blocks must be set, and not to 0, before dev"
            }
            Self::NotABlockDevice => "the descriptor is not a block device",
            Self::BeyondBlocks => "the local node's number is beyond the slots of the region",
            Self::WrongBlockSize(_) => "the device's sectors are of another size than block_bytes",
            Self::Unreadable => "the slots cannot be read",
            Self::Unstable => "the region could not become steady",
            Self::StartInterrupted => "interrupted before the region was steady",
            Self::StartStopped => "stopped before the region was steady",
            Self::NoSuchRegion => "there is no such region",
            Self::LinkNotToNode => "the target is not a node of this cluster",
            Self::NodeUnnumbered => "the node has no number yet",
            Self::NodeLinked => "the node is linked in this region already",
            Self::BadMask => "a logmask file takes allow, deny or off",
            Self::BadStackLabel => "cluster_stack takes a word of four letters",
            Self::StackInUse => "cluster_stack can change only while nobody holds a region",
            Self::ShuttingDown => "uo2cb is stopping",
            Self::System(_) => "the system refused",
            Self::Subsystem(_, rule) => rule,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.rule(), self.errno())
    }
}

impl core::error::Error for Refusal {}
