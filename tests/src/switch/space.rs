//! A network name space of a node's own.

use std::ffi::CString;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

use super::frame;
use crate::guest::Error;
use crate::program;
use crate::worker::Worker;

/// A name space, and the thread that lives in it.
#[derive(Debug)]
pub struct NameSpace(Worker);

impl NameSpace {
    /// A new one, with its loopback device up.
    ///
    /// # Errors
    /// No rights to make one, or no `ip`.
    pub fn new() -> Result<Self, Error> {
        let worker = Worker::new()?;
        worker.run(|| {
            // SAFETY: of this thread only the network changes; descriptors and memory stay shared with the others.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
                .map_err(|error| Error::new(format!("a network name space: {error}")))?;
            ip("link set lo up")
        })??;
        Ok(Self(worker))
    }

    /// Runs something inside, and waits for its end. Programs that it starts are inside as well, and end with the name
    /// space if they are to end with their thread.
    ///
    /// # Errors
    /// It panicked.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        self.0.run(job)
    }

    /// Gives the tap device one more address.
    ///
    /// # Errors
    /// There is no tap device yet.
    pub fn address(&self, address: Ipv4Addr) -> Result<(), Error> {
        self.run(move || ip(&format!("address add {address}/24 dev tap0")))?
    }

    /// Makes the tap device of `node`, and gives it the node's address.
    pub(super) fn tap(&self, node: u8) -> Result<File, Error> {
        self.run(move || {
            let tap = open("tap0")?;
            ip(&format!("link set tap0 address {} addrgenmode none", frame::mac_text(node)))?;
            ip(&format!("address add {}/24 dev tap0", frame::address(node)))?;
            ip("link set tap0 up")?;
            Ok(tap)
        })?
    }
}

/// Makes a tap device. It goes with its descriptor.
fn open(name: &str) -> Result<File, Error> {
    let tun = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun");
    let tun = tun.map_err(|error| Error::new(format!("/dev/net/tun: {error}")))?;
    // SAFETY: all zero is a value of this struct of plain numbers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = CString::new(name).map_err(|error| Error::new(error.to_string()))?;
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
        *to = *from as libc::c_char;
    }
    // Frames as they are, without anything in front.
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which `request` is.
    let done = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    if done < 0 {
        return Err(Error::new(format!("a tap device: {}", std::io::Error::last_os_error())));
    }
    Ok(tun)
}

/// Whether name spaces and tap devices can be had here; else why not.
///
/// # Errors
/// What is missing.
pub fn can_run() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("it needs root".into());
    }
    if !Path::new("/dev/net/tun").exists() {
        return Err("there is no /dev/net/tun".into());
    }
    // Where containers are strict, root may not make one either.
    NameSpace::new().map(drop).map_err(|error| error.to_string())
}

fn ip(arguments: &str) -> Result<(), Error> {
    program::output(Command::new("ip").args(arguments.split(' '))).map(drop)
}
