//! The directory in /proc of the thread that called last.

use std::os::fd::{AsFd, OwnedFd};

use parking_lot::Mutex;
use rustix::fs::OFlags;
use rustix::io;

use super::look::{self, Ident};

/// Kept open, because whoever makes a link often makes the next one, too, and finding the directory by the thread's
/// number is a good part of the price of a look into it.
///
/// It stays the directory of that very thread: when its number has gone to another one, nothing is found in it.
#[derive(Debug, Default)]
pub(super) struct LastCaller(Mutex<Option<(u32, OwnedFd)>>);

impl LastCaller {
    /// Which directory is the root of `thread`. `proc` is /proc.
    pub(super) fn root_of(&self, proc: impl AsFd, thread: u32) -> io::Result<Ident> {
        // Taken out meanwhile: nobody waits for somebody else's look.
        let last = self.0.lock().take();
        let known = last.filter(|(known, _)| *known == thread).and_then(|(_, dir)| {
            let root = Ident::at(&dir, c"root").ok()?;
            Some((dir, root))
        });
        let (dir, root) = match known {
            Some(known) => known,
            None => {
                let dir = look::open(proc, thread.to_string().as_str(), OFlags::DIRECTORY)?;
                let root = Ident::at(&dir, c"root")?;
                (dir, root)
            }
        };
        *self.0.lock() = Some((thread, dir));
        Ok(root)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use rustix::fs::CWD;

    use super::*;

    fn child() -> Child {
        Command::new("sleep").arg("600").spawn().expect("sleep starts")
    }

    #[test]
    fn one_caller_after_the_other() {
        let proc = look::open(CWD, "/proc", OFlags::DIRECTORY).expect("/proc");
        let own = Ident::at(&proc, "self/root").expect("own root");
        let last = LastCaller::default();
        let (mut first, mut second) = (child(), child());
        for pid in [first.id(), first.id(), second.id(), first.id()] {
            assert!(last.root_of(&proc, pid).expect("a root").same(&own));
        }
        for child in [&mut first, &mut second] {
            child.kill().expect("killed");
            child.wait().expect("waited for");
        }
        assert!(last.root_of(&proc, first.id()).is_err(), "a thread that is gone has no root");
    }
}
