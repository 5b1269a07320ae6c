//! Closing devices. That may take as long as the hardware likes: a block device is flushed when its last descriptor
//! goes. So wherever a device is let go, a thread of its own does it.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use uo2cb_blockio::{Device, Errno, Info};

use super::super::threads::{self, Standing};

/// Closes the devices that it has lent.
#[derive(Debug)]
pub(super) struct Closer(Sender<Arc<dyn Device>>);

impl Closer {
    /// Starts its thread, which ends when nobody has a device of it any more.
    pub(super) fn start() -> io::Result<Self> {
        let (closer, devices) = unbounded();
        threads::spawn("close", Standing::Ordinary, move || close(&devices))?;
        Ok(Self(closer))
    }

    /// The same device, but whoever drops it does not wait.
    pub(super) fn lend(&self, device: Arc<dyn Device>) -> Arc<dyn Device> {
        Arc::new(Lent { device: Some(device), closer: self.0.clone() })
    }
}

fn close(devices: &Receiver<Arc<dyn Device>>) {
    for device in devices {
        // One that hangs must not keep the others open.
        let (send, receive) = unbounded();
        match threads::spawn("close-one", Standing::Ordinary, move || drop(receive.recv())) {
            Ok(_) => drop(send.send(device)),
            Err(_) => drop(device),
        }
    }
}

#[derive(Debug)]
struct Lent {
    /// Always there until it is dropped.
    device: Option<Arc<dyn Device>>,
    closer: Sender<Arc<dyn Device>>,
}

impl Lent {
    fn device(&self) -> &dyn Device {
        match &self.device {
            Some(device) => &**device,
            None => unreachable!("used after its drop"),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(device) = self.device.take() {
            // The thread ends only after this sender.
            let _ = self.closer.send(device);
        }
    }
}

impl Device for Lent {
    fn info(&self) -> &Info {
        self.device().info()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        self.device().read_at(offset, into)
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize, Errno> {
        self.device().write_at(offset, from)
    }

    fn place(&self) -> Option<PathBuf> {
        self.device().place()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.device().descriptor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use uo2cb_blockio::{MemDisk, Room, best};

    const SOON: Duration = Duration::from_secs(20);

    /// Cannot be closed before it is allowed to.
    #[derive(Debug)]
    struct Hanging {
        disk: MemDisk,
        file: Option<std::fs::File>,
        allowed: Receiver<()>,
        closed: Arc<AtomicUsize>,
    }

    impl Drop for Hanging {
        fn drop(&mut self) {
            let _ = self.allowed.recv_timeout(2 * SOON);
            self.closed.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Device for Hanging {
        fn info(&self) -> &Info {
            self.disk.info()
        }

        fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
            self.disk.read_at(offset, into)
        }

        fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize, Errno> {
            self.disk.write_at(offset, from)
        }

        fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            self.file.as_ref().map(std::os::fd::AsFd::as_fd)
        }
    }

    /// Through the queue that beats: by threads without a descriptor, else by io_uring where it is allowed.
    #[test]
    fn a_queue_does_not_wait_for_a_device_to_be_closed() {
        for file in [false, true] {
            let closer = Closer::start().unwrap();
            let (allow, allowed) = unbounded();
            let closed = Arc::new(AtomicUsize::new(0));
            let device = |allowed: &Receiver<()>| {
                let file = file.then(|| tempfile::tempfile().unwrap());
                let disk = MemDisk::new("slow", 512, 64 * 1024);
                closer.lend(Arc::new(Hanging {
                    disk,
                    file,
                    allowed: allowed.clone(),
                    closed: Arc::clone(&closed),
                }))
            };
            let mut queue = best().unwrap().queue;
            let key = queue.add(device(&allowed), Room { read: 512, write: 512 }).unwrap();
            let begin = Instant::now();
            queue.remove(key);
            // Nor for one that is let go without ever having been used, or with the queue.
            drop(device(&allowed));
            queue.add(device(&allowed), Room { read: 512, write: 512 }).unwrap();
            drop(queue);
            assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
            assert_eq!(closed.load(Ordering::SeqCst), 0);
            // Another one is closed although those hang.
            let (allow_other, other) = unbounded();
            allow_other.send(()).unwrap();
            drop(device(&other));
            let until = |count| {
                let deadline = Instant::now() + SOON;
                while closed.load(Ordering::SeqCst) < count {
                    assert!(Instant::now() < deadline, "{count} closed");
                    std::thread::sleep(Duration::from_millis(1));
                }
            };
            until(1);
            for _ in 0..3 {
                allow.send(()).unwrap();
            }
            until(4);
        }
    }
}
