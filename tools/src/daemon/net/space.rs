//! The network name space that sockets are made in: that of the writer of `local`, as far as this process may enter it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What came of entering a caller's network.
#[derive(Debug)]
pub(super) enum Entered {
    /// The thread is in it already, or is now.
    His,
    /// It is another one, which may not be entered: sockets are made in this process's own.
    Own(io::Error),
}

/// Moves the calling thread into the network name space of a thread; 0: of nobody, which is this process's own.
pub(super) fn enter(thread: u32) -> Entered {
    let own = std::process::id();
    match go(if thread == 0 { own } else { thread }) {
        Ok(()) => Entered::His,
        Err(error) => {
            // It may still be in that of the one before.
            let _ = go(own);
            Entered::Own(error)
        }
    }
}

fn go(thread: u32) -> io::Result<()> {
    let wanted = File::open(format!("/proc/{thread}/ns/net"))?;
    if same(&wanted)? {
        return Ok(());
    }
    Ok(move_into_link_name_space(wanted.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Whether the calling thread is in it.
fn same(wanted: &File) -> io::Result<bool> {
    let here = rustix::fs::stat("/proc/thread-self/ns/net")?;
    let there = rustix::fs::fstat(wanted)?;
    Ok((here.st_dev, here.st_ino) == (there.st_dev, there.st_ino))
}

/// How the network of a descriptor is named, for a line.
pub(super) fn name(thread: u32) -> String {
    let link = PathBuf::from(format!("/proc/{thread}/ns/net"));
    std::fs::read_link(link).map_or_else(|_| "unknown".into(), |name| name.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_one_is_entered_already() {
        for thread in [0, std::process::id()] {
            assert!(matches!(enter(thread), Entered::His), "{thread}");
        }
        assert!(name(std::process::id()).starts_with("net:["));
    }

    #[test]
    fn that_of_nobody_is_not() {
        assert!(matches!(enter(u32::MAX - 1), Entered::Own(_)));
    }
}
