//! Ids: one type each, so that the compiler keeps them apart.

use core::fmt;

/// An entry of a tree, directory or link. Never reused within a tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ItemId(pub u64);

impl ItemId {
    /// The root of every tree.
    pub const ROOT: Self = Self(0);
}

/// Which tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum View {
    /// What the kernel has under /sys/kernel/config.
    Config,
    /// What it has under /sys, as far as o2cb goes.
    Sysfs,
    /// What it has under /sys/kernel/debug.
    Debugfs,
}

/// A request that gets exactly one reply. Chosen by the driver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// A consumer of heartbeat events. Chosen by the driver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConsumerId(pub u64);

/// A request to a disk. Chosen by the stack, new with each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct OpId(pub u64);

/// A connection to another node. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConnectionId {
    /// The stack asked for it, and chose the number.
    Made(u64),
    /// Somebody connected; the driver chose the number.
    Accepted(u64),
}

/// The caller of a request: for the log, and for what only the driver can resolve (descriptors, paths).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Caller {
    /// Thread id in the daemon's PID name space; 0 when the caller lives outside it.
    pub pid: u32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

/// A node's number in its cluster: 0 to 254.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeNum(u8);

impl NodeNum {
    /// Node numbers are below this (`O2NM_MAX_NODES`).
    pub const LIMIT: u64 = 255;

    /// The number, or `None` from 255 on.
    pub fn new(value: u64) -> Option<Self> {
        if value < Self::LIMIT { u8::try_from(value).ok().map(Self) } else { None }
    }

    /// As a plain number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for NodeNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of node numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NodeSet([u64; 4]);

impl NodeSet {
    /// The empty set.
    pub const EMPTY: Self = Self([0; 4]);

    /// Adds a node. True if it was not in the set.
    pub fn insert(&mut self, node: NodeNum) -> bool {
        let had = self.contains(node);
        self.0[usize::from(node.0 >> 6)] |= 1 << (node.0 & 63);
        !had
    }

    /// Removes a node. True if it was in the set.
    pub fn remove(&mut self, node: NodeNum) -> bool {
        let had = self.contains(node);
        self.0[usize::from(node.0 >> 6)] &= !(1 << (node.0 & 63));
        had
    }

    /// Is it in the set?
    pub fn contains(&self, node: NodeNum) -> bool {
        self.0[usize::from(node.0 >> 6)] & (1 << (node.0 & 63)) != 0
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine |= theirs;
        }
    }

    /// How many nodes are in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Is no node in the set?
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// The nodes in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = NodeNum> + '_ {
        self.0.iter().zip(0u8..).flat_map(|(word, at)| {
            // Each successor lacks the lowest bit of the one before.
            let rest = core::iter::successors(Some(*word), |rest| Some(rest & rest.wrapping_sub(1)));
            rest.take_while(|rest| *rest != 0).map(move |rest| NodeNum(at * 64 + rest.trailing_zeros() as u8))
        })
    }
}

impl FromIterator<NodeNum> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeNum>>(nodes: I) -> Self {
        let mut set = Self::EMPTY;
        for node in nodes {
            set.insert(node);
        }
        set
    }
}

/// As the kernel's debug files print a set: each number followed by a space.
impl fmt::Display for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|node| write!(f, "{node} "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn numbers_end_before_255() {
        assert_eq!(NodeNum::new(254).map(NodeNum::get), Some(254));
        assert_eq!(NodeNum::new(255), None);
        assert_eq!(NodeNum::new(u64::MAX), None);
    }

    #[test]
    fn a_set_prints_as_debugfs_does() {
        let set: NodeSet = [3, 0, 254, 64].into_iter().filter_map(NodeNum::new).collect();
        assert_eq!(set.to_string(), "0 3 64 254 ");
        assert_eq!(set.len(), 4);
        assert_eq!(NodeSet::EMPTY.to_string(), "");
    }

    #[test]
    fn insert_and_remove_say_whether_anything_changed() {
        let mut set = NodeSet::EMPTY;
        let node = NodeNum::new(200).unwrap();
        assert!(set.insert(node));
        assert!(!set.insert(node));
        assert!(set.remove(node));
        assert!(!set.remove(node));
        assert!(set.is_empty());
    }
}
